//! Talks to live etcd members.
//!
//! ```text
//! endpoint -> client: one connection a member -> members: status of all, the one to choose
//!     -> hashkv: whether all hold the same
//!     -> save: the snapshot of one, proved, into a file
//!     -> quiet: whether anybody writes
//! ```

pub mod client;
pub mod endpoint;
pub mod error;
pub mod hashkv;
mod interrupt;
pub mod members;
pub mod quiet;
pub mod save;

pub use client::{ClientOptions, Connection, Dialer, Pin, TlsOptions};
pub use endpoint::Endpoint;
pub use error::{Error, Failure, Result};
pub use interrupt::unless_interrupted;
pub use quiet::{QuietReport, QuietWatch};
