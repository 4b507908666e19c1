//! Whether a file is sound below its records: every page in one place, every key in order.
//!
//! It answers what bbolt's `Check` (`tx_check.go`, v1.3.11 to v1.4) asks, and for files of our own
//! writer more. Faults are findings, and a faulty page ends only its own subtree, so one run finds
//! all there is to find. A page is entered once, whoever points at it, which bounds the work by
//! the file's size; memory is two bits a page and one path through the trees.

mod buckets;
mod frame;
mod leaf;
mod metas;
mod next;
mod order;
mod space;
mod walk;

pub use crate::verify::findings::{Finding, FindingCode, Findings, KEPT_PER_CODE, Level};

pub(in crate::verify) use walk::{MetLeaves, Walk};

use serde::Serialize;

use crate::error::Result;
use crate::progress::Progress;
use crate::read::Snapshot;

/// What a file has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Sound, as bbolt's `Check` has it.
    Sound,
    /// Sound, and every byte accounted for, as etcd writes files: what bbolt's `Check` passes over
    /// is found too, most of it as a warning.
    Accounted,
    /// Sound, and laid out as this crate writes files: no unused page, no slack that means
    /// something, trees of even depth, and whatever else every bbolt since v1.3 relies on.
    Compact,
}

/// What a walk over all trees saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StructureReport {
    /// What is wrong; the numbers below leave out what lies behind it.
    pub findings: Findings,
    /// Pages of all kinds below the high water mark.
    pub pages: u64,
    /// Branch pages, overflow included.
    pub branch_pages: u64,
    /// Leaf pages, overflow included.
    pub leaf_pages: u64,
    /// Pages of the freelist itself.
    pub freelist_pages: u64,
    /// Pages on the freelist; without one, as etcd leaves it, those that nothing leads to.
    pub free_pages: u64,
    /// Top-level and nested buckets.
    pub buckets: u64,
    /// Pairs of all top-level buckets, a nested bucket counting as one: `totalKey` of etcd 3.5.
    pub pairs: u64,
    /// Pairs of bucket `key`.
    pub records: u64,
}

/// Walks every tree of `snapshot`. The caller begins the phase; about `pages_bytes()` are reported.
///
/// # Errors
/// I/O, or interrupted. Whatever is wrong with the file's content is a finding.
pub fn check_structure(
    snapshot: &Snapshot,
    expect: Expect,
    progress: &dyn Progress,
) -> Result<StructureReport> {
    let mut walk = walk::Walk::new(snapshot, expect, progress);
    walk.free_space()?;
    walk.trees()?;
    walk.unreached()?;
    Ok(walk.into_report())
}
