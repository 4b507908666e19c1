//! Makes damaged copies of snapshots: some that every reader must refuse, and two that only a
//! full structure check sees, to prove that the check we trust does see them.

use anyhow::{Context, Result, ensure};
use prost::Message;
use sha2::{Digest, Sha256};

use crate::PrefixMap;
use crate::bolt::{Bolt, fnv1a_64};
use crate::hashkv::KeyValue;

const TRAILER: usize = 32;
const LEAF: u16 = 0x02;
const FREELIST: u16 = 0x10;

/// Swaps two neighbouring keys of the key bucket's first leaf and seals the file again: the hash
/// is right, the pages are all there, only the order is broken.
pub fn disorder(snapshot: &[u8]) -> Result<Vec<u8>> {
    let bolt = Bolt::parse(snapshot.to_vec())?;
    let leaves = bolt.bucket_leaves(b"key").context("no key bucket")?;
    let leaf = leaves.iter().find(|leaf| leaf.len() > 3).context("no leaf with four records")?;
    let (one, other) = (leaf[1].key.clone(), leaf[2].key.clone());
    ensure!(one.len() == other.len(), "a tombstone is longer than a put");
    let mut bytes = snapshot.to_vec();
    bytes[one.clone()].copy_from_slice(&snapshot[other.clone()]);
    bytes[other].copy_from_slice(&snapshot[one]);
    Ok(sealed(bytes))
}

/// Stores the freelist, which etcd itself does not: without one, no reader can tell a lost page
/// from a free one.
pub fn with_freelist(snapshot: &[u8]) -> Result<Vec<u8>> {
    let bolt = Bolt::parse(snapshot.to_vec())?;
    let free = bolt.unreachable_pages();
    let count = u16::try_from(free.len()).ok().filter(|count| *count < u16::MAX);
    let mut page = header(bolt.high_water(), FREELIST, count.context("too many free pages")?);
    page.extend(free.iter().flat_map(|id| id.to_le_bytes()));
    let freelist = Some(bolt.high_water());
    appended(&bolt, page, freelist)
}

/// Adds a page that nothing reaches and nothing frees, with a valid meta and a valid trailer.
/// The file must have a stored freelist.
pub fn leak(snapshot: &[u8]) -> Result<Vec<u8>> {
    let bolt = Bolt::parse(snapshot.to_vec())?;
    ensure!(bolt.freelist().is_some(), "without a stored freelist no page counts as lost");
    appended(&bolt, header(bolt.high_water(), LEAF, 0), None)
}

fn header(page: u64, flags: u16, count: u16) -> Vec<u8> {
    let mut bytes = page.to_le_bytes().to_vec();
    bytes.extend(flags.to_le_bytes());
    bytes.extend(count.to_le_bytes());
    bytes.extend([0; 4]);
    bytes
}

/// Appends a run of pages and makes the meta count it, and point to it if it is the freelist.
fn appended(bolt: &Bolt, mut run: Vec<u8>, freelist: Option<u64>) -> Result<Vec<u8>> {
    let size = bolt.page_size();
    let end = bolt.high_water() as usize * size;
    ensure!(bolt.bytes().len() == end + TRAILER, "no trailer, or pages after the high water mark");
    let pages = run.len().div_ceil(size);
    run[12..16].copy_from_slice(&u32::try_from(pages - 1)?.to_le_bytes());
    run.resize(pages * size, 0);
    let mut bytes = bolt.bytes()[..end].to_vec();
    bytes.extend(run);
    let meta = &mut bytes[bolt.meta_page() + 16..][..64];
    if let Some(page) = freelist {
        meta[32..40].copy_from_slice(&page.to_le_bytes());
    }
    meta[40..48].copy_from_slice(&(bolt.high_water() + pages as u64).to_le_bytes());
    let sum = fnv1a_64(&meta[..56]);
    meta[56..].copy_from_slice(&sum.to_le_bytes());
    bytes.extend([0; TRAILER]);
    Ok(sealed(bytes))
}

/// Renames a prefix in place, which needs no writer where both are of the same length. All matched
/// records but the one of number `forgotten` are renamed; returns the file and their count.
pub fn rename_in_place(
    snapshot: &[u8],
    [from, to]: [&str; 2],
    forgotten: Option<usize>,
) -> Result<(Vec<u8>, usize)> {
    ensure!(from.len() == to.len(), "{from} and {to} differ in length");
    let map = PrefixMap::new(from, to);
    let bolt = Bolt::parse(snapshot.to_vec())?;
    let mut bytes = snapshot.to_vec();
    let mut matched = 0;
    for entry in bolt.bucket_leaves(b"key").context("no key bucket")?.concat() {
        let key = KeyValue::decode(&snapshot[entry.value.clone()])?.key;
        if !map.moves(&key) {
            continue;
        }
        if forgotten != Some(matched) {
            // Field 1 comes first: a tag byte, the length's varint, the key.
            let start = entry.value.start + 1 + prost::length_delimiter_len(key.len());
            bytes[start..start + to.len()].copy_from_slice(to.as_bytes());
        }
        matched += 1;
    }
    Ok((sealed(bytes), matched))
}

/// The SHA-256 of `bytes` in hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Replaces the last 32 bytes by the SHA-256 of the rest.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.len() - TRAILER;
    let digest = Sha256::digest(&bytes[..end]);
    bytes[end..].copy_from_slice(&digest);
    bytes
}
