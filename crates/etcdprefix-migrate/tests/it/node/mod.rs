//! A host's steps in processes of their own: connections that break, timers, limits, kills.

mod host;
mod program;
mod step;
mod timer;
