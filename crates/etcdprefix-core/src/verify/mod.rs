//! Proof of a result, and what a snapshot is. It never imports `save`, so that a fault of the
//! writer can't hide itself, and decodes records by itself.

pub mod check;
mod compare;
pub mod findings;
mod hashkv;
mod marks;
mod pairs;
mod record;
mod roles;
mod status;
pub mod structure;
mod top_buckets;

pub use check::{CheckReport, Depth, check};
pub use compare::{Accepted, FileFacts, FilesProof, Proof, prove, prove_files};
pub use hashkv::{Answering, HashKv, HashKvAt, OtherHashKv, hash_kv, hash_kv_at};
pub use marks::CompactionMarks;
pub use status::{Newer, Status, check_sound, status, status_hash};
pub use structure::{Expect, StructureReport, check_structure};
