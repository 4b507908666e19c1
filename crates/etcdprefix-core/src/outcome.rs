//! What a prefix change did. Serialised, this is the JSON of docs/cli-contract.md.

use std::path::PathBuf;

use serde::Serialize;

use crate::options::Unmatched;
use crate::progress::Phase;
use crate::rewrite::roles::RoleCounts;

/// What [`change_prefix`](crate::change_prefix) found and did.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The source as given.
    pub db: PathBuf,
    /// The file published; `None` in a dry run.
    pub output: Option<PathBuf>,
    /// Whether the source was (or in a dry run: would be) replaced.
    pub in_place: bool,
    /// Whether nothing was to be written.
    pub dry_run: bool,
    /// The source prefix as applied; empty for every key with a slash in front.
    pub src_prefix: String,
    /// The destination prefix as applied; empty where the source prefix is stripped.
    pub dest_prefix: String,
    /// What happened to other keys.
    pub unmatched_mode: Unmatched,
    /// What was found in the `key` bucket.
    #[serde(flatten)]
    pub census: Census,
    /// Roles.
    pub auth_roles: u64,
    /// What became of their permissions.
    pub auth: RoleCounts,
    /// The size of a page, which the output keeps.
    pub page_size_bytes: u64,
    /// The source's size with its trailer.
    pub bytes_in: u64,
    /// The output's size with its trailer; in a dry run what it would be.
    pub bytes_out: u64,
    /// What the source's trailer was.
    pub input_trailer: InputTrailer,
    /// The hash that `snapshot status` prints for the source.
    pub status_hash_before: String,
    /// The same of the output; `None` in a dry run.
    pub status_hash_after: Option<String>,
    /// The output's trailer in hexadecimal; `None` in a dry run.
    pub sha256: Option<String>,
    /// How the output was proved equal to the source.
    pub verification: Verification,
    /// What the user should know although it was no reason to refuse.
    pub warnings: Vec<String>,
    /// Where the time went.
    pub phases: Vec<PhaseTime>,
}

/// Counts over the records of the `key` bucket, history and tombstones included.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Census {
    /// All records of the source.
    pub records: u64,
    /// Keys that exist at the latest revision, counted as `snapshot status` of etcd 3.6 does.
    pub live_keys: u64,
    /// Records whose key was rewritten.
    pub matched: u64,
    /// Records that neither match nor are known.
    pub unmatched: u64,
    /// Unmatched records that were left out.
    pub dropped: u64,
    /// Records that have no place under any prefix.
    pub known: Known,
    /// Records that delete their key.
    pub tombstones: u64,
    /// Records whose key field is legal protobuf but not as etcd writes it.
    pub noncanonical: u64,
    /// Unmatched records by the first component of their keys.
    pub unmatched_components: Components,
    /// Matched values whose decryption needs the old key.
    pub encrypted: Encrypted,
    /// The last record's main revision, as `snapshot status` prints it.
    pub revision: i64,
}

/// Records that are kept under every mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Known {
    /// Records of kube-apiserver's unprefixed `compact_rev_key`.
    pub compact_rev_key: u64,
    /// Records without a value, which a restore with a revision bump leaves.
    pub empty_value: u64,
}

/// Values that kube-apiserver encrypted with the etcd key as authenticated data, by provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Encrypted {
    /// Under `k8s:enc:aesgcm:`.
    pub aesgcm: u64,
    /// Under `k8s:enc:kms:`.
    pub kms: u64,
}

/// Records by first path component, the most frequent first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Components {
    /// At most 100 components.
    pub top: Vec<Component>,
    /// The records of all others, exactly.
    pub remainder_records: u64,
}

/// A first path component and its records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Component {
    /// The component with its leading slash if it has one; bytes that are no text are escaped.
    pub component: String,
    /// Its records.
    pub records: u64,
}

/// What the source's trailer was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InputTrailer {
    /// It is the SHA-256 of the pages.
    Verified,
    /// There is none, which was accepted.
    Missing,
    /// It is wrong, which was accepted.
    Mismatch,
}

/// How the output was proved equal to the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verification {
    /// Record by record, and the source's status hash came out of the output under the inverse
    /// rule.
    InverseHash,
    /// Record by record.
    Comparison,
    /// Not at all, as asked.
    Skipped,
}

/// A phase and the time it took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PhaseTime {
    /// The phase.
    pub phase: Phase,
    /// Its wall time in seconds.
    pub seconds: f64,
}
