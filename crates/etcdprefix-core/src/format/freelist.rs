//! The freelist page: after the header, sorted page ids as u64. A count of 0xFFFF in the header
//! means that the first u64 is the count (bbolt `freelist.read`, v1.3).

use crate::error::Corruption;
use crate::format::bytes::u64_at;
use crate::format::page::{self, HEADER_BYTES, PageHeader};
use crate::units::Pgid;

const COUNT_IN_FIRST_ENTRY: u16 = 0xFFFF;
const ENTRY_BYTES: usize = 8;

/// The free pages that a freelist page lists, in its order.
///
/// # Errors
/// [`Corruption::FreelistOutOfRange`] if the claimed count leaves the run; checked before the
/// first id is given.
pub fn entries<'a>(
    bytes: &'a [u8],
    header: &PageHeader,
) -> Result<impl Iterator<Item = Pgid> + 'a, Corruption> {
    let (first, count) = match header.count {
        COUNT_IN_FIRST_ENTRY => (1, u64_at(bytes, HEADER_BYTES)),
        count => (0, Some(u64::from(count))),
    };
    let room = bytes.len().saturating_sub(HEADER_BYTES) / ENTRY_BYTES;
    let room = room.saturating_sub(first);
    let count = count.and_then(|count| usize::try_from(count).ok()).filter(|&count| count <= room);
    let count = count.ok_or(Corruption::FreelistOutOfRange { room: room as u64 })?;
    let start = HEADER_BYTES + first * ENTRY_BYTES;
    Ok((0..count).filter_map(move |i| u64_at(bytes, start + i * ENTRY_BYTES)).map(Pgid))
}

/// An empty freelist page, valid where no page below the high water mark is unused.
pub fn encode_empty(id: Pgid, page_bytes: usize) -> Vec<u8> {
    let header = PageHeader { id, flags: page::FREELIST, count: 0, overflow: 0 };
    let mut out = header.encode().to_vec();
    out.resize(page_bytes, 0);
    out
}
