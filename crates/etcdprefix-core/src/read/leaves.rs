//! The leaves of a bucket's tree, in key order.

use crate::error::{Corruption, Location, Result};
use crate::format::leaf::{ELEMENT_BYTES, ElementSpan, LeafElement, LeafView};
use crate::format::page::{self, HEADER_BYTES, PageHeader};
use crate::read::bucket::{Bucket, Root};
use crate::read::pages::PageRun;
use crate::read::snapshot::Snapshot;
use crate::units::Pgid;

/// Deeper than any tree that fits on a disk: with two children a branch, 64 levels hold more
/// pages than a u64 counts. A crafted chain of one-child branches ends here instead of in the
/// whole file.
pub const MAX_DEPTH: usize = 64;

/// What a walk has the processor fetch before it is there. Pages of a tree lie anywhere in the file,
/// so without asking every leaf is waited for.
#[derive(Clone, Copy)]
struct Prefetch {
    /// How many leaves ahead.
    leaves: usize,
    /// So much of a leaf; what it has beyond that is read in order, which the processor sees itself.
    bytes: usize,
}

const WHOLE_LEAVES: Prefetch = Prefetch { leaves: 3, bytes: 4096 };
const HEADERS: Prefetch = Prefetch { leaves: 16, bytes: HEADER_BYTES };

/// A walk over a bucket's leaves. It holds one page run for each level.
pub struct Leaves<'s> {
    snapshot: &'s Snapshot,
    bucket: Bucket,
    stack: Vec<Frame<'s>>,
    started: bool,
    prefetch: Prefetch,
}

struct Frame<'s> {
    run: PageRun<'s>,
    next: usize,
}

/// A point between two leaves, to go on from later: a few bytes for each level of the tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    path: Vec<(Pgid, u32)>,
    started: bool,
}

impl<'s> Leaves<'s> {
    /// A walk from the first leaf. Nothing is read yet.
    pub fn new(snapshot: &'s Snapshot, bucket: &Bucket) -> Self {
        let (bucket, stack) = (bucket.clone(), Vec::new());
        Self { snapshot, bucket, stack, started: false, prefetch: WHOLE_LEAVES }
    }

    /// The same for one who only looks at the leaves' headers.
    pub(crate) fn of_headers(self) -> Self {
        Self { prefetch: HEADERS, ..self }
    }

    /// A walk from `position`, which an earlier walk over the same bucket gave.
    ///
    /// # Errors
    /// Damaged if the branch pages on its path are no longer there.
    pub fn resume(snapshot: &'s Snapshot, bucket: &Bucket, position: &Position) -> Result<Self> {
        let mut leaves = Self::new(snapshot, bucket);
        leaves.started = position.started;
        for &(pgid, next) in &position.path {
            let run = snapshot.page(pgid)?;
            leaves.stack.push(Frame { run, next: next as usize });
        }
        Ok(leaves)
    }

    /// A walk from the leaf where `key` is or would be.
    ///
    /// # Errors
    /// As [`Leaves::next`].
    pub fn seek(snapshot: &'s Snapshot, bucket: &Bucket, key: &[u8]) -> Result<Self> {
        let mut leaves = Self::new(snapshot, bucket);
        let Root::Page(root) = leaves.bucket.root else {
            return Ok(leaves);
        };
        let mut run = snapshot.page(root)?;
        while let Some(branch) = run.branch() {
            leaves.check_depth(&run)?;
            leaves.started = true;
            let next = last_not_above(&branch, key).map_err(|d| leaves.damaged(&run, d))?;
            let child = branch.element(next).map_err(|d| leaves.damaged(&run, d))?.child;
            leaves.stack.push(Frame { run, next: next + 1 });
            run = snapshot.page(child)?;
        }
        // The walk stands before the leaf, not behind it.
        if let Some(frame) = leaves.stack.last_mut() {
            frame.next -= 1;
        }
        Ok(leaves)
    }

    /// The point before the leaf that [`Leaves::next`] would give.
    pub fn position(&self) -> Position {
        let path = self.stack.iter().map(|frame| (frame.run.pgid, frame.next as u32)).collect();
        Position { path, started: self.started }
    }

    /// The next leaf in key order, `None` after the last.
    ///
    /// # Errors
    /// I/O; damaged if a page is out of range, calls itself another one, is neither branch nor
    /// leaf, an element leaves its page, or the tree is too deep.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator's item can't carry this error well"
    )]
    pub fn next(&mut self) -> Result<Option<Leaf<'s>>> {
        self.next_seen(&mut |_| Ok(()))
    }

    /// As [`Leaves::next`], showing every page run, branches included, to `seen` before it is used.
    pub fn next_seen(
        &mut self,
        seen: &mut impl FnMut(&PageRun<'s>) -> Result<()>,
    ) -> Result<Option<Leaf<'s>>> {
        let mut pgid = if self.started {
            self.next_child()?
        } else {
            self.started = true;
            match &self.bucket.root {
                Root::Inline(bytes) => return self.inline_leaf(&bytes.clone()).map(Some),
                Root::Page(pgid) => Some(*pgid),
            }
        };
        while let Some(child) = pgid {
            let run = self.snapshot.page(child)?;
            seen(&run)?;
            match run.header.flags {
                page::LEAF => return Ok(Some(self.leaf(run))),
                page::BRANCH => self.check_depth(&run)?,
                flags => return Err(self.wrong_kind(&run, flags)),
            }
            self.stack.push(Frame { run, next: 0 });
            pgid = self.next_child()?;
        }
        Ok(None)
    }

    fn next_child(&mut self) -> Result<Option<Pgid>> {
        while let Some(frame) = self.stack.last_mut() {
            let count = usize::from(frame.run.header.count);
            if frame.next < count
                && let Some(branch) = frame.run.branch()
            {
                let child = branch.element(frame.next).map(|element| element.child);
                if let Ok(later) = branch.element(frame.next + self.prefetch.leaves) {
                    self.snapshot.prefetch_page(later.child, self.prefetch.bytes);
                }
                frame.next += 1;
                return match child {
                    Ok(child) => Ok(Some(child)),
                    Err(damage) => {
                        let pgid = Some(frame.run.pgid);
                        Err(self.damaged_at(pgid, damage))
                    }
                };
            }
            self.stack.pop();
        }
        Ok(None)
    }

    fn leaf(&self, run: PageRun<'s>) -> Leaf<'s> {
        Leaf { snapshot: self.snapshot, name: self.bucket.name.clone(), run }
    }

    fn inline_leaf(&self, bytes: &[u8]) -> Result<Leaf<'s>> {
        let header = PageHeader::parse(bytes).map_err(|d| self.damaged_at(None, d))?;
        let run = PageRun { pgid: Pgid(0), header, bytes: bytes.to_vec().into() };
        match header.flags {
            page::LEAF => Ok(self.leaf(run)),
            flags => Err(self.wrong_kind(&run, flags)),
        }
    }

    fn check_depth(&self, run: &PageRun<'_>) -> Result<()> {
        if self.stack.len() < MAX_DEPTH {
            return Ok(());
        }
        Err(self.damaged(run, Corruption::TooDeep { limit: MAX_DEPTH }))
    }

    fn wrong_kind(&self, run: &PageRun<'_>, flags: u16) -> crate::Error {
        self.damaged(run, Corruption::WrongPageKind { flags, expected: "a branch or leaf page" })
    }

    fn damaged(&self, run: &PageRun<'_>, damage: Corruption) -> crate::Error {
        self.damaged_at(Some(run.pgid), damage)
    }

    fn damaged_at(&self, pgid: Option<Pgid>, damage: Corruption) -> crate::Error {
        let bucket = Some(self.bucket.display_name());
        self.snapshot.damaged(Location { bucket, pgid, element: None }, damage)
    }
}

/// The last branch element whose key is not above `key`, the first if all are.
fn last_not_above(
    branch: &crate::format::branch::BranchView<'_>,
    key: &[u8],
) -> Result<usize, Corruption> {
    let (mut low, mut high) = (0, branch.count());
    while low < high {
        let middle = usize::midpoint(low, high);
        if branch.element(middle)?.key <= key { low = middle + 1 } else { high = middle }
    }
    Ok(low.saturating_sub(1))
}

/// A leaf of a bucket's tree, or an inline bucket's page.
#[derive(Clone)]
pub struct Leaf<'s> {
    snapshot: &'s Snapshot,
    name: std::sync::Arc<[u8]>,
    /// The leaf's bytes.
    pub run: PageRun<'s>,
}

impl Leaf<'_> {
    /// How many elements it claims.
    pub fn count(&self) -> usize {
        usize::from(self.run.header.count)
    }

    /// Element `index`.
    ///
    /// # Errors
    /// Damaged if the element, its key or its value leaves the page's run.
    pub fn element(&self, index: usize) -> Result<LeafElement<'_>> {
        self.view().element(index).map_err(|damage| self.damaged(index, damage))
    }

    /// Where element `index` lies in [`Leaf::run`]; errors as [`Leaf::element`].
    pub fn span(&self, index: usize) -> Result<ElementSpan> {
        self.view().span(index).map_err(|damage| self.damaged(index, damage))
    }

    /// Proves that the elements do not share bytes: without this a small page could claim the
    /// same large value thousands of times.
    ///
    /// # Errors
    /// Damaged if keys, values and element headers add up to more than the run.
    pub fn check_sum(&self) -> Result<()> {
        let mut sum = page::HEADER_BYTES as u64;
        for index in 0..self.count() {
            let span = self.span(index)?;
            sum += (ELEMENT_BYTES + span.key.len() + span.value.len()) as u64;
        }
        let fits = sum <= self.run.bytes.len() as u64;
        if fits { Ok(()) } else { Err(self.damaged(0, Corruption::ElementsOverlap)) }
    }

    /// An error about element `index`.
    pub fn damaged(&self, index: usize, damage: Corruption) -> crate::Error {
        let bucket = String::from_utf8_lossy(&self.name).into_owned();
        let pgid = Some(self.run.pgid);
        let at = Location { bucket: Some(bucket), pgid, element: Some(index as u64) };
        self.snapshot.damaged(at, damage)
    }

    /// Its elements, for one who reads many of them.
    pub fn view(&self) -> LeafView<'_> {
        LeafView::new(&self.run.bytes, &self.run.header)
    }
}
