//! A chunk: successive records of one bucket that become one contiguous piece of the output, its
//! leaves first, the branch pages over them next. It is all that is kept of them between sizing
//! and rendering, so a plan for 100 GB takes tens of megabytes.

use crate::units::Pgid;

/// A planned piece of the output.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The unit of the source in which it begins.
    pub unit: usize,
    /// Elements of that unit that belong to earlier chunks.
    pub skip: u64,
    /// Source elements, dropped ones included.
    pub elements: u64,
    /// The number of the first sub-bucket among them.
    pub first_child: usize,
    /// A record to add at the end: key of an empty record that keeps the store's revision.
    pub bump: Option<[u8; 17]>,
    /// Pages of its leaves.
    pub leaf_pages: u64,
    /// Pages of the branches over its leaves; 0 if its only leaf is the bucket's only one.
    pub branch_pages: u64,
    /// The branch pages: first key, and pages from the chunk's first page on.
    pub branches: Vec<(Box<[u8]>, u64)>,
    /// Where it is in the output.
    pub first_pgid: Pgid,
}

impl Chunk {
    /// All its pages.
    pub fn pages(&self) -> u64 {
        self.leaf_pages + self.branch_pages
    }
}
