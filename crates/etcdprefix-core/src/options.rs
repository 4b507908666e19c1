//! What a prefix change can be told.

use std::path::PathBuf;

use serde::Serialize;

use crate::read::{ReadMode, UNIT_BYTES};

/// What happens to keys that the source prefix does not match. Known records (`compact_rev_key`,
/// empty values) are kept under every mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unmatched {
    /// They stay, byte for byte.
    #[default]
    Keep,
    /// They are left out, with their history. The store's revision does not fall: if the record
    /// with the highest revision goes, an empty one takes its place.
    Drop,
    /// The change is refused.
    Fail,
}

/// Where the result goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// Replaces the source, and only if the change can be undone.
    #[default]
    InPlace,
    /// Replaces the source, even if the change can't be undone.
    InPlaceForced,
    /// A new file, which must not exist yet; its folder must.
    File(PathBuf),
}

/// How the work is cut up. For tests, which cut small files into many pieces; `Default` is what
/// was measured best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Source bytes that a thread sizes at once.
    pub unit_bytes: u64,
    /// Output bytes that a thread renders at once. Pages are laid out by it, so other values give
    /// another file of the same content.
    pub chunk_bytes: u64,
    /// A chunk larger than this, which holds huge records, is rendered in pieces.
    pub buffer_bytes: u64,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { unit_bytes: UNIT_BYTES, chunk_bytes: 4 << 20, buffer_bytes: 16 << 20 }
    }
}

/// Everything about one prefix change. `Default` gives what the command does without flags.
#[derive(Clone, Debug)]
pub struct ChangePrefix {
    /// The snapshot, never opened for writing.
    pub db: PathBuf,
    /// Where the result goes.
    pub target: Target,
    /// The prefix to replace; `/registry` by default, empty or `/` for every key with a slash in
    /// front.
    pub src_prefix: String,
    /// The prefix to put in its place; empty or `/` strips the source prefix.
    pub dest_prefix: String,
    /// What happens to other keys.
    pub unmatched: Unmatched,
    /// Accept a file without SHA-256 trailer; its structure must then be sound, which is
    /// checked before the result is published.
    pub skip_hash_check: bool,
    /// Together with `skip_hash_check`: accept a wrong trailer too.
    pub accept_corrupt_trailer: bool,
    /// Accept that no key matches.
    pub allow_empty: bool,
    /// Accept encrypted values that can't be decrypted under the new prefix.
    pub allow_undecryptable: bool,
    /// Keep ranges of roles as they are where none under the new prefix has the same effect.
    pub allow_unmapped_roles: bool,
    /// Read the output back and prove it equal before it is published; on by default.
    pub verify: bool,
    /// Bring the output to the disk before it is published; on by default. Without it a power
    /// failure can lose the file under its final name.
    pub sync: bool,
    /// How the source is read.
    pub read_mode: ReadMode,
    /// Plan and refuse as ever, but write nothing.
    pub dry_run: bool,
    /// Threads that size and write, from 1; by default as many as the machine has cores. Hashing and
    /// the proof have some more of their own. The output does not depend on it.
    pub threads: usize,
    /// Refuse an output larger than this, in bytes.
    pub target_quota_bytes: Option<u64>,
    /// How the work is cut up; nothing a user would change.
    pub tuning: Tuning,
}

impl Default for ChangePrefix {
    fn default() -> Self {
        Self {
            db: PathBuf::new(),
            target: Target::InPlace,
            src_prefix: "/registry".into(),
            dest_prefix: String::new(),
            unmatched: Unmatched::Keep,
            skip_hash_check: false,
            accept_corrupt_trailer: false,
            allow_empty: false,
            allow_undecryptable: false,
            allow_unmapped_roles: false,
            verify: true,
            sync: true,
            read_mode: ReadMode::Map,
            dry_run: false,
            threads: default_threads(),
            target_quota_bytes: None,
            tuning: Tuning::default(),
        }
    }
}

/// As many threads as the machine has cores, 1 if it does not say.
pub fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
