//! A second, plain reader of bbolt files, for files that real etcd wrote or accepted.
//!
//! It trusts what it reads as far as slices go (a damaged file panics), which keeps it short: it
//! is the ruler, never the thing measured.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};

const MAGIC: u32 = 0xED0C_DAED;
const PAGE_HEADER: usize = 16;
const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
const BUCKET_FLAG: u32 = 0x01;
const ELEMENT: usize = 16;

/// A file's bytes with the facts of its active meta page.
pub struct Bolt {
    bytes: Vec<u8>,
    page_size: usize,
    root: u64,
    high_water: u64,
    meta_page: usize,
}

/// Where one leaf entry lies in the file.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key's bytes.
    pub key: Range<usize>,
    /// The value's bytes.
    pub value: Range<usize>,
    bucket: bool,
}

impl Bolt {
    /// Reads the whole file.
    pub fn open(path: &Path) -> Result<Self> {
        Self::parse(fs::read(path)?).with_context(|| format!("{} is no bbolt file", path.display()))
    }

    /// Takes the valid meta with the higher transaction id.
    pub fn parse(bytes: Vec<u8>) -> Result<Self> {
        let sizes = (9..=16).map(|power| 1usize << power);
        let second = sizes.filter(|size| meta_txid(&bytes, *size).is_some());
        let first = meta_txid(&bytes, 0).map(|_| 0);
        let meta_page = first
            .into_iter()
            .chain(second)
            .max_by_key(|start| meta_txid(&bytes, *start))
            .context("no valid meta page")?;
        let meta = meta_page + PAGE_HEADER;
        let page_size = u32_at(&bytes, meta + 8) as usize;
        let (root, high_water) = (u64_at(&bytes, meta + 16), u64_at(&bytes, meta + 40));
        Ok(Self { bytes, page_size, root, high_water, meta_page })
    }

    /// All bytes, trailer included.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// In bytes.
    pub fn page_size(&self) -> usize {
        self.page_size
    }

    /// The number of pages that the active meta claims.
    pub fn high_water(&self) -> u64 {
        self.high_water
    }

    /// Offset of the active meta's page.
    pub fn meta_page(&self) -> usize {
        self.meta_page
    }

    /// The freelist's page; `None` where it is not stored, as in every file that etcd writes.
    pub fn freelist(&self) -> Option<u64> {
        let page = u64_at(&self.bytes, self.meta_page + PAGE_HEADER + 32);
        (page != u64::MAX).then_some(page)
    }

    /// Pages below the high water mark that nothing reaches: free, if a freelist lists them.
    pub fn unreachable_pages(&self) -> Vec<u64> {
        let mut reached = BTreeSet::from([0, 1]);
        self.reach(self.root, &mut reached);
        reached.extend(self.freelist().into_iter().flat_map(|page| self.run(page)));
        (0..self.high_water).filter(|page| !reached.contains(page)).collect()
    }

    fn reach(&self, root: u64, reached: &mut BTreeSet<u64>) {
        reached.extend(self.run(root));
        let start = root as usize * self.page_size;
        if u16_at(&self.bytes, start + 8) == BRANCH {
            self.children(start).for_each(|child| self.reach(child, reached));
            return;
        }
        for entry in self.leaf(start).iter().filter(|entry| entry.bucket) {
            match u64_at(&self.bytes, entry.value.start) {
                0 => {}
                bucket => self.reach(bucket, reached),
            }
        }
    }

    /// A page with its overflow pages.
    fn run(&self, page: u64) -> Range<u64> {
        let overflow = u32_at(&self.bytes, page as usize * self.page_size + 12);
        page..page + 1 + u64::from(overflow)
    }

    fn children(&self, branch: usize) -> impl Iterator<Item = u64> + '_ {
        let count = u16_at(&self.bytes, branch + 10) as usize;
        (0..count).map(move |index| u64_at(&self.bytes, branch + PAGE_HEADER + index * ELEMENT + 8))
    }

    /// Keys and values of a top-level bucket in order; `None` if there is no such bucket.
    pub fn bucket(&self, name: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
        let slices =
            |entry: &Entry| (&self.bytes[entry.key.clone()], &self.bytes[entry.value.clone()]);
        Some(self.bucket_leaves(name)?.concat().iter().map(slices).collect())
    }

    /// The entries of a top-level bucket, leaf by leaf.
    pub fn bucket_leaves(&self, name: &[u8]) -> Option<Vec<Vec<Entry>>> {
        let roots = self.leaves(self.root).concat();
        let found =
            roots.iter().find(|entry| entry.bucket && &self.bytes[entry.key.clone()] == name)?;
        let header = found.value.start;
        match u64_at(&self.bytes, header) {
            // Root 0: the bucket's only page is inline, after the bucket's 16-byte header.
            0 => Some(vec![self.leaf(header + 16)]),
            root => Some(self.leaves(root)),
        }
    }

    fn leaves(&self, root: u64) -> Vec<Vec<Entry>> {
        let start = root as usize * self.page_size;
        match u16_at(&self.bytes, start + 8) {
            LEAF => vec![self.leaf(start)],
            BRANCH => self.children(start).flat_map(|child| self.leaves(child)).collect(),
            other => panic!("page {root} has flags {other:#x}"),
        }
    }

    fn leaf(&self, page: usize) -> Vec<Entry> {
        let count = u16_at(&self.bytes, page + 10) as usize;
        (0..count).map(|index| self.entry(page + PAGE_HEADER + index * ELEMENT)).collect()
    }

    fn entry(&self, element: usize) -> Entry {
        let field = |offset| u32_at(&self.bytes, element + offset);
        let key = element + field(4) as usize;
        let value = key + field(8) as usize;
        Entry {
            key: key..value,
            value: value..value + field(12) as usize,
            bucket: field(0) & BUCKET_FLAG != 0,
        }
    }
}

/// The checksum that ends a meta page.
pub fn fnv1a_64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The transaction id of a valid meta whose page starts at `page`.
fn meta_txid(bytes: &[u8], page: usize) -> Option<u64> {
    let meta = bytes.get(page + PAGE_HEADER..page + PAGE_HEADER + 64)?;
    let valid = u32_at(meta, 0) == MAGIC && fnv1a_64(&meta[..56]) == u64_at(meta, 56);
    valid.then(|| u64_at(meta, 48))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
