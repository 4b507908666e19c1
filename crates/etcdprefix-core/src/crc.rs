//! CRC-32C (Castagnoli) that can be computed in pieces: the hash of `snapshot status`.

/// The CRC-32C of some bytes, with their number, so that sums of successive pieces can be joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crc {
    value: u32,
    len: u64,
}

impl Crc {
    /// Adds `bytes` at the end.
    pub fn update(&mut self, bytes: &[u8]) {
        self.value = crc32c::crc32c_append(self.value, bytes);
        self.len += bytes.len() as u64;
    }

    /// Adds the bytes that `other` was computed over at the end, without having them. It costs
    /// about as much as 10 KB of bytes: for whole chunks, not for records.
    pub fn append(&mut self, other: &Self) {
        let Ok(len) = usize::try_from(other.len) else {
            // Only where a usize is smaller than a file; joined in two steps it is the same.
            return self.append_halves(other);
        };
        self.value = crc32c::crc32c_combine(self.value, other.value, len);
        self.len += other.len;
    }

    fn append_halves(&mut self, other: &Self) {
        let zeros = |len| Self { value: 0, len };
        let mut shifted = *self;
        let half = other.len / 2;
        shifted.append(&zeros(half));
        shifted.append(&zeros(other.len - half));
        self.value = shifted.value ^ other.value;
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
    fn joining_in_halves_is_the_same() {
        let (first, second) = (of(b"first"), of(b"the second part"));
        let (mut whole, mut halves) = (first, first);
        whole.append(&second);
        halves.append_halves(&second);
        assert_eq!(whole, halves);
    }
}
