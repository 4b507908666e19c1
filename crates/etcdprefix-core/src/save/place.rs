//! Gives every page of the plan its place.
//!
//! In file order: meta pages, an empty freelist page, then bucket after bucket, sub-buckets before
//! the bucket they are in: chunks, then the branch pages above them, the root last. Everything that
//! stands in the first pages is known before the first byte is written, since the SHA-256 runs over
//! the file from its beginning.

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
        for child in &mut self.children {
            child.place_from(page_size, next);
        }
        if self.inline_bytes.is_some() {
            return;
        }
        self.place_chunks(next);
        self.root = self.chunks.first().map_or(Pgid(0), |chunk| chunk.first_pgid);
        let mut children = self.take_branches();
        while children.len() > 1 {
            children = self.place_level(page_size, next, children);
        }
        if let Some((_, root)) = children.first() {
            self.root = *root;
        }
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
