//! CRC-32C (Castagnoli) that can be computed in pieces: the hash of `snapshot status`.

use crc_fast::{CrcAlgorithm, Digest, checksum_combine};

/// "ISCSI" is its name where it was first used.
const CASTAGNOLI: CrcAlgorithm = CrcAlgorithm::Crc32Iscsi;

/// The CRC-32C of some bytes, with their number, so that sums of successive pieces can be joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crc {
    value: u32,
    len: u64,
}

impl Crc {
    /// Adds `bytes` at the end. A call costs about 15 ns besides the bytes, so neighbours are best
    /// given together.
    pub fn update(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        // The algorithm's state is the complement of its result.
        let mut digest = Digest::new_with_init_state(CASTAGNOLI, u64::from(!self.value));
        digest.update(bytes);
        self.value = digest.finalize() as u32;
        self.len += bytes.len() as u64;
    }

    /// Adds the bytes that `other` was computed over at the end, without having them. It costs as
    /// much as some 100 KB of bytes: for whole chunks, not for records.
    pub fn append(&mut self, other: &Self) {
        let (first, second) = (u64::from(self.value), u64::from(other.value));
        self.value = checksum_combine(CASTAGNOLI, first, second, other.len) as u32;
        self.len += other.len;
    }

    /// The CRC of everything added; 0 for nothing.
    pub fn value(&self) -> u32 {
        self.value
    }

    /// How many bytes were added.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Crc {
        let mut crc = Crc::default();
        crc.update(bytes);
        crc
    }

    #[test]
    fn the_check_value_of_castagnoli() {
        assert_eq!(of(b"123456789").value(), 0xE306_9283);
        assert_eq!(of(b"").value(), 0);
    }

    #[test]
    fn pieces_join_wherever_they_are_cut() {
        let bytes = b"123456789";
        for cut in 0..=bytes.len() {
            let mut joined = of(&bytes[..cut]);
            joined.append(&of(&bytes[cut..]));
            assert_eq!(joined, of(bytes));
        }
    }

    #[test]
    fn any_length_goes_on_from_any_other() {
        let bytes: Vec<u8> = (0..70_000_u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
        let whole = of(&bytes);
        for cut in [0, 1, 17, 255, 4_096, 65_537, bytes.len()] {
            let mut continued = of(&bytes[..cut]);
            continued.update(&bytes[cut..]);
            assert_eq!(continued, whole, "{cut}");
        }
        // From another implementation of the same polynomial.
        assert_eq!(of(&[0; 32]).value(), 0x8A91_36AA);
        assert_eq!(of(&[0xFF; 32]).value(), 0x62A8_AB43);
    }
}
