//! Leaf elements: flags u32 (1 = bucket), pos u32 (from the element), ksize u32, vsize u32.

use std::ops::Range;

use crate::error::Corruption;
use crate::format::bytes::u32_at;
use crate::format::page::{HEADER_BYTES, PageHeader};

const FLAGS: usize = 0;
const POS: usize = FLAGS + 4;
const KSIZE: usize = POS + 4;
const VSIZE: usize = KSIZE + 4;
/// The size of one element, without its key and value.
pub const ELEMENT_BYTES: usize = VSIZE + 4;

/// Flag of an element whose value is a bucket header.
pub const BUCKET: u32 = 0x01;

/// A leaf page or an inline bucket's page over its whole run of bytes.
#[derive(Clone, Copy, Debug)]
pub struct LeafView<'a> {
    bytes: &'a [u8],
    count: usize,
}

/// Where an element's key and value lie in the run; both ranges were inside it when read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElementSpan {
    /// [`BUCKET`] or 0.
    pub flags: u32,
    /// The key's bytes.
    pub key: Range<usize>,
    /// The value's bytes.
    pub value: Range<usize>,
}

impl ElementSpan {
    /// Whether the value is a bucket header.
    pub fn is_bucket(&self) -> bool {
        self.flags & BUCKET != 0
    }
}

/// One element's key and value.
#[derive(Clone, Copy, Debug)]
pub struct LeafElement<'a> {
    /// Whether the value is a bucket header.
    pub is_bucket: bool,
    /// The key.
    pub key: &'a [u8],
    /// The value, or the bucket header with what follows it.
    pub value: &'a [u8],
}

impl<'a> LeafView<'a> {
    /// A view of `bytes` with the count that `header` claims; elements are checked when read.
    pub fn new(bytes: &'a [u8], header: &PageHeader) -> Self {
        Self { bytes, count: usize::from(header.count) }
    }

    /// How many elements the page claims.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Where element `index` lies.
    ///
    /// # Errors
    /// [`Corruption::ElementOutOfRange`] if the element, its key or its value leaves the run.
    pub fn span(&self, index: usize) -> Result<ElementSpan, Corruption> {
        self.read(index).ok_or(Corruption::ElementOutOfRange { index: index as u64 })
    }

    fn read(&self, index: usize) -> Option<ElementSpan> {
        let at = HEADER_BYTES + index.checked_mul(ELEMENT_BYTES)?;
        let key_at = at.checked_add(u32_at(self.bytes, at + POS)? as usize)?;
        let value_at = key_at.checked_add(u32_at(self.bytes, at + KSIZE)? as usize)?;
        let end = value_at.checked_add(u32_at(self.bytes, at + VSIZE)? as usize)?;
        let inside = index < self.count && end <= self.bytes.len();
        inside.then_some(ElementSpan {
            flags: u32_at(self.bytes, at + FLAGS)?,
            key: key_at..value_at,
            value: value_at..end,
        })
    }

    /// Element `index`; errors as [`LeafView::span`].
    pub fn element(&self, index: usize) -> Result<LeafElement<'a>, Corruption> {
        let span = self.span(index)?;
        let slice = |range: Range<usize>| {
            self.bytes.get(range).ok_or(Corruption::ElementOutOfRange { index: index as u64 })
        };
        let is_bucket = span.is_bucket();
        Ok(LeafElement { is_bucket, key: slice(span.key)?, value: slice(span.value)? })
    }
}

/// An element's bytes, its data beginning `pos` bytes after its own first byte.
pub fn encode_element(flags: u32, pos: u32, ksize: u32, vsize: u32) -> [u8; ELEMENT_BYTES] {
    let mut out = [0; ELEMENT_BYTES];
    out[FLAGS..POS].copy_from_slice(&flags.to_le_bytes());
    out[POS..KSIZE].copy_from_slice(&pos.to_le_bytes());
    out[KSIZE..VSIZE].copy_from_slice(&ksize.to_le_bytes());
    out[VSIZE..].copy_from_slice(&vsize.to_le_bytes());
    out
}
