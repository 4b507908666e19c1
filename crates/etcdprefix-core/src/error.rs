//! What can go wrong, in three kinds that callers treat differently:
//! [`Error::Io`] and [`Error::Busy`] (try again or elsewhere), damage ([`Error::Damaged`] and the
//! trailer's errors: the file is at fault), and [`Error::Refused`] (the file is sound, the request
//! is unsafe; each refusal names its override).
//!
//! Rules: every message is one line and names the file; a source error is reachable through
//! `source()` and never repeated in the message; whatever the error, the target file is as it was.

use std::fmt;
use std::io;
use std::path::PathBuf;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::units::{Pgid, Revision};

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation ended without a result. The target file is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as a verb: "open", "write".
        action: &'static str,
        /// The file it was tried on.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// Another process has the file, or changed it meanwhile.
    #[error("{}: {why}", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
        /// Locked or changed.
        why: BusyReason,
    },
    /// The file breaks the format.
    #[error("{}: {damage}{at}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it.
        at: Location,
        /// What is wrong.
        damage: Corruption,
    },
    /// No SHA-256 follows the last page.
    #[error("{}: no SHA-256 trailer: a copied database, or a snapshot cut short", path.display())]
    TrailerMissing {
        /// The file.
        path: PathBuf,
    },
    /// The SHA-256 after the last page is not that of the pages.
    #[error("{}: SHA-256 trailer is {found}, but the content hashes to {computed}", path.display())]
    TrailerMismatch {
        /// The file.
        path: PathBuf,
        /// The trailer, in hexadecimal.
        found: String,
        /// The digest of the pages, in hexadecimal.
        computed: String,
    },
    /// The prefixes make no rule, or the request makes no sense.
    #[error("{why}")]
    Usage {
        /// What to change about the request.
        why: String,
    },
    /// The request would lose or break something.
    #[error("{}: {refusal}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What would be lost or broken.
        refusal: Refusal,
    },
    /// The target exists and is not to be replaced.
    #[error("{} exists already", path.display())]
    OutputExists {
        /// The target.
        path: PathBuf,
    },
    /// A revision that the store does not have, or has no more.
    #[error("{}: no revision {revision}: the store has {first} to {last}", path.display())]
    NoSuchRevision {
        /// The file.
        path: PathBuf,
        /// The revision asked for.
        revision: i64,
        /// The first one that is not compacted.
        first: i64,
        /// The latest one.
        last: i64,
    },
    /// The written file did not prove equal to the source; it was not published.
    #[error("{}: the written file failed its proof and was discarded: {why}", path.display())]
    Unproven {
        /// The target.
        path: PathBuf,
        /// The first difference.
        why: String,
    },
    /// A file is not what another becomes under the rule.
    #[error("{} is not {} under the rule: {why}", path.display(), of.display())]
    Differs {
        /// The file held to be the output.
        path: PathBuf,
        /// The source.
        of: PathBuf,
        /// The first difference.
        why: String,
    },
    /// The caller's interrupt flag was set.
    #[error("interrupted")]
    Interrupted,
}

/// How another process got in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BusyReason {
    /// An exclusive lock is held, as a running etcd holds it.
    #[error("locked by another process, probably a running etcd")]
    Locked,
    /// Identity, size or times differ between the start and the end of reading.
    #[error("changed while it was read")]
    Changed,
}

/// A place in a file; unknown parts are left out of the message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Location {
    /// The bucket's name; nested ones are joined by `/`.
    pub bucket: Option<String>,
    /// The page.
    pub pgid: Option<Pgid>,
    /// The element within the page.
    pub element: Option<u64>,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.bucket.as_ref().map(|bucket| format!("bucket {bucket}")),
            self.pgid.map(|pgid| format!("page {pgid}")),
            self.element.map(|element| format!("element {element}")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() { Ok(()) } else { write!(f, " ({})", parts.join(", ")) }
    }
}

/// How a file breaks the format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Corruption {
    /// Too small for two meta pages.
    #[error("file of {bytes} bytes is too small for a bbolt database")]
    FileTooSmall {
        /// The file's size.
        bytes: u64,
    },
    /// Neither meta page is valid.
    #[error("no valid meta page (first: {first}; second: {second})")]
    NoValidMeta {
        /// What is wrong with page 0.
        first: String,
        /// What is wrong with page 1.
        second: String,
    },
    /// A meta page fails a test.
    #[error("meta page: {why}")]
    MetaInvalid {
        /// The test.
        why: &'static str,
    },
    /// The pages in use do not fit into the file.
    #[error("file has {bytes} bytes but its pages need {needed}: it was cut short")]
    Truncated {
        /// The size that the high water mark asks for.
        needed: u64,
        /// The file's size.
        bytes: u64,
    },
    /// Fewer bytes than a page header.
    #[error("page of {bytes} bytes is shorter than its header")]
    PageShort {
        /// The bytes there are.
        bytes: u64,
    },
    /// A page id or its run beyond the high water mark, or on a meta page.
    #[error("page {pgid} with {overflow} overflow pages is outside pages 2 to {high_water_mark}")]
    PageOutOfRange {
        /// The run's first page.
        pgid: Pgid,
        /// The run's further pages.
        overflow: u32,
        /// One past the last page.
        high_water_mark: Pgid,
    },
    /// A page says that it is another one.
    #[error("page {expected} calls itself page {found}")]
    WrongPageId {
        /// The page's position.
        expected: Pgid,
        /// The id in its header.
        found: Pgid,
    },
    /// A page of a kind that can't stand where it is.
    #[error("page kind {flags:#06x} where {expected} belongs")]
    WrongPageKind {
        /// The flags in the page's header.
        flags: u16,
        /// What belongs there.
        expected: &'static str,
    },
    /// An element, its key or its value leaves the page's run.
    #[error("element {index} leaves its page")]
    ElementOutOfRange {
        /// The element's number.
        index: u64,
    },
    /// Keys and values of a page add up to more than its bytes.
    #[error("elements overlap")]
    ElementsOverlap,
    /// A page is part of two trees, or twice of one.
    #[error("page {pgid} is used twice")]
    PageUsedTwice {
        /// The page.
        pgid: Pgid,
    },
    /// More levels than any file that fits on a disk.
    #[error("tree is deeper than {limit} levels")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// Keys do not rise.
    #[error("key {later} follows {earlier}")]
    OutOfOrder {
        /// The earlier key, in hexadecimal.
        earlier: String,
        /// The later one, in hexadecimal.
        later: String,
    },
    /// A key longer than bbolt allows.
    #[error("key of {bytes} bytes is over bbolt's limit of 32,768")]
    KeyTooLong {
        /// The key's size.
        bytes: u64,
    },
    /// A bucket's value is shorter than its header.
    #[error("bucket header of {bytes} bytes")]
    BucketHeaderShort {
        /// The value's size.
        bytes: u64,
    },
    /// An inline bucket larger than a page.
    #[error("inline bucket of {bytes} bytes is larger than a page")]
    InlineBucketTooLarge {
        /// The value's size.
        bytes: u64,
    },
    /// More buckets than this program keeps track of.
    #[error("more than {limit} buckets")]
    TooManyBuckets {
        /// The limit.
        limit: usize,
    },
    /// A bucket that every etcd database has is not there.
    #[error("no bucket {name}: not an etcd database")]
    BucketMissing {
        /// The bucket's name.
        name: &'static str,
    },
    /// A bucket where etcd keeps plain records.
    #[error("a bucket among the records")]
    BucketAmongRecords,
    /// A plain record where bbolt keeps top-level buckets.
    #[error("a record among the buckets")]
    RecordAmongBuckets,
    /// The structure check found faults.
    #[error("{why}")]
    Unsound {
        /// The first finding, and how many there are.
        why: String,
    },
    /// A freelist that claims more pages than it has room for.
    #[error("freelist claims more than the {room} entries it has room for")]
    FreelistOutOfRange {
        /// Entries that fit.
        room: u64,
    },
    /// A key of the `key` bucket that is no revision.
    #[error("record key of {bytes} bytes is no revision")]
    RevisionInvalid {
        /// The key's size.
        bytes: u64,
    },
    /// A role that etcd could not decode, or one larger than any real one.
    #[error("role does not decode: {why}")]
    RoleInvalid {
        /// The first fault.
        why: &'static str,
    },
    /// A record's value that etcd could not decode.
    #[error("record {revision} does not decode: {why}")]
    RecordInvalid {
        /// The record.
        revision: Revision,
        /// The first fault.
        why: &'static str,
    },
}

/// Why a sound file is left alone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A wrong source prefix would bring up what looks like a brand-new cluster.
    #[error("no key matches {src_prefix}; the keys begin with {components}")]
    NothingMatches {
        /// The source prefix.
        src_prefix: String,
        /// The first path components there are.
        components: String,
    },
    /// The change was made before.
    #[error(
        "already rewritten: {records} records lie under {dest_prefix}, none under {src_prefix}"
    )]
    AlreadyRewritten {
        /// The source prefix.
        src_prefix: String,
        /// The destination prefix.
        dest_prefix: String,
        /// Records under the destination.
        records: u64,
    },
    /// Two keys would become one and their histories would merge.
    #[error(
        "collision: {matched} would become {unmatched}, which exists ({} in all)",
        counted(*keys, "such key")
    )]
    Collision {
        /// A key under the source prefix.
        matched: String,
        /// The key that is in its way.
        unmatched: String,
        /// How many keys collide.
        keys: u64,
    },
    /// `--unmatched fail`.
    #[error("{} outside of {src_prefix}: {components}", counted(*records, "record"))]
    Unmatched {
        /// The source prefix.
        src_prefix: String,
        /// Records that do not match.
        records: u64,
        /// Their first path components.
        components: String,
    },
    /// Values whose decryption needs the old key. kube-apiserver passes the etcd key, prefix
    /// included, as authenticated data to AES-GCM.
    #[error(
        "{} encrypted with the etcd key as authenticated data: {resources}; under the new prefix \
         kube-apiserver fails on them with \"cipher: message authentication failed\"",
        counted(*records, "value")
    )]
    Undecryptable {
        /// All of them.
        records: u64,
        /// By provider and resource.
        resources: String,
    },
    /// Permissions for which no range under the new prefix has the same effect.
    #[error(
        "{} no equivalent under the new prefix, first {first}",
        if *permissions == 1 { "1 permission has".into() } else { format!("{permissions} permissions have") }
    )]
    RolesStraddle {
        /// How many.
        permissions: u64,
        /// The first one and its role.
        first: String,
    },
    /// Permissions for keys of the destination, which would open what moves there.
    #[error(
        "{} would open records that move under {dest_prefix}, first {first}",
        counted(*permissions, "permission")
    )]
    RolesEscalate {
        /// The destination prefix.
        dest_prefix: String,
        /// How many.
        permissions: u64,
        /// The first one and its role.
        first: String,
    },
    /// A permission that moves to the destination would open a key that is there already.
    #[error("role {role} would get at {key}, which lies under {dest_prefix} already")]
    RolesOpen {
        /// The destination prefix.
        dest_prefix: String,
        /// The role.
        role: String,
        /// The first such key.
        key: String,
    },
    /// The result could not be turned back into the source.
    #[error("not in place: {why}, so the change could not be undone")]
    Irreversible {
        /// What would be lost.
        why: String,
    },
    /// A key that etcd can't hold.
    #[error("key {key} would become empty, which etcd cannot hold")]
    EmptyKey {
        /// The key.
        key: String,
    },
    /// A value that bbolt can't hold.
    #[error("record {revision} would grow to {bytes} bytes, over the limit of {limit}")]
    ValueTooLarge {
        /// The record.
        revision: Revision,
        /// Its new size.
        bytes: u64,
        /// bbolt's limit.
        limit: u64,
    },
    /// The output would not start under the target's quota.
    #[error("the output has {bytes} bytes, over the target's quota of {quota_bytes}")]
    OverQuota {
        /// The output's size.
        bytes: u64,
        /// The quota given.
        quota_bytes: u64,
    },
    /// There is no room for the output. Only a dry run tells it so: the change itself ends with
    /// [`Error::Io`] when it takes the space.
    #[error("the output has {bytes} bytes, but only {free_bytes} are free where it goes")]
    NoSpace {
        /// The output's size.
        bytes: u64,
        /// Bytes free.
        free_bytes: u64,
    },
}

impl Refusal {
    /// Its name in reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NothingMatches { .. } => "nothing_matches",
            Self::AlreadyRewritten { .. } => "already_rewritten",
            Self::Collision { .. } => "collision",
            Self::Unmatched { .. } => "unmatched",
            Self::Undecryptable { .. } => "undecryptable",
            Self::RolesStraddle { .. } => "roles_straddle",
            Self::RolesEscalate { .. } => "roles_escalate",
            Self::RolesOpen { .. } => "roles_open",
            Self::Irreversible { .. } => "irreversible",
            Self::EmptyKey { .. } => "empty_key",
            Self::ValueTooLarge { .. } => "value_too_large",
            Self::OverQuota { .. } => "over_quota",
            Self::NoSpace { .. } => "no_space",
        }
    }
}

/// As name and message.
impl Serialize for Refusal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Refusal", 2)?;
        fields.serialize_field("refusal", self.name())?;
        fields.serialize_field("message", &self.to_string())?;
        fields.end()
    }
}

/// A number with its noun.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

impl Error {
    /// For `map_err` on I/O results.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
