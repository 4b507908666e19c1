//! The bytes of a bbolt file (bbolt v1.3 to v1.5, file version 2): one copy of every layout, no I/O.
//!
//! All integers are little-endian. Nothing but the two meta pages carries a checksum, so every
//! count, position and page id is checked against the bytes at hand each time it is used.

pub mod branch;
pub mod bucket;
pub mod bytes;
pub mod freelist;
pub mod leaf;
pub mod meta;
pub mod page;
pub mod trailer;
