//! From records to records: the prefix rule and what it means for each record. No I/O.

pub mod census;
pub mod encryption;
pub mod key_bucket;
pub mod roles;
pub mod rule;
pub mod schema;
pub mod wire;

pub use rule::PrefixRule;
