//! The SHA-256 of all pages, which `snapshot save` appends and `snapshot restore` verifies.

/// The trailer's size.
pub const TRAILER_BYTES: u64 = 32;

/// A SHA-256 digest.
pub type Sha256Digest = [u8; TRAILER_BYTES as usize];

/// A digest as messages and reports show it.
pub fn hex(digest: &Sha256Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What follows the pages of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trailer {
    /// The file ends with a digest, right or wrong.
    Present(Sha256Digest),
    /// The file ends elsewhere than 32 bytes after its last page: a copied database.
    ///
    /// etcd's own test, whether the size modulo 512 is 32, can't tell a damaged snapshot from a
    /// database, so the high water mark decides here.
    Missing,
}
