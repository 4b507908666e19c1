//! Gives every page of the plan its place.
//!
//! In file order: meta pages, an empty freelist page, then the root bucket and bucket after bucket,
//! each before its sub-buckets: the branch pages above its chunks, then the chunks. Everything that
//! stands in the first pages is known before the first byte is written, since the SHA-256 runs over
//! the file from its beginning. Upper branch pages come first so that who walks a tree reads the
//! file about in order, and can do so while it is being written.

use crate::save::branch_pages::{Group, groups};
use crate::save::plan::TreePlan;
use crate::units::{PageSize, Pgid};

/// The empty freelist's page.
pub const FREELIST_PGID: Pgid = Pgid(2);
const FIRST_PGID: u64 = 3;

/// One level of branch pages above a bucket's chunks.
#[derive(Debug)]
pub struct Level {
    /// First keys and pages of the level below.
    pub children: Vec<(Box<[u8]>, Pgid)>,
    /// How the pages share them out.
    pub groups: Vec<Group>,
    /// The first page; the others follow without a gap.
    pub first_pgid: Pgid,
}

impl TreePlan {
    /// Places this bucket as the root bucket of a file and returns its high water mark.
    pub fn place(&mut self, page_size: PageSize) -> Pgid {
        let mut next = FIRST_PGID;
        self.place_from(page_size, &mut next);
        Pgid(next)
    }

    fn place_from(&mut self, page_size: PageSize, next: &mut u64) {
        if self.inline_bytes.is_none() {
            let mut level = *next;
            *next += self.level_pages(page_size);
            self.place_chunks(next);
            self.root = self.chunks.first().map_or(Pgid(0), |chunk| chunk.first_pgid);
            let mut children = self.take_branches();
            while children.len() > 1 {
                children = self.place_level(page_size, &mut level, children);
            }
            if let Some((_, root)) = children.first() {
                self.root = *root;
            }
        }
        for child in &mut self.children {
            child.place_from(page_size, next);
        }
    }

    /// Branch pages above the chunks, which their keys alone decide.
    fn level_pages(&self, page_size: PageSize) -> u64 {
        let branches = self.chunks.iter().flat_map(|chunk| &chunk.branches);
        let mut key_bytes: Vec<u32> = branches.map(|(key, _)| key.len() as u32).collect();
        let mut pages = 0;
        while key_bytes.len() > 1 {
            let mut first = 0;
            let mut above = Vec::new();
            for group in groups(page_size, &key_bytes) {
                above.extend(key_bytes.get(first));
                first += group.children;
                pages += group.pages;
            }
            key_bytes = above;
        }
        pages
    }

    fn place_chunks(&mut self, next: &mut u64) {
        for chunk in &mut self.chunks {
            chunk.first_pgid = Pgid(*next);
            *next += chunk.pages();
        }
    }

    fn take_branches(&mut self) -> Vec<(Box<[u8]>, Pgid)> {
        let chunks = self.chunks.iter_mut();
        let branches = chunks.flat_map(|chunk| {
            let first = chunk.first_pgid.0;
            let branches = std::mem::take(&mut chunk.branches);
            branches.into_iter().map(move |(key, page)| (key, Pgid(first + page)))
        });
        branches.collect()
    }

    /// Places the branch pages over `children` and returns them as children of the next level.
    fn place_level(
        &mut self,
        page_size: PageSize,
        next: &mut u64,
        children: Vec<(Box<[u8]>, Pgid)>,
    ) -> Vec<(Box<[u8]>, Pgid)> {
        let key_bytes: Vec<u32> = children.iter().map(|(key, _)| key.len() as u32).collect();
        let first_pgid = Pgid(*next);
        let groups = groups(page_size, &key_bytes);
        let mut above = Vec::with_capacity(groups.len());
        let mut child = 0;
        for group in &groups {
            if let Some((key, _)) = children.get(child) {
                above.push((key.clone(), Pgid(*next)));
            }
            child += group.children;
            *next += group.pages;
        }
        self.levels.push(Level { children, groups, first_pgid });
        above
    }
}
