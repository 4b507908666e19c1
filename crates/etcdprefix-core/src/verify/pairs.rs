//! The pairs of a bucket in order, with the status hash of those passed.

use std::cell::RefCell;
use std::ops::Range;

use crate::crc::Crc;
use crate::error::{Corruption, Error, Location, Result};
use crate::read::{Bucket, Leaf, Leaves, PageRun, PageSet, Snapshot, Unit};

/// One pair, or a bucket's name and header.
#[derive(Clone, Copy)]
pub struct Pair<'l> {
    pub is_bucket: bool,
    pub key: &'l [u8],
    pub value: &'l [u8],
}

/// A cursor over pairs. It hashes what it accepts as `snapshot status` does: key and value, of a
/// bucket only the name. In a leaf they lie one after another, so whole stretches are hashed.
pub struct Pairs<'s, 'p> {
    snapshot: &'s Snapshot,
    leaves: Leaves<'s>,
    /// Leaves still to come, if that is not up to the tree.
    left: Option<u32>,
    /// Pages met; a page met twice is damage, which bounds the walk.
    seen: Option<&'p RefCell<PageSet>>,
    leaf: Option<Leaf<'s>>,
    next: usize,
    /// What to hash of the pair last shown.
    current: Range<usize>,
    /// Bytes of the leaf accepted but not yet hashed.
    pending: Range<usize>,
    crc: Crc,
}

impl<'s, 'p> Pairs<'s, 'p> {
    /// All pairs of `bucket`, entering its pages into `seen`.
    pub fn whole(
        snapshot: &'s Snapshot,
        bucket: &Bucket,
        seen: Option<&'p RefCell<PageSet>>,
    ) -> Self {
        Self::over(snapshot, Leaves::new(snapshot, bucket), None, seen)
    }

    /// The pairs of one unit of `bucket`, whose pages were entered when it was cut.
    pub fn of_unit(snapshot: &'s Snapshot, bucket: &Bucket, unit: &Unit) -> Result<Self> {
        let leaves = Leaves::resume(snapshot, bucket, &unit.position)?;
        Ok(Self::over(snapshot, leaves, Some(unit.leaves), None))
    }

    /// The pairs of `bucket` from `key` on.
    pub fn from_key(snapshot: &'s Snapshot, bucket: &Bucket, key: &[u8]) -> Result<Self> {
        let leaves = Leaves::seek(snapshot, bucket, key)?;
        let mut pairs = Self::over(snapshot, leaves, None, None);
        while pairs.peek()?.is_some_and(|pair| pair.key < key) {
            pairs.skip();
        }
        Ok(pairs)
    }

    fn over(
        snapshot: &'s Snapshot,
        leaves: Leaves<'s>,
        left: Option<u32>,
        seen: Option<&'p RefCell<PageSet>>,
    ) -> Self {
        Self {
            snapshot,
            leaves,
            left,
            seen,
            leaf: None,
            next: 0,
            current: 0..0,
            pending: 0..0,
            crc: Crc::default(),
        }
    }

    /// The next pair, which stays the next until accepted or skipped.
    pub fn peek(&mut self) -> Result<Option<Pair<'_>>> {
        while self.leaf.as_ref().is_none_or(|leaf| self.next >= leaf.count()) {
            if !self.next_leaf()? {
                return Ok(None);
            }
        }
        let Some(leaf) = &self.leaf else {
            return Ok(None);
        };
        let span = leaf.span(self.next)?;
        let end = if span.is_bucket() { span.key.end } else { span.value.end };
        self.current = span.key.start..end;
        // A span was inside the run when it was made, and the run is as long as it was.
        let slice = |range: Range<usize>| leaf.run.bytes.get(range).unwrap_or_default();
        Ok(Some(Pair {
            is_bucket: span.is_bucket(),
            key: slice(span.key),
            value: slice(span.value),
        }))
    }

    /// Passes the pair last shown, hashing it.
    pub fn accept(&mut self) {
        if self.pending.end == self.current.start {
            self.pending.end = self.current.end;
        } else {
            self.hash_pending();
            self.pending = self.current.clone();
        }
        self.next += 1;
    }

    /// Passes the pair last shown.
    pub fn skip(&mut self) {
        self.next += 1;
    }

    /// The hash of all pairs accepted.
    pub fn into_crc(mut self) -> Crc {
        self.hash_pending();
        self.crc
    }

    /// An error about the pair last shown.
    pub fn damaged(&self, damage: Corruption) -> Error {
        match &self.leaf {
            Some(leaf) => leaf.damaged(self.next, damage),
            None => self.snapshot.damaged(Location::default(), damage),
        }
    }

    fn hash_pending(&mut self) {
        let leaf = self.leaf.as_ref();
        let bytes = leaf.and_then(|leaf| leaf.run.bytes.get(self.pending.clone()));
        self.crc.update(bytes.unwrap_or_default());
        self.pending = 0..0;
    }

    fn next_leaf(&mut self) -> Result<bool> {
        self.hash_pending();
        self.next = 0;
        self.leaf = None;
        if let Some(left) = &mut self.left {
            if *left == 0 {
                return Ok(false);
            }
            *left -= 1;
        }
        let (snapshot, seen) = (self.snapshot, self.seen);
        self.leaf = self.leaves.next_seen(&mut |run| enter(snapshot, seen, run))?;
        match &self.leaf {
            Some(leaf) => leaf.check_sum().map(|()| true),
            None => Ok(false),
        }
    }
}

fn enter(snapshot: &Snapshot, seen: Option<&RefCell<PageSet>>, run: &PageRun<'_>) -> Result<()> {
    let twice = seen.and_then(|seen| seen.borrow_mut().insert_run(run.pgid, run.pages()));
    let Some(pgid) = twice else { return Ok(()) };
    let at = Location { pgid: Some(run.pgid), ..Location::default() };
    Err(snapshot.damaged(at, Corruption::PageUsedTwice { pgid }))
}
