//! What a walk keeps of the way it came.

use super::order::Order;
use crate::error::Corruption;
use crate::read::PageRun;
use crate::verify::findings::FindingCode;

/// A finding without its place.
#[derive(Clone)]
pub struct Fault {
    pub code: FindingCode,
    pub detail: String,
}

impl Fault {
    pub fn new(code: FindingCode, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { code, detail }
    }
}

impl From<&Corruption> for Fault {
    fn from(damage: &Corruption) -> Self {
        Self::new(FindingCode::of(damage), damage.to_string())
    }
}

/// The tree of a bucket being walked.
pub struct Tree {
    /// The bucket's path for messages.
    pub name: String,
    /// 0 for the root bucket, 1 for etcd's buckets, more for buckets in buckets.
    pub level: usize,
    pub is_key_bucket: bool,
    pub order: Order,
    /// How far down the first leaf was.
    pub leaf_depth: Option<usize>,
    /// How many frames belong to the trees around this one.
    pub base: usize,
}

/// A page whose children are being visited.
pub enum Frame<'s> {
    Branch {
        run: PageRun<'s>,
        next: usize,
        /// The key of the element after the one that led here: all keys below are smaller.
        upper: Option<Vec<u8>>,
    },
    /// A leaf with buckets among its elements.
    Leaf { run: PageRun<'s>, next: usize },
}
