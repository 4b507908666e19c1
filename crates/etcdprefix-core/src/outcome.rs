//! What a prefix change did. Serialised, this is the JSON of docs/cli-contract.md.

use std::path::PathBuf;

use serde::Serialize;

use crate::error::Refusal;
use crate::options::Unmatched;
use crate::progress::Phase;
use crate::rewrite::encryption::Provider;
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
    pub auth: AuthCounts,
    /// Alarms, copied as they are.
    pub alarms: Alarms,
    /// Compaction, copied as it is.
    pub compaction: Compaction,
    /// Leases, copied as they are.
    pub leases: LeaseCounts,
    /// Keys that an image would merge with; a change with any is refused.
    pub collisions: u64,
    /// The size of a page, which the output keeps.
    pub page_size_bytes: u64,
    /// The source's size with its trailer.
    pub bytes_in: u64,
    /// The output's size with its trailer; in a dry run what it would be.
    pub bytes_out: u64,
    /// Bytes free where the output goes, before it was written; `None` if the file system does not
    /// say.
    pub free_bytes: Option<u64>,
    /// The quota given for the target.
    pub target_quota_bytes: Option<u64>,
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
    /// In a dry run: why the change itself would be refused. Empty otherwise.
    pub refusals: Vec<Refusal>,
    /// What the user should know although it was no reason to refuse.
    pub warnings: Vec<String>,
    /// Where the time went.
    pub phases: Vec<PhaseTime>,
}

/// What became of auth.
#[derive(Clone, Debug, Default, Serialize)]
pub struct AuthCounts {
    /// Whether clients have to authenticate.
    pub enabled: bool,
    /// Roles and permissions.
    #[serde(flatten)]
    pub roles: RoleCounts,
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
    /// Matched records by resource.
    pub matched_resources: Resources,
    /// Matched values that kube-apiserver encrypted, by provider.
    pub encrypted: Encrypted,
    /// The same by provider and resource, at most 100.
    pub encrypted_resources: Vec<EncryptedResource>,
    /// At most ten keys with the largest records.
    pub largest_records: Vec<LargeRecord>,
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

/// Values that kube-apiserver encrypted, by provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Encrypted {
    /// Under `k8s:enc:aesgcm:`: bound to their key.
    pub aesgcm: u64,
    /// Under `k8s:enc:kms:`: bound to their key.
    pub kms: u64,
    /// Under another name that is not known here: taken for bound to their key.
    pub other: u64,
    /// Under `k8s:enc:aescbc:`: readable under the new prefix.
    pub aescbc: u64,
    /// Under `k8s:enc:secretbox:`: readable under the new prefix.
    pub secretbox: u64,
}

impl Encrypted {
    /// Values that can't be decrypted under another key.
    pub fn bound_to_key(&self) -> u64 {
        self.aesgcm + self.kms + self.other
    }
}

/// Encrypted values of one provider and resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EncryptedResource {
    /// The provider.
    pub provider: Provider,
    /// The resource.
    pub resource: String,
    /// Its records.
    pub records: u64,
}

/// Matched records by resource, the most frequent first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Resources {
    /// At most 100 resources.
    pub top: Vec<Resource>,
    /// The records of all others, exactly.
    pub remainder_records: u64,
    /// Their bytes.
    pub remainder_bytes: u64,
}

/// What lies in one folder under the prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Resource {
    /// `pods`, or `example.com/crons` with a group; bytes that are no text are escaped.
    pub resource: String,
    /// Its records, history and tombstones included.
    pub records: u64,
    /// The bytes of their encoded `mvccpb.KeyValue`s in the source.
    pub bytes: u64,
}

/// A key and its largest record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LargeRecord {
    /// The key in the source, escaped, cut at 256 bytes.
    pub key: String,
    /// The bytes of its encoded `mvccpb.KeyValue`.
    pub bytes: u64,
}

/// Alarms, which a restore keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Alarms {
    /// The quota was exceeded: the restored store takes no writes until it is disarmed.
    pub nospace: u64,
    /// A member's data differed from the others'.
    pub corrupt: u64,
    /// Of another kind.
    pub other: u64,
}

impl Alarms {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.nospace + self.corrupt + self.other
    }
}

/// How far the store is compacted; `None` if it never was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Compaction {
    /// The revision up to which a compaction was asked for. Above the finished one, etcd goes on
    /// with it at start.
    pub scheduled_revision: Option<i64>,
    /// The revision up to which one is done.
    pub finished_revision: Option<i64>,
}

impl Compaction {
    /// Whether etcd will go on with a compaction at start.
    pub fn is_pending(&self) -> bool {
        self.scheduled_revision > self.finished_revision
    }
}

/// Leases and what is attached to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LeaseCounts {
    /// Leases.
    pub leases: u64,
    /// Live keys attached to a lease.
    pub keys: u64,
    /// Those whose lease does not exist: a restore makes them permanent. `None` with more leases
    /// than were kept in memory (4 million).
    pub orphaned_keys: Option<u64>,
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
