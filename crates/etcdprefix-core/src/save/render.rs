//! Renders one chunk: source records in, leaf and branch pages out.

use std::ops::Range;

use crate::aligned::AlignedBytes;
use crate::crc::Crc;
use crate::error::{BusyReason, Corruption, Result};
use crate::format::bucket::BucketHeader;
use crate::format::leaf::ElementSpan;
use crate::format::page::{LEAF, PageHeader};
use crate::read::{Leaf, Leaves, PageRun, Snapshot};
use crate::rewrite::PrefixRule;
use crate::rewrite::key_bucket::{Record, judge};
use crate::rewrite::roles;
use crate::rewrite::schema::RecordKey;
use crate::save::branch_pages::{groups, render_branch};
use crate::save::buffer::{PageBuffer, PageOut};
use crate::save::chunk::Chunk;
use crate::save::leaf_pages::{Cell, CellValue, LeafFill, LeafShape, leaf_header, render_leaf};
use crate::save::plan::{BucketKind, TreePlan};
use crate::save::size::{is_kept, value_bytes};
use crate::units::Pgid;

/// What rendering needs of the whole.
#[derive(Clone, Copy)]
pub struct Source<'s> {
    /// The source.
    pub snapshot: &'s Snapshot,
    /// The rule.
    pub rule: &'s PrefixRule,
}

impl<'s> Source<'s> {
    /// Renders `chunk` of `tree` into `out`; returns the status hash of its source elements.
    ///
    /// # Errors
    /// As sizing, and busy if the source no longer has the sizes that were planned.
    pub fn render_chunk(
        self,
        tree: &TreePlan,
        chunk: &Chunk,
        out: &mut impl PageOut,
    ) -> Result<Crc> {
        let mut renderer = Renderer::new(self, tree, chunk, out);
        renderer.elements()?;
        renderer.finish()?;
        Ok(renderer.before.finish())
    }

    /// Renders the page of an inline bucket; returns it with the status hashes of its source
    /// elements and of its own.
    pub fn render_inline(self, tree: &TreePlan) -> Result<(AlignedBytes, Crc, Crc)> {
        let mut out = PageBuffer::default();
        let mut before = Crc::default();
        for chunk in &tree.chunks {
            before = self.render_chunk(tree, chunk, &mut out)?;
        }
        let (bytes, after) = out.finish();
        let planned = tree.inline_bytes == Some(bytes.len() as u64);
        if planned { Ok((bytes, before, after)) } else { Err(self.changed()) }
    }

    /// The value that describes `child` in its parent's leaf.
    fn bucket_value(self, child: &TreePlan) -> Result<Vec<u8>> {
        let header = BucketHeader { root: child.root, sequence: child.bucket.sequence };
        let mut value = header.encode().to_vec();
        if child.inline_bytes.is_some() {
            value.extend_from_slice(&self.render_inline(child)?.0);
        }
        Ok(value)
    }

    fn changed(self) -> crate::Error {
        self.snapshot.busy(BusyReason::Changed)
    }
}

struct Renderer<'s, 'p, O> {
    source: Source<'s>,
    tree: &'p TreePlan,
    chunk: &'p Chunk,
    out: &'p mut O,
    fill: LeafFill,
    /// The records of the leaf at hand, and the source runs that they are in.
    cells: Vec<Cell>,
    runs: Vec<PageRun<'s>>,
    /// First keys, one after the other, and sizes and pages of the leaves so far.
    leaf_keys: Vec<u8>,
    leaves: Vec<(u32, Pgid)>,
    next_pgid: u64,
    next_child: usize,
    before: SourceCrc,
}

impl<'s, 'p, O: PageOut> Renderer<'s, 'p, O> {
    fn new(source: Source<'s>, tree: &'p TreePlan, chunk: &'p Chunk, out: &'p mut O) -> Self {
        Self {
            source,
            tree,
            chunk,
            out,
            fill: LeafFill::new(source.snapshot.page_size()),
            cells: Vec::new(),
            runs: Vec::new(),
            leaf_keys: Vec::new(),
            leaves: Vec::new(),
            next_pgid: chunk.first_pgid.0,
            next_child: chunk.first_child,
            before: SourceCrc::default(),
        }
    }

    fn elements(&mut self) -> Result<()> {
        let (mut skip, mut left) = (self.chunk.skip, self.chunk.elements);
        // An empty bucket has no unit.
        let Some(unit) = self.tree.units.get(self.chunk.unit) else {
            return Ok(());
        };
        let snapshot = self.source.snapshot;
        let mut leaves = Leaves::resume(snapshot, &self.tree.bucket, &unit.position)?;
        while left > 0 {
            let leaf = leaves.next()?.ok_or_else(|| self.source.changed())?;
            let count = leaf.count() as u64;
            let elements = skip.min(count)..count.min(skip + left);
            skip -= elements.start;
            left -= elements.end - elements.start;
            self.leaf(leaf, elements.start as usize..elements.end as usize)?;
        }
        Ok(())
    }

    fn leaf(&mut self, leaf: Leaf<'s>, elements: Range<usize>) -> Result<()> {
        self.runs.push(leaf.run.clone());
        for index in elements {
            let span = leaf.span(index)?;
            self.before.element(&leaf.run.bytes, &span);
            if let Some(cell) = self.cell(&leaf, index, span)? {
                self.push(cell)?;
            }
        }
        self.before.end_run(&leaf.run.bytes);
        // A run whose records were all dropped is not waited for, however many follow.
        if self.cells.last().is_none_or(|cell| cell.run + 1 != self.runs.len()) {
            self.runs.pop();
        }
        Ok(())
    }

    /// The output record of element `index`, `None` if it is dropped.
    fn cell(&mut self, leaf: &Leaf<'_>, index: usize, span: ElementSpan) -> Result<Option<Cell>> {
        let ElementSpan { key, value, .. } = span.clone();
        let run = self.runs.len() - 1;
        if span.is_bucket() {
            let child = self.tree.children.get(self.next_child);
            let bytes = self.source.bucket_value(child.ok_or_else(|| self.source.changed())?)?;
            self.next_child += 1;
            let value_bytes = bytes.len() as u64;
            return Ok(Some(Cell { run, key, value: CellValue::Bucket(bytes), value_bytes }));
        }
        let rendered = match self.tree.kind {
            BucketKind::Records => self.record(leaf, index, &span)?,
            BucketKind::Roles => Some(self.role(leaf, index, value)?),
            BucketKind::Root | BucketKind::Plain => {
                let value_bytes = value.len() as u64;
                Some((CellValue::Copy(value), value_bytes))
            }
        };
        Ok(rendered.map(|(value, value_bytes)| Cell { run, key, value, value_bytes }))
    }

    /// A record's value in the output and its size, `None` if it is dropped.
    fn record(
        &self,
        leaf: &Leaf<'_>,
        index: usize,
        span: &ElementSpan,
    ) -> Result<Option<(CellValue, u64)>> {
        let (rule, value) = (self.source.rule, span.value.clone());
        let bytes = leaf.run.bytes.get(value.clone()).unwrap_or_default();
        let judged = judge(rule, bytes).map_err(|why| undecodable(leaf, index, span, why))?;
        let value_bytes = value_bytes(rule, &judged, bytes.len());
        Ok(match judged.record {
            Record::Matched { splice, .. } => Some((CellValue::Splice(value, splice), value_bytes)),
            record if is_kept(rule, &record) => Some((CellValue::Copy(value), value_bytes)),
            _ => None,
        })
    }

    fn role(&self, leaf: &Leaf<'_>, index: usize, value: Range<usize>) -> Result<(CellValue, u64)> {
        let bytes = leaf.run.bytes.get(value.clone()).unwrap_or_default();
        let role = roles::rewrite(self.source.rule, bytes)
            .map_err(|why| leaf.damaged(index, Corruption::RoleInvalid { why }))?;
        let value_bytes = role.value.as_ref().map_or(value.len(), Vec::len) as u64;
        Ok((role.value.map_or(CellValue::Copy(value), CellValue::New), value_bytes))
    }

    fn push(&mut self, mut cell: Cell) -> Result<()> {
        if let Some(shape) = self.fill.push(cell.key.len() as u64 + cell.value_bytes) {
            self.end_leaf(shape)?;
            // Only the run at hand is still needed.
            self.runs.drain(..cell.run);
            cell.run = 0;
        }
        self.cells.push(cell);
        Ok(())
    }

    fn end_leaf(&mut self, shape: LeafShape) -> Result<()> {
        let pgid = Pgid(self.next_pgid);
        let header = if self.tree.inline_bytes.is_some() {
            PageHeader { id: Pgid(0), flags: LEAF, count: shape.records as u16, overflow: 0 }
        } else {
            self.next_pgid += shape.pages;
            leaf_header(pgid, shape)
        };
        if self.next_pgid > self.chunk.first_pgid.0 + self.chunk.leaf_pages {
            return Err(self.source.changed());
        }
        if let Some(first) = self.cells.first() {
            let run = self.runs.get(first.run).map(|run| &*run.bytes).unwrap_or_default();
            self.leaf_keys.extend_from_slice(run.get(first.key.clone()).unwrap_or_default());
            self.leaves.push((first.key.len() as u32, pgid));
        }
        let page_size = self.source.snapshot.page_size();
        render_leaf(self.out, page_size, header, &self.cells, &self.runs, self.source.rule)?;
        self.cells.clear();
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        if let Some(key) = self.chunk.bump {
            self.push_bump(key)?;
        }
        let inline = self.tree.inline_bytes.is_some();
        match self.fill.finish() {
            Some(shape) => self.end_leaf(shape)?,
            None if inline => self.end_leaf(LeafShape { records: 0, pages: 1 })?,
            None => {}
        }
        if inline {
            return Ok(());
        }
        if self.next_pgid != self.chunk.first_pgid.0 + self.chunk.leaf_pages {
            return Err(self.source.changed());
        }
        if self.chunk.branch_pages > 0 { self.branches() } else { Ok(()) }
    }

    fn push_bump(&mut self, key: [u8; 17]) -> Result<()> {
        let header = PageHeader { id: Pgid(0), flags: LEAF, count: 0, overflow: 0 };
        self.runs.push(PageRun { pgid: Pgid(0), header, bytes: key.to_vec().into() });
        let run = self.runs.len() - 1;
        let value = CellValue::Copy(key.len()..key.len());
        self.push(Cell { run, key: 0..key.len(), value, value_bytes: 0 })
    }

    fn branches(&mut self) -> Result<()> {
        let page_size = self.source.snapshot.page_size();
        let sizes: Vec<u32> = self.leaves.iter().map(|(bytes, _)| *bytes).collect();
        let (mut leaf, mut key_at) = (0, 0);
        for group in groups(page_size, &sizes) {
            let leaves = self.leaves.get(leaf..leaf + group.children).unwrap_or_default();
            let mut end = key_at;
            let mut children = Vec::with_capacity(leaves.len());
            for &(bytes, pgid) in leaves {
                let key = end..end + bytes as usize;
                end = key.end;
                children.push((self.leaf_keys.get(key).unwrap_or_default(), pgid));
            }
            let at = Pgid(self.next_pgid);
            render_branch(self.out, page_size, at, group, children.iter().copied())?;
            self.next_pgid += group.pages;
            leaf += group.children;
            key_at = end;
        }
        let end = self.chunk.first_pgid.0 + self.chunk.pages();
        if self.next_pgid == end { Ok(()) } else { Err(self.source.changed()) }
    }
}

fn undecodable(
    leaf: &Leaf<'_>,
    index: usize,
    span: &ElementSpan,
    why: &'static str,
) -> crate::Error {
    let key = leaf.run.bytes.get(span.key.clone()).unwrap_or_default();
    let revision = RecordKey::parse(key).map(|key| key.revision).unwrap_or_default();
    leaf.damaged(index, Corruption::RecordInvalid { revision, why })
}

/// The status hash of source elements; bbolt writes keys and values side by side, so a whole leaf
/// is hashed in one go.
#[derive(Default)]
struct SourceCrc {
    crc: Crc,
    pending: Range<usize>,
}

impl SourceCrc {
    fn element(&mut self, run: &[u8], span: &ElementSpan) {
        // The status hash sees a sub-bucket's name only.
        let end = if span.is_bucket() { span.key.end } else { span.value.end };
        if span.key.start != self.pending.end {
            self.end_run(run);
            self.pending = span.key.start..span.key.start;
        }
        self.pending.end = end;
    }

    fn end_run(&mut self, run: &[u8]) {
        self.crc.update(run.get(self.pending.clone()).unwrap_or_default());
        self.pending = 0..0;
    }

    fn finish(self) -> Crc {
        self.crc
    }
}
