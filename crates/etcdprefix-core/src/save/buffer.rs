//! Where rendered bytes go: a buffer, or for huge records straight to the file.

use crate::aligned::AlignedBytes;
use crate::crc::Crc;
use crate::error::Result;

/// Takes the bytes of pages in file order.
pub trait PageOut {
    /// Bytes that are part of the format.
    fn put(&mut self, bytes: &[u8]) -> Result<()>;

    /// Bytes of keys and values, which the status hash covers.
    fn put_hashed(&mut self, bytes: &[u8]) -> Result<()>;

    /// `count` zero bytes, to the end of a page.
    fn put_zeros(&mut self, count: u64) -> Result<()>;
}

/// Pages in memory, with the status hash of what was put as hashed.
#[derive(Debug, Default)]
pub struct PageBuffer {
    bytes: AlignedBytes,
    /// Where the bytes begin that `crc` does not cover yet: neighbours are hashed in one go.
    hashed_from: usize,
    hashed_to: usize,
    crc: Crc,
}

impl PageBuffer {
    /// An empty buffer for `room_bytes` bytes on the allocation of `bytes`.
    pub fn reusing(mut bytes: AlignedBytes, room_bytes: usize) -> Self {
        bytes.reset(room_bytes);
        Self { bytes, ..Self::default() }
    }

    /// The bytes and the hash of the hashed ones.
    pub fn finish(mut self) -> (AlignedBytes, Crc) {
        self.hash_pending();
        (self.bytes, self.crc)
    }

    fn hash_pending(&mut self) {
        self.crc.update(self.bytes.get(self.hashed_from..self.hashed_to).unwrap_or_default());
        self.hashed_from = self.bytes.len();
        self.hashed_to = self.bytes.len();
    }
}

impl PageOut for PageBuffer {
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn put_hashed(&mut self, bytes: &[u8]) -> Result<()> {
        if self.hashed_to != self.bytes.len() {
            self.hash_pending();
        }
        self.bytes.extend_from_slice(bytes);
        self.hashed_to = self.bytes.len();
        Ok(())
    }

    fn put_zeros(&mut self, count: u64) -> Result<()> {
        self.bytes.resize(self.bytes.len() + count as usize);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hashed_bytes_are_hashed_in_order() {
        let mut buffer = PageBuffer::default();
        buffer.put(b"head").unwrap();
        buffer.put_hashed(b"1234").unwrap();
        buffer.put_hashed(b"5").unwrap();
        buffer.put_zeros(3).unwrap();
        buffer.put_hashed(b"6789").unwrap();
        let (bytes, crc) = buffer.finish();
        assert_eq!(*bytes, *b"head12345\0\0\x006789");
        assert_eq!(crc.value(), 0xE306_9283);
    }
}
