//! The orchestrator with hosts that are not there: every step answers as a real host's would, time
//! is the test's, and after every single change of any host the promises of a migration are proved.
//!
//! ```text
//! bench: a configuration, a folder, three hosts        host: calls, and what becomes of them on the way
//!   world: how the hosts are, and what may never be      node: what a call does on a host
//! ```

mod bench;
mod child;
mod host;
mod node;
mod work;
mod world;

mod faults;
mod interrupted;
mod journal;
mod kill;
mod kill_twice;
mod refused;
mod straight;
