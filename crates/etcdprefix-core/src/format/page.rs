//! The 16 bytes that every page begins with: id u64, flags u16, count u16, overflow u32.

use crate::error::Corruption;
use crate::format::bytes::{u16_at, u32_at, u64_at};
use crate::units::Pgid;

const ID: usize = 0;
const FLAGS: usize = ID + 8;
const COUNT: usize = FLAGS + 2;
const OVERFLOW: usize = COUNT + 2;
/// The header's size; elements follow at once.
pub const HEADER_BYTES: usize = OVERFLOW + 4;

/// Most elements a page may hold: bbolt panics at 65,535 (`node.write`, v1.3).
pub const MAX_ELEMENTS: u32 = 0xFFFE;

/// Flag of a branch page.
pub const BRANCH: u16 = 0x01;
/// Flag of a leaf page.
pub const LEAF: u16 = 0x02;
/// Flag of a meta page.
pub const META: u16 = 0x04;
/// Flag of a freelist page.
pub const FREELIST: u16 = 0x10;

const _: () = assert!(HEADER_BYTES == 16);

/// A page's header as read, not yet judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageHeader {
    /// The page's own id; 0 in an inline bucket.
    pub id: Pgid,
    /// One of [`BRANCH`], [`LEAF`], [`META`], [`FREELIST`] in a sound file.
    pub flags: u16,
    /// Elements in the page; for a freelist 0xFFFF means that the first u64 is the count.
    pub count: u16,
    /// Pages that follow and belong to this one.
    pub overflow: u32,
}

impl PageHeader {
    /// Reads the header; fails only if `bytes` is shorter than one.
    pub fn parse(bytes: &[u8]) -> Result<Self, Corruption> {
        let read = || {
            Some(Self {
                id: Pgid(u64_at(bytes, ID)?),
                flags: u16_at(bytes, FLAGS)?,
                count: u16_at(bytes, COUNT)?,
                overflow: u32_at(bytes, OVERFLOW)?,
            })
        };
        read().ok_or(Corruption::PageShort { bytes: bytes.len() as u64 })
    }

    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[ID..FLAGS].copy_from_slice(&self.id.0.to_le_bytes());
        out[FLAGS..COUNT].copy_from_slice(&self.flags.to_le_bytes());
        out[COUNT..OVERFLOW].copy_from_slice(&self.count.to_le_bytes());
        out[OVERFLOW..].copy_from_slice(&self.overflow.to_le_bytes());
        out
    }
}
