//! A bucket's value in its parent's leaf: root pgid u64, sequence u64; root 0 means inline.

use crate::error::Corruption;
use crate::format::bytes::u64_at;
use crate::units::Pgid;

const ROOT: usize = 0;
const SEQUENCE: usize = ROOT + 8;
/// The header's size; an inline bucket's page follows at once.
pub const HEADER_BYTES: usize = SEQUENCE + 8;

/// A bucket header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketHeader {
    /// The root page, or page 0 for an inline bucket.
    pub root: Pgid,
    /// The bucket's own counter; etcd leaves it 0, bbolt users may not.
    pub sequence: u64,
}

impl BucketHeader {
    /// Reads the header.
    ///
    /// # Errors
    /// [`Corruption::BucketHeaderShort`] if `value` is shorter than a header.
    pub fn parse(value: &[u8]) -> Result<Self, Corruption> {
        let read =
            || Some(Self { root: Pgid(u64_at(value, ROOT)?), sequence: u64_at(value, SEQUENCE)? });
        read().ok_or(Corruption::BucketHeaderShort { bytes: value.len() as u64 })
    }

    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[ROOT..SEQUENCE].copy_from_slice(&self.root.0.to_le_bytes());
        out[SEQUENCE..].copy_from_slice(&self.sequence.to_le_bytes());
        out
    }
}
