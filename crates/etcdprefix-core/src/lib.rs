//! Changes the key prefix inside etcd snapshot files.
//!
//! ```text
//! file -> read: pages, buckets, leaves -> rewrite: record by record -> save: plan, emit, publish
//!              \______________________________________________________ verify: output and source
//! ```
//!
//! [`change_prefix`] is all of it. [`ChangePrefix`] says what to do, [`Outcome`] what was done,
//! [`Error`] why not. To look at a snapshot, open it as a [`read::Snapshot`] and ask
//! [`verify::status`], [`verify::check()`] or [`verify::hash_kv`]; [`verify::prove_files`] proves
//! that one is another with its prefix changed.
//!
//! ```no_run
//! use etcdprefix_core::{ChangePrefix, change_prefix, progress::Silent};
//!
//! let options = ChangePrefix {
//!     db: "snap.db".into(),
//!     dest_prefix: "/c123".into(),
//!     ..ChangePrefix::default()
//! };
//! let outcome = change_prefix(&options, &Silent)?;
//! println!("{} records rewritten", outcome.census.matched);
//! # Ok::<(), etcdprefix_core::Error>(())
//! ```

mod aligned;
pub mod crc;
pub mod error;
pub mod format;
pub mod key_table;
pub mod options;
pub mod outcome;
mod parallel;
pub mod progress;
pub mod read;
mod refuse;
pub mod rewrite;
mod run;
pub mod save;
pub mod units;
pub mod verify;

pub use error::{Corruption, Error, Location, Refusal, Result};
pub use options::{ChangePrefix, Target, Tuning, Unmatched};
pub use outcome::Outcome;

pub use run::{change_prefix, change_prefix_of, change_prefix_on};
