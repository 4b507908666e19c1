//! The judge is judged: what it accepts, what it must refuse. What breaks servers and networks for
//! other tests does so.

mod cluster;
mod comparison;
mod hosts;
mod openapi;
mod oracle;
mod proxy;
mod writer;
