//! The commands that talk to live members.

mod client;
mod endpoint;
mod quiet;
mod save;

pub use endpoint::run as endpoint;
pub use save::run as save;
