//! What a structure check has to say.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::error::Corruption;
use crate::units::Pgid;

/// Findings kept of each code; the totals are exact beyond it, so a hostile file makes no huge
/// report.
pub const KEPT_PER_CODE: u64 = 20;

/// What kind of fault a finding is about.
///
/// The first part is what bbolt's `Check` (v1.3.11, v1.4) finds or panics at; the second only
/// [`Expect::Compact`](super::Expect::Compact) asks for.
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

    /// A page below the high water mark is not in use.
    Gap,
    /// The two meta pages are not those of successive commits of the same content.
    Metas,
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
    /// Bytes of a page belong to no element and are not zero, or a run has a page too many.
    Slack,
    /// An element has flags that bbolt does not know.
    ElementFlags,
}

impl FindingCode {
    pub(super) fn of(damage: &Corruption) -> Self {
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
            Corruption::MetaInvalid { .. } => Self::Metas,
            _ => Self::ElementOutOfRange,
        }
    }
}

/// One fault and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The kind of fault.
    pub code: FindingCode,
    /// The bucket whose tree was walked, nested ones joined by `/`; empty for the root bucket,
    /// `None` outside of all trees.
    pub bucket: Option<String>,
    /// The page.
    pub pgid: Option<Pgid>,
    /// What is wrong, for a person. No keys but in hexadecimal, no values at all.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(pgid) = self.pgid {
            write!(f, "page {pgid}: ")?;
        }
        f.write_str(&self.detail)?;
        match self.bucket.as_deref() {
            None | Some("") => Ok(()),
            Some(bucket) => write!(f, " (bucket {bucket})"),
        }
    }
}

/// Findings in the order they were made, with exact totals.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// At most [`KEPT_PER_CODE`] of each code.
    pub kept: Vec<Finding>,
    /// How many there are of each code.
    pub totals: BTreeMap<FindingCode, u64>,
}

impl Findings {
    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.totals.is_empty()
    }

    /// How many there are, kept or not.
    pub fn total(&self) -> u64 {
        self.totals.values().sum()
    }

    /// The first finding and the number of all, on one line; `None` if there are none.
    pub fn summary(&self) -> Option<String> {
        let first = self.kept.first()?;
        Some(match self.total() {
            1 => first.to_string(),
            total => format!("{first}, and {} more", total - 1),
        })
    }

    /// `finding` is only made if it is to be kept.
    pub(super) fn add(&mut self, code: FindingCode, finding: impl FnOnce() -> Finding) {
        let total = self.totals.entry(code).or_default();
        *total += 1;
        if *total <= KEPT_PER_CODE {
            self.kept.push(finding());
        }
    }
}
