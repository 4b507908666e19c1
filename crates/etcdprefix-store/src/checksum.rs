//! The checksums that stores keep beside objects.

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use crc_fast::CrcAlgorithm;
use serde::{Serialize, Serializer};

use crate::dialect::Kind;

/// A whole object's, or a part's, checksum in the store's own form; serialised as text, since 64 bits
/// are more than some readers of JSON keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// OSS: CRC-64 of ECMA-182, reflected (CRC-64/XZ), shown in decimal.
    Crc64(u64),
    /// S3: CRC-32 as in gzip, shown in base64 of its four bytes, highest first.
    Crc32(u32),
}

impl Checksum {
    /// As the store writes it.
    pub fn text(self) -> String {
        match self {
            Self::Crc64(crc) => crc.to_string(),
            // Highest byte first is what the protocol asks for.
            Self::Crc32(crc) => {
                BASE64.encode([(crc >> 24) as u8, (crc >> 16) as u8, (crc >> 8) as u8, crc as u8])
            }
        }
    }

    /// That of `self`'s bytes followed by `bytes` more.
    pub(crate) fn then(self, next: Self, bytes: u64) -> Self {
        match (self, next) {
            (Self::Crc64(one), Self::Crc64(other)) => {
                Self::Crc64(crc_fast::checksum_combine(CrcAlgorithm::Crc64Xz, one, other, bytes))
            }
            (Self::Crc32(one), Self::Crc32(other)) => {
                let mut joined = crc32fast::Hasher::new_with_initial_len(one, 0);
                joined.combine(&crc32fast::Hasher::new_with_initial_len(other, bytes));
                Self::Crc32(joined.finalize())
            }
            // One store, one kind.
            (one, _) => one,
        }
    }

    /// Of no bytes.
    pub(crate) fn empty(kind: Kind) -> Self {
        match kind {
            Kind::Oss => Self::Crc64(0),
            Kind::S3 => Self::Crc32(0),
        }
    }
}

impl Serialize for Checksum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let name = match self {
            Self::Crc64(_) => "crc64",
            Self::Crc32(_) => "crc32",
        };
        serializer.collect_map([(name, self.text())])
    }
}

/// Takes bytes in order. Stores refuse a request whose MD5 is another before they keep anything of
/// it; S3 stores also give one back.
pub(crate) struct Hasher {
    crc: Crc,
    md5: Option<md5::Md5>,
}

enum Crc {
    Crc64(Box<crc_fast::Digest>),
    Crc32(crc32fast::Hasher),
}

/// What is known of some bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Digest {
    pub checksum: Checksum,
    /// Of what is sent.
    pub md5: Option<[u8; 16]>,
    pub bytes: u64,
}

impl Hasher {
    /// Without MD5: for what is read back, and for stores that hold what comes against the CRC.
    pub fn plain(kind: Kind) -> Self {
        let crc = match kind {
            Kind::Oss => Crc::Crc64(Box::new(crc_fast::Digest::new(CrcAlgorithm::Crc64Xz))),
            Kind::S3 => Crc::Crc32(crc32fast::Hasher::new()),
        };
        Self { crc, md5: None }
    }

    /// For what is sent otherwise.
    pub fn new(kind: Kind) -> Self {
        Self { md5: Some(md5::Md5::default()), ..Self::plain(kind) }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.crc {
            Crc::Crc64(crc) => crc.update(bytes),
            Crc::Crc32(crc) => crc.update(bytes),
        }
        if let Some(md5) = &mut self.md5 {
            md5::Digest::update(md5, bytes);
        }
    }

    pub fn finish(self, bytes: u64) -> Digest {
        let checksum = match self.crc {
            Crc::Crc64(crc) => Checksum::Crc64(crc.finalize()),
            Crc::Crc32(crc) => Checksum::Crc32(crc.finalize()),
        };
        let md5 = self.md5.map(|md5| md5::Digest::finalize(md5).into());
        Digest { checksum, md5, bytes }
    }
}

/// What S3 keeps of an upload in parts whose checksums it does not join itself: the checksum of the
/// parts' checksums, and their number.
pub(crate) fn composite(parts: &[Checksum]) -> Option<String> {
    let mut crc = crc32fast::Hasher::new();
    for part in parts {
        let Checksum::Crc32(part) = part else { return None };
        crc.update(&[(part >> 24) as u8, (part >> 16) as u8, (part >> 8) as u8, *part as u8]);
    }
    Some(format!("{}-{}", Checksum::Crc32(crc.finalize()).text(), parts.len()))
}

/// S3's ETag of an upload in parts.
pub(crate) fn etag_of_parts(parts: &[[u8; 16]]) -> String {
    let mut md5 = md5::Md5::default();
    parts.iter().for_each(|part| md5::Digest::update(&mut md5, part));
    format!("{}-{}", hex(&md5::Digest::finalize(md5)), parts.len())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checksum(kind: Kind, bytes: &[u8]) -> Checksum {
        let mut hasher = Hasher::new(kind);
        hasher.update(bytes);
        hasher.finish(bytes.len() as u64).checksum
    }

    #[test]
    fn check_values_are_those_of_the_catalogue() {
        assert_eq!(checksum(Kind::Oss, b"123456789"), Checksum::Crc64(0x995d_c9bb_df19_39fa));
        assert_eq!(checksum(Kind::S3, b"123456789"), Checksum::Crc32(0xcbf4_3926));
        assert_eq!(checksum(Kind::S3, b"123456789").text(), "y/Q5Jg==");
        assert_eq!(checksum(Kind::Oss, b""), Checksum::empty(Kind::Oss));
        assert_eq!(checksum(Kind::S3, b""), Checksum::empty(Kind::S3));
    }

    #[test]
    fn parts_join_to_the_whole() {
        let all: Vec<u8> = (0..100_000u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
        for kind in [Kind::Oss, Kind::S3] {
            let joined = all.chunks(7_777).fold(Checksum::empty(kind), |joined, part| {
                joined.then(checksum(kind, part), part.len() as u64)
            });
            assert_eq!(joined, checksum(kind, &all));
        }
    }
}
