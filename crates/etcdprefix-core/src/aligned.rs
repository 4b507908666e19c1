//! Memory for direct I/O.

use std::ops::{Deref, DerefMut};

/// Direct I/O wants offsets, lengths and memory at multiples of the disk's block size, which is
/// this on every disk, or a part of it.
pub const ALIGN_BYTES: usize = 4096;

/// Bytes that begin at a multiple of [`ALIGN_BYTES`] in memory, as long as they fit the room asked
/// for; beyond that they still are right, only no longer aligned.
#[derive(Debug, Default)]
pub struct AlignedBytes {
    bytes: Vec<u8>,
    start: usize,
}

impl AlignedBytes {
    /// Empties it and makes room for `room_bytes` bytes.
    pub fn reset(&mut self, room_bytes: usize) {
        self.bytes.clear();
        self.bytes.reserve(room_bytes + ALIGN_BYTES);
        self.start = self.bytes.as_ptr().align_offset(ALIGN_BYTES).min(ALIGN_BYTES);
        self.bytes.resize(self.start, 0);
    }

    /// Adds bytes at the end.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Cuts it, or fills it up with zeros.
    pub fn resize(&mut self, len: usize) {
        self.bytes.resize(self.start + len, 0);
    }
}

/// Any bytes, which need not be aligned.
impl From<Vec<u8>> for AlignedBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, start: 0 }
    }
}

/// Whether direct I/O takes `bytes` at `offset`.
pub fn is_aligned(offset: u64, bytes: &[u8]) -> bool {
    offset.is_multiple_of(ALIGN_BYTES as u64)
        && bytes.len().is_multiple_of(ALIGN_BYTES)
        && bytes.as_ptr().addr().is_multiple_of(ALIGN_BYTES)
}

impl Deref for AlignedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

impl DerefMut for AlignedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_aligned_while_they_fit() {
        let mut bytes = AlignedBytes::default();
        for room in [1, ALIGN_BYTES, 5 * ALIGN_BYTES] {
            bytes.reset(room);
            assert!(bytes.is_empty());
            bytes.extend_from_slice(b"x");
            bytes.resize(room.next_multiple_of(ALIGN_BYTES).min(room));
            assert_eq!((bytes.first(), bytes.len()), (Some(&b'x'), room));
            assert!(bytes.as_ptr().addr().is_multiple_of(ALIGN_BYTES));
        }
        assert!(is_aligned(ALIGN_BYTES as u64, &bytes));
        assert!(!is_aligned(1, &bytes));
        assert!(!is_aligned(0, &bytes[1..]));
        assert!(!is_aligned(0, &bytes[..1]));
    }

    #[test]
    fn more_than_the_room_is_kept_too() {
        let mut bytes = AlignedBytes::default();
        bytes.reset(1);
        bytes.extend_from_slice(&[7; 100_000]);
        assert_eq!(*bytes, [7; 100_000]);
    }
}
