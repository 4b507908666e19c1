//! The kinds of fault and what each means.

use serde::Serialize;

use crate::error::Corruption;

/// What a finding means for the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// etcd reads the file as if it were not so; somebody should know.
    Warning,
    /// The file is damaged.
    Error,
}

/// What kind of fault a finding is about.
///
/// The first part is what bbolt's `Check` (v1.3.11, v1.4) finds or panics at; the second what it
/// passes over; the third only
/// [`Expect::Compact`](crate::verify::structure::Expect::Compact) asks for; the last is about what
/// etcd keeps in the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FindingCode {
    /// A page or its run is not between page 2 and the high water mark.
    PageOutOfRange,
    /// A page's header has another page's id.
    WrongPageId,
    /// A page is neither branch nor leaf, or no freelist where the freelist belongs.
    WrongPageKind,
    /// A page is reached a second time.
    PageUsedTwice,
    /// A page is in use and on the freelist.
    ReachableFreed,
    /// A page is on the freelist twice.
    FreedTwice,
    /// A page is neither in use nor on the freelist.
    UnreachableUnfreed,
    /// An element, its key or its value leaves its page.
    ElementOutOfRange,
    /// Keys and values of a page add up to more than its bytes.
    ElementsOverlap,
    /// Keys do not rise, or leave the range that the branch pages above give them.
    OutOfOrder,
    /// A key is longer than bbolt takes.
    KeyTooLong,
    /// A branch page has no child.
    BranchEmpty,
    /// A bucket's value holds no bucket.
    BucketInvalid,
    /// The tree is deeper than any honest one.
    TooDeep,
    /// The freelist claims more entries than fit.
    FreelistInvalid,

    /// An element of a leaf does not begin where the one before ends, as bbolt writes them
    /// (`node.write`, v1.3): its position is not what was written.
    ElementsApart,
    /// The meta pages contradict each other.
    Metas,
    /// One of the two meta pages is not valid; the other is in use.
    MetaInvalid,
    /// The transactions of the two meta pages are not successive.
    MetasApart,
    /// Bytes of a page belong to no element and are not zero, or a run has a page too many.
    Slack,
    /// An element has flags that bbolt does not know.
    ElementFlags,
    /// A plain record where bbolt keeps top-level buckets.
    RecordAmongBuckets,

    /// A page below the high water mark is not in use.
    Gap,
    /// There is no freelist page, or it is not empty.
    FreelistNotEmpty,
    /// A branch element's key is not the first key of its subtree.
    FirstKeyDiffers,
    /// A branch page has one child.
    BranchTooSmall,
    /// A leaf without elements below a branch page.
    LeafEmpty,
    /// Leaves are not all at one depth.
    UnevenDepth,
    /// More elements in a page than every bbolt accepts.
    TooManyElements,
    /// A leaf of several records is longer than the writer's limit.
    RunTooLong,
    /// A bucket is inline and should have a page, or the reverse.
    WronglyInline,

    /// A bucket that etcd can't do without is not there.
    BucketMissing,
    /// A bucket that etcd makes at its start is not there.
    BucketAbsent,
    /// A bucket where etcd keeps plain records.
    BucketAmongRecords,
    /// A record's key is no revision, or none that etcd writes.
    RevisionInvalid,
    /// Two records have one revision.
    RevisionTwice,
    /// A record's value does not decode.
    RecordInvalid,
    /// A record contradicts its own revision.
    RecordInconsistent,
    /// A record that is not empty has no key.
    KeyEmpty,
    /// A tombstone holds more than its key.
    TombstoneContent,
    /// A lease does not decode or stands under another's id.
    LeaseInvalid,
    /// A key's lease does not exist.
    LeaseMissing,
    /// Too many leases, or damage among them, to know which exist.
    LeasesUnchecked,
    /// One of the store's own numbers has the wrong size.
    MetaRecordInvalid,
    /// No SHA-256 follows the pages.
    TrailerMissing,
    /// The SHA-256 that follows the pages is not theirs.
    TrailerMismatch,
    /// What follows the pages is neither a SHA-256 nor empty space.
    TrailingBytes,
}

impl FindingCode {
    /// What it means for a file that somebody else wrote. Our own files may have neither.
    pub fn level(self) -> Level {
        match self {
            Self::MetaInvalid
            | Self::MetasApart
            | Self::Slack
            | Self::ElementFlags
            | Self::BucketAbsent
            | Self::KeyEmpty
            | Self::TombstoneContent
            | Self::LeaseMissing
            | Self::LeasesUnchecked
            | Self::TrailerMissing
            | Self::TrailingBytes => Level::Warning,
            _ => Level::Error,
        }
    }

    pub(in crate::verify) fn of(damage: &Corruption) -> Self {
        match damage {
            Corruption::PageOutOfRange { .. } => Self::PageOutOfRange,
            Corruption::WrongPageId { .. } => Self::WrongPageId,
            Corruption::WrongPageKind { .. } => Self::WrongPageKind,
            Corruption::PageUsedTwice { .. } => Self::PageUsedTwice,
            Corruption::ElementsOverlap => Self::ElementsOverlap,
            Corruption::OutOfOrder { .. } => Self::OutOfOrder,
            Corruption::TooDeep { .. } => Self::TooDeep,
            Corruption::FreelistOutOfRange { .. } => Self::FreelistInvalid,
            Corruption::BucketHeaderShort { .. }
            | Corruption::InlineBucketTooLarge { .. }
            | Corruption::PageShort { .. } => Self::BucketInvalid,
            Corruption::MetaInvalid { .. } => Self::MetaInvalid,
            Corruption::RecordAmongBuckets => Self::RecordAmongBuckets,
            Corruption::BucketAmongRecords => Self::BucketAmongRecords,
            Corruption::RevisionInvalid { .. } => Self::RevisionInvalid,
            Corruption::RecordInvalid { .. } => Self::RecordInvalid,
            _ => Self::ElementOutOfRange,
        }
    }
}
