//! Leaf pages: how many records go into one, and its bytes.

use std::ops::Range;

use crate::error::Result;
use crate::format::leaf::{BUCKET, ELEMENT_BYTES, encode_element};
use crate::format::page::{HEADER_BYTES, LEAF, MAX_ELEMENTS, PageHeader};
use crate::read::PageRun;
use crate::rewrite::PrefixRule;
use crate::rewrite::key_bucket::Splice;
use crate::save::buffer::PageOut;
use crate::units::{PageSize, Pgid};

/// Pages of a leaf that holds several records. A run over several pages wastes less at its end
/// than a page would, and etcd splits it again when a compaction touches it.
const RUN_PAGES_MAX: u64 = 16;
/// A leaf ends where less than this part of it would be wasted.
const SLACK_PART: u64 = 32;

/// Decides where leaves end, from the sizes of records in order. The same sizes always give the
/// same leaves, so sizing and rendering agree without a list of them.
#[derive(Clone, Debug)]
pub struct LeafFill {
    page_size: PageSize,
    used_bytes: u64,
    records: u32,
}

/// A leaf that is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafShape {
    /// Its records.
    pub records: u32,
    /// Its pages.
    pub pages: u64,
}

impl LeafFill {
    /// Begins with an empty leaf.
    pub fn new(page_size: PageSize) -> Self {
        Self { page_size, used_bytes: HEADER_BYTES as u64, records: 0 }
    }

    /// Takes a record whose key and value have `bytes` bytes together; returns the leaf that
    /// ended before it, if one did.
    pub fn push(&mut self, bytes: u64) -> Option<LeafShape> {
        let element_bytes = ELEMENT_BYTES as u64 + bytes;
        let ended = if self.ends_before(element_bytes) { self.finish() } else { None };
        self.used_bytes += element_bytes;
        self.records += 1;
        ended
    }

    /// Whether the record pushed last is the first of its leaf.
    pub fn began(&self) -> bool {
        self.records == 1
    }

    /// Ends the current leaf; `None` if it is empty.
    pub fn finish(&mut self) -> Option<LeafShape> {
        let shape = LeafShape { records: self.records, pages: self.pages(self.used_bytes) };
        *self = Self::new(self.page_size);
        (shape.records > 0).then_some(shape)
    }

    fn ends_before(&self, element_bytes: u64) -> bool {
        let pages = self.pages(self.used_bytes);
        let pages_after = self.pages(self.used_bytes + element_bytes);
        let slack_bytes = pages * self.page_size.bytes() - self.used_bytes;
        let little_slack = slack_bytes * SLACK_PART <= pages * self.page_size.bytes();
        let grows = pages_after > pages;
        let too_long = pages_after > RUN_PAGES_MAX;
        self.records > 0 && (self.records >= MAX_ELEMENTS || too_long || (grows && little_slack))
    }

    fn pages(&self, bytes: u64) -> u64 {
        self.page_size.pages_for(bytes)
    }
}

/// A record on its way into a leaf: ranges of a source page run, no bytes.
#[derive(Clone, Debug)]
pub struct Cell {
    /// The number of the run that the ranges are in.
    pub run: usize,
    /// The key.
    pub key: Range<usize>,
    /// The value.
    pub value: CellValue,
    /// The value's size in the output.
    pub value_bytes: u64,
}

/// Where an output value comes from.
#[derive(Clone, Debug)]
pub enum CellValue {
    /// The source, unchanged.
    Copy(Range<usize>),
    /// The source, with another key prefix.
    Splice(Range<usize>, Splice),
    /// Made anew.
    New(Vec<u8>),
    /// A bucket header, with its page if it is inline.
    Bucket(Vec<u8>),
}

/// Renders one leaf of `pages` pages.
pub fn render_leaf(
    out: &mut impl PageOut,
    page_size: PageSize,
    header: PageHeader,
    cells: &[Cell],
    runs: &[PageRun<'_>],
    rule: &PrefixRule,
) -> Result<()> {
    out.put(&header.encode())?;
    let mut data_at = HEADER_BYTES + cells.len() * ELEMENT_BYTES;
    for (index, cell) in cells.iter().enumerate() {
        let pos = data_at - (HEADER_BYTES + index * ELEMENT_BYTES);
        let flags = if matches!(cell.value, CellValue::Bucket(_)) { BUCKET } else { 0 };
        let (ksize, vsize) = (cell.key.len(), cell.value_bytes as usize);
        out.put(&encode_element(flags, pos as u32, ksize as u32, vsize as u32))?;
        data_at += ksize + vsize;
    }
    for cell in cells {
        render_cell(out, cell, runs, rule)?;
    }
    // An inline page ends with its last value.
    if header.id == Pgid(0) {
        return Ok(());
    }
    let run_bytes = (u64::from(header.overflow) + 1) * page_size.bytes();
    out.put_zeros(run_bytes.saturating_sub(data_at as u64))
}

fn render_cell(
    out: &mut impl PageOut,
    cell: &Cell,
    runs: &[PageRun<'_>],
    rule: &PrefixRule,
) -> Result<()> {
    let bytes = runs.get(cell.run).map(|run| &*run.bytes).unwrap_or_default();
    let slice = |range: Range<usize>| bytes.get(range).unwrap_or_default();
    out.put_hashed(slice(cell.key.clone()))?;
    match &cell.value {
        CellValue::Copy(value) => out.put_hashed(slice(value.clone())),
        CellValue::Splice(value, splice) => {
            out.put_hashed(slice(value.start..value.start + splice.cut.start))?;
            out.put_hashed(&splice.head())?;
            out.put_hashed(rule.dst().as_bytes())?;
            out.put_hashed(slice(value.start + splice.cut.end..value.end))
        }
        CellValue::New(value) => out.put_hashed(value),
        // The status hash sees a sub-bucket's name only.
        CellValue::Bucket(value) => out.put(value),
    }
}

/// The header of a leaf with this shape.
pub fn leaf_header(pgid: Pgid, shape: LeafShape) -> PageHeader {
    let overflow = shape.pages.saturating_sub(1) as u32;
    PageHeader { id: pgid, flags: LEAF, count: shape.records as u16, overflow }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(sizes: &[u64]) -> Vec<LeafShape> {
        let mut fill = LeafFill::new(PageSize::new(4096).unwrap());
        let mut leaves: Vec<_> = sizes.iter().filter_map(|&size| fill.push(size)).collect();
        leaves.extend(fill.finish());
        leaves
    }

    #[test]
    fn small_records_fill_single_pages() {
        let leaves = leaves(&[100; 1000]);
        let full = LeafShape { records: 35, pages: 1 };
        assert!(leaves.iter().rev().skip(1).all(|leaf| *leaf == full), "{leaves:?}");
    }

    #[test]
    fn awkward_records_share_a_run_with_little_waste() {
        let leaves = leaves(&[1400; 1000]);
        let pages: u64 = leaves.iter().map(|leaf| leaf.pages).sum();
        assert!(leaves.iter().all(|leaf| leaf.pages <= RUN_PAGES_MAX));
        assert!(pages * 4096 < 1000 * 1416 * 104 / 100, "{pages}");
    }

    #[test]
    fn a_large_record_stands_alone() {
        let single = |pages| LeafShape { records: 1, pages };
        assert_eq!(leaves(&[100, 1 << 20, 100]), [single(1), single(257), single(1)]);
        assert_eq!(leaves(&[]), []);
    }

    #[test]
    fn a_page_never_holds_more_elements_than_bbolt_reads() {
        let mut fill = LeafFill::new(PageSize::new(65_536).unwrap());
        let first = (0..200_000).find_map(|_| fill.push(0)).unwrap();
        assert!(first.records <= MAX_ELEMENTS);
    }
}
