//! Talks to live etcd members.
//!
//! ```text
//! endpoint -> client: one connection a member -> members: status of all, the one to choose
//! ```

pub mod client;
pub mod endpoint;
pub mod error;
pub mod members;

pub use client::{ClientOptions, Connection, Dialer, Pin, TlsOptions};
pub use endpoint::Endpoint;
pub use error::{Error, Failure, Result};
