//! Cuts a bucket's leaves into pieces that threads can take.

use crate::error::{Corruption, Result};
use crate::read::bucket::{Bucket, Root};
use crate::read::leaves::{Leaves, Position};
use crate::read::pages::{PageRun, PageSet};
use crate::read::snapshot::Snapshot;

/// Source bytes after which a unit ends: large enough that the walk to its start costs nothing,
/// small enough that its sizes stay in the cache.
pub const UNIT_BYTES: u64 = 4 << 20;

/// Successive leaves of one bucket: about [`UNIT_BYTES`], or one leaf if that is larger.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Where they begin.
    pub position: Position,
    /// How many.
    pub leaves: u32,
    /// The bytes of their pages.
    pub bytes: u64,
}

/// The units of a bucket in key order.
///
/// Every page met is entered into a set, so a page reached twice, in whatever bucket, is damage;
/// with that the work of all walks together is bounded by the file's size.
pub struct Units<'s, 'p> {
    snapshot: &'s Snapshot,
    leaves: Leaves<'s>,
    seen: &'p mut PageSet,
    unit_bytes: u64,
}

impl<'s, 'p> Units<'s, 'p> {
    /// The units of `bucket`, entering its pages into `seen`.
    pub fn new(snapshot: &'s Snapshot, bucket: &Bucket, seen: &'p mut PageSet) -> Self {
        let leaves = Leaves::new(snapshot, bucket).of_headers();
        Self { snapshot, leaves, seen, unit_bytes: UNIT_BYTES }
    }

    /// The same in units of about `unit_bytes`.
    pub fn of_bytes(self, unit_bytes: u64) -> Self {
        Self { unit_bytes, ..self }
    }

    /// The next unit, `None` after the last.
    ///
    /// # Errors
    /// As [`Leaves::next`], and damaged if a page was seen before.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator's item can't carry this error well"
    )]
    pub fn next(&mut self) -> Result<Option<Unit>> {
        let mut unit = Unit { position: self.leaves.position(), leaves: 0, bytes: 0 };
        while unit.bytes < self.unit_bytes {
            let Some(leaf) = self.next_leaf()? else { break };
            unit.leaves += 1;
            unit.bytes += leaf;
        }
        Ok((unit.leaves > 0).then_some(unit))
    }

    fn next_leaf(&mut self) -> Result<Option<u64>> {
        let (snapshot, seen) = (self.snapshot, &mut *self.seen);
        let leaf = self.leaves.next_seen(&mut |run| insert(snapshot, seen, run))?;
        Ok(leaf.map(|leaf| leaf.run.bytes.len() as u64))
    }
}

fn insert(snapshot: &Snapshot, seen: &mut PageSet, run: &PageRun<'_>) -> Result<()> {
    match seen.insert_run(run.pgid, run.pages()) {
        None => Ok(()),
        Some(pgid) => Err(snapshot.damaged(
            crate::error::Location { pgid: Some(run.pgid), ..Default::default() },
            Corruption::PageUsedTwice { pgid },
        )),
    }
}

impl Root {
    /// Whether the bucket lies inside its parent's leaf.
    pub fn is_inline(&self) -> bool {
        matches!(self, Self::Inline(_))
    }
}
