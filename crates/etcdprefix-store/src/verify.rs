//! Whether an object is a whole snapshot, without a disk to put it on.

use std::io::{self, Write};
use std::time::Instant;

use etcdprefix_core::format::trailer::{TRAILER_BYTES, hex};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::SharedProgress;
use crate::crypt::{Identities, Plaintext};
use crate::describe::Description;
use crate::download::download;
use crate::error::{Error, Result};
use crate::location::ObjectLocation;
use crate::store::Store;

/// Every page size is a multiple of it.
const PAGES_MULTIPLE_BYTES: u64 = 512;

/// An object that is a whole snapshot.
#[derive(Clone, Debug, Serialize)]
pub struct Verified {
    /// Where.
    pub location: ObjectLocation,
    /// Its size in the store.
    pub bytes: u64,
    /// The snapshot's size, decrypted if need be.
    pub snapshot_bytes: u64,
    /// The snapshot's trailer in hex, which is the digest of its pages.
    pub sha256: String,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// Whether the store keeps a checksum of the whole; if so, it is that of what came.
    pub checked: bool,
    /// Whether the object's metadata has a digest; if so, it is this one.
    pub described: bool,
    /// What the object's metadata says.
    pub description: Description,
    /// How many times the stream broke and went on.
    pub resumed: u32,
    /// Time for all.
    pub seconds: f64,
}

/// Reads an object once and holds it against its trailer, and against its metadata's digest if there
/// is one. Call it on a runtime of several threads. Nothing is written, and memory does not grow
/// with the object.
///
/// # Errors
/// [`Error::Unsound`] if it is no whole snapshot, or another than its metadata says; those of
/// [`download`] and [`Plaintext`].
pub async fn verify(
    store: &Store,
    key: &str,
    identities: Option<Identities>,
    progress: SharedProgress,
) -> Result<Verified> {
    let start = Instant::now();
    let location = store.location(key);
    let mut sink = Plaintext::new(Seal::default(), identities);
    let done = download(store, key, &mut sink, progress).await?;
    let (seal, encrypted) = sink.finish()?;
    let description = Description::of(&done.head.metadata);
    let snapshot_bytes = seal.bytes;
    let sha256 = seal.sound().and_then(|sha256| fits(sha256, &description));
    let sha256 = sha256.map_err(|what| Error::Unsound { location: location.clone(), what })?;
    Ok(Verified {
        location,
        bytes: done.head.bytes,
        snapshot_bytes,
        sha256,
        encrypted,
        checked: done.checked,
        described: description.sha256.is_some(),
        description,
        resumed: done.resumed,
        seconds: start.elapsed().as_secs_f64(),
    })
}

fn fits(sha256: String, description: &Description) -> Result<String, String> {
    match &description.sha256 {
        Some(told) if *told != sha256 => Err(format!(
            "it is another snapshot than its metadata says: its SHA-256 is {sha256}, there it is {told}"
        )),
        _ => Ok(sha256),
    }
}

/// Hashes all bytes but the last 32, which are the trailer. Which ones these are is known only at
/// the end.
#[derive(Default)]
struct Seal {
    hasher: Sha256,
    tail: Vec<u8>,
    bytes: u64,
}

impl Seal {
    /// The digest, if it is the trailer.
    fn sound(self) -> Result<String, String> {
        // Less than a page would have its digest, too.
        let whole =
            self.bytes % PAGES_MULTIPLE_BYTES == TRAILER_BYTES && self.bytes > TRAILER_BYTES;
        let found = self.tail.try_into().ok().filter(|_| whole);
        let missing = format!("it does not end as a snapshot does: it has {} bytes", self.bytes);
        let found = hex(&found.ok_or(missing)?);
        let computed = hex(&self.hasher.finalize().into());
        match found == computed {
            true => Ok(found),
            false => Err(format!(
                "it is damaged: its trailer is {found} and the SHA-256 of its pages is {computed}"
            )),
        }
    }
}

impl Write for Seal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        const TAIL: usize = TRAILER_BYTES as usize;
        let (older, newer) = bytes.split_at(bytes.len().saturating_sub(TAIL));
        let surplus = (self.tail.len() + newer.len()).saturating_sub(TAIL);
        self.hasher.update(&self.tail[..surplus]);
        self.tail.drain(..surplus);
        self.hasher.update(older);
        self.tail.extend_from_slice(newer);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(pages: &[u8]) -> Vec<u8> {
        [pages, &Sha256::digest(pages)[..]].concat()
    }

    fn sound(bytes: &[u8], piece: usize) -> Result<String, String> {
        let mut seal = Seal::default();
        bytes.chunks(piece).for_each(|piece| seal.write_all(piece).unwrap());
        assert_eq!(seal.bytes, bytes.len() as u64);
        seal.sound()
    }

    #[test]
    fn a_snapshot_is_sound_however_it_comes() {
        let bytes = sealed(&(0..2048).map(|at| (at / 7) as u8).collect::<Vec<_>>());
        for piece in [1, 7, 31, 32, 33, 2048, 4096] {
            assert_eq!(sound(&bytes, piece).unwrap(), crate::checksum::hex(&bytes[2048..]));
        }
    }

    #[test]
    fn what_ends_elsewhere_has_no_trailer_and_what_changed_has_another() {
        for bytes in [vec![], vec![0; 31], sealed(b""), vec![0; 2048], sealed(b"page")] {
            let what = sound(&bytes, 100).unwrap_err();
            assert!(what.contains("does not end"), "{what}");
        }
        let whole = sealed(&[7; 512]);
        for at in [0, 511, 512, 543] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            assert!(sound(&bytes, 100).unwrap_err().contains("damaged"), "{at}");
        }
    }
}
