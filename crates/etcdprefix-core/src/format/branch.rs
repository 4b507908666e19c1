//! Branch elements: pos u32 (from the element), ksize u32, pgid u64.

use crate::error::Corruption;
use crate::format::bytes::{u32_at, u64_at};
use crate::format::page::{HEADER_BYTES, PageHeader};
use crate::units::Pgid;

const POS: usize = 0;
const KSIZE: usize = POS + 4;
const CHILD: usize = KSIZE + 4;
/// The size of one element, without its key.
pub const ELEMENT_BYTES: usize = CHILD + 8;

/// A branch page over its whole run of bytes.
#[derive(Clone, Copy, Debug)]
pub struct BranchView<'a> {
    bytes: &'a [u8],
    count: usize,
}

/// The first key of a subtree and the page it begins at.
#[derive(Clone, Copy, Debug)]
pub struct BranchElement<'a> {
    /// No key of the subtree is smaller.
    pub key: &'a [u8],
    /// The subtree's page.
    pub child: Pgid,
}

impl<'a> BranchView<'a> {
    /// A view of `bytes` with the count that `header` claims; elements are checked when read.
    pub fn new(bytes: &'a [u8], header: &PageHeader) -> Self {
        Self { bytes, count: usize::from(header.count) }
    }

    /// How many elements the page claims.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Element `index`.
    ///
    /// # Errors
    /// [`Corruption::ElementOutOfRange`] if the element or its key leaves the run.
    pub fn element(&self, index: usize) -> Result<BranchElement<'a>, Corruption> {
        self.read(index).ok_or(Corruption::ElementOutOfRange { index: index as u64 })
    }

    fn read(&self, index: usize) -> Option<BranchElement<'a>> {
        let at = HEADER_BYTES + index.checked_mul(ELEMENT_BYTES)?;
        let key_at = at.checked_add(u32_at(self.bytes, at + POS)? as usize)?;
        let key_end = key_at.checked_add(u32_at(self.bytes, at + KSIZE)? as usize)?;
        let child = Pgid(u64_at(self.bytes, at + CHILD)?);
        let key = self.bytes.get(key_at..key_end)?;
        (index < self.count).then_some(BranchElement { key, child })
    }
}

/// An element's bytes, its key beginning `pos` bytes after its own first byte.
pub fn encode_element(pos: u32, ksize: u32, child: Pgid) -> [u8; ELEMENT_BYTES] {
    let mut out = [0; ELEMENT_BYTES];
    out[POS..KSIZE].copy_from_slice(&pos.to_le_bytes());
    out[KSIZE..CHILD].copy_from_slice(&ksize.to_le_bytes());
    out[CHILD..].copy_from_slice(&child.0.to_le_bytes());
    out
}
