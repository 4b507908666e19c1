//! Runs of pages, checked where they are read.

use crate::error::{Corruption, Location, Result};
use crate::format::branch::BranchView;
use crate::format::leaf::LeafView;
use crate::format::page::{self, PageHeader};
use crate::read::snapshot::Snapshot;
use crate::read::storage::Bytes;
use crate::units::Pgid;

/// A page with its overflow pages.
#[derive(Clone, Debug)]
pub struct PageRun<'s> {
    /// The first page's position; 0 for an inline bucket.
    pub pgid: Pgid,
    /// The first page's header.
    pub header: PageHeader,
    /// The bytes of all its pages.
    pub bytes: Bytes<'s>,
}

impl PageRun<'_> {
    /// The elements, if the page is a branch.
    pub fn branch(&self) -> Option<BranchView<'_>> {
        (self.header.flags == page::BRANCH).then(|| BranchView::new(&self.bytes, &self.header))
    }

    /// The elements, if the page is a leaf.
    pub fn leaf(&self) -> Option<LeafView<'_>> {
        (self.header.flags == page::LEAF).then(|| LeafView::new(&self.bytes, &self.header))
    }

    /// Pages in the run.
    pub fn pages(&self) -> u64 {
        u64::from(self.header.overflow) + 1
    }
}

impl Snapshot {
    /// Page `pgid` with its overflow pages.
    ///
    /// # Errors
    /// Damaged if the run is not between page 2 and the high water mark or the page calls itself
    /// another one; the kind of page is not judged.
    pub fn page(&self, pgid: Pgid) -> Result<PageRun<'_>> {
        let at = || Location { pgid: Some(pgid), ..Location::default() };
        let first = self.run(pgid, 1, 0)?;
        let header = PageHeader::parse(&first).map_err(|damage| self.damaged(at(), damage))?;
        if header.id != pgid {
            let damage = Corruption::WrongPageId { expected: pgid, found: header.id };
            return Err(self.damaged(at(), damage));
        }
        let bytes = match header.overflow {
            0 => first,
            overflow => self.run(pgid, u64::from(overflow) + 1, overflow)?,
        };
        Ok(PageRun { pgid, header, bytes })
    }

    /// Says that the first `bytes` bytes of page `pgid` are going to be read soon.
    pub(crate) fn prefetch_page(&self, pgid: Pgid, bytes: usize) {
        if let Some(offset) = self.page_size().offset_of(pgid) {
            self.prefetch(offset, bytes);
        }
    }

    /// The bytes of `pages` pages from `pgid`.
    fn run(&self, pgid: Pgid, pages: u64, overflow: u32) -> Result<Bytes<'_>> {
        let high_water_mark = self.meta().high_water_mark;
        let end = pgid.0.checked_add(pages);
        if pgid.0 < 2 || end.is_none_or(|end| end > high_water_mark.0) {
            let damage = Corruption::PageOutOfRange { pgid, overflow, high_water_mark };
            return Err(self.damaged(Location::default(), damage));
        }
        // Inside the high water mark, and that inside the file, so neither product overflows.
        let page_bytes = self.page_size().bytes();
        self.read(pgid.0 * page_bytes, pages * page_bytes)
    }
}

/// A bit for every page below the high water mark: a few megabytes for 100 GB.
#[derive(Debug)]
pub struct PageSet {
    bits: Vec<u64>,
    high_water_mark: Pgid,
}

impl PageSet {
    /// An empty set for the pages of `snapshot`, whose number its file bounds.
    pub fn for_pages_of(snapshot: &Snapshot) -> Self {
        let high_water_mark = snapshot.meta().high_water_mark;
        Self { bits: vec![0; high_water_mark.0.div_ceil(64) as usize], high_water_mark }
    }

    /// Adds `pages` pages from `pgid`; returns the first that was there already.
    pub fn insert_run(&mut self, pgid: Pgid, pages: u64) -> Option<Pgid> {
        let mut twice = None;
        for id in pgid.0..pgid.0.saturating_add(pages).min(self.high_water_mark.0) {
            let (word, bit) = ((id / 64) as usize, 1 << (id % 64));
            if self.bits[word] & bit != 0 {
                twice = twice.or(Some(Pgid(id)));
            }
            self.bits[word] |= bit;
        }
        twice
    }

    /// Whether `pgid` is in the set; pages beyond the high water mark never are.
    pub fn contains(&self, pgid: Pgid) -> bool {
        let word = self.bits.get((pgid.0 / 64) as usize);
        word.is_some_and(|word| word & (1 << (pgid.0 % 64)) != 0)
    }
}
