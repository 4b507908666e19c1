//! A file by formula: meta pages, the root bucket's leaf, the leaves of bucket `key` one after
//! the other, then its branch pages level by level. Every page follows from its id.

use std::io::{self, Write};

use anyhow::{Result, ensure};
use etcdprefix_core::format::bucket::BucketHeader;
use etcdprefix_core::format::meta::{Meta, NO_FREELIST};
use etcdprefix_core::format::page::{BRANCH, HEADER_BYTES, LEAF, PageHeader};
use etcdprefix_core::format::{branch, leaf};
use etcdprefix_core::read::{Bytes, Storage};
use etcdprefix_core::rewrite::schema::RecordKey;
use etcdprefix_core::units::{PageSize, Pgid, Txid};

const PAGE_BYTES: usize = 4096;
const KEY_BYTES: usize = 17;
const ELEMENT_BYTES: usize = leaf::ELEMENT_BYTES;
const FIRST_LEAF: u64 = 3;
/// Children of a full branch page.
const FAN_OUT: u64 = ((PAGE_BYTES - HEADER_BYTES) / (branch::ELEMENT_BYTES + KEY_BYTES)) as u64;
const VALUE_TAG: u8 = 0x2A;

/// The numbers that the whole file follows from.
#[derive(Clone, Debug)]
pub struct Shape {
    record_bytes: usize,
    per_leaf: u64,
    leaves: u64,
    distinct_keys: u64,
    /// Branch levels bottom up: first page and number of pages.
    levels: Vec<(u64, u64)>,
}

impl Shape {
    /// A file of about `bytes`, with `record_bytes` for each record's key and value.
    pub fn new(bytes: u64, record_bytes: usize, distinct_keys: u64) -> Result<Self> {
        let room = PAGE_BYTES - HEADER_BYTES;
        let fits = (100..=room - ELEMENT_BYTES).contains(&record_bytes);
        ensure!(fits, "a record has 100 to {} bytes", room - ELEMENT_BYTES);
        let per_leaf = (room / (ELEMENT_BYTES + record_bytes)) as u64;
        let leaves = (bytes / PAGE_BYTES as u64).max(FIRST_LEAF + 2) - FIRST_LEAF;
        let records = leaves * per_leaf;
        let distinct_keys = if distinct_keys == 0 { records } else { distinct_keys.min(records) };
        let mut levels = Vec::new();
        let (mut next, mut below) = (FIRST_LEAF + leaves, leaves);
        while below > 1 {
            let pages = below.div_ceil(FAN_OUT);
            levels.push((next, pages));
            next += pages;
            below = pages;
        }
        Ok(Self { record_bytes, per_leaf, leaves, distinct_keys, levels })
    }

    pub fn records(&self) -> u64 {
        self.leaves * self.per_leaf
    }

    pub fn distinct_keys(&self) -> u64 {
        self.distinct_keys
    }

    pub fn leaves(&self) -> u64 {
        self.leaves
    }

    pub fn levels(&self) -> usize {
        self.levels.len()
    }

    pub fn file_bytes(&self) -> u64 {
        self.pages() * PAGE_BYTES as u64
    }

    fn pages(&self) -> u64 {
        self.levels.last().map_or(FIRST_LEAF + self.leaves, |(first, pages)| first + pages)
    }

    fn meta(&self, id: u64) -> Vec<u8> {
        let meta = Meta {
            page_size: PageSize::new(PAGE_BYTES as u32).expect("4 KiB is a page size"),
            flags: 0,
            root: Pgid(2),
            sequence: 0,
            freelist: NO_FREELIST,
            high_water_mark: Pgid(self.pages()),
            txid: Txid(id + 6),
        };
        meta.encode(Pgid(id))
    }

    /// The root bucket's only leaf, with bucket `key` in it.
    fn root(&self) -> Vec<u8> {
        let bucket = BucketHeader { root: Pgid(self.pages() - 1), sequence: 0 }.encode();
        let mut page = header(2, LEAF, 1);
        let pos = ELEMENT_BYTES as u32;
        page.extend(leaf::encode_element(leaf::BUCKET, pos, 3, bucket.len() as u32));
        page.extend(b"key");
        page.extend(bucket);
        page
    }

    fn leaf(&self, number: u64) -> Vec<u8> {
        let mut page = header(FIRST_LEAF + number, LEAF, self.per_leaf as u16);
        let value_bytes = self.record_bytes - KEY_BYTES;
        for index in 0..self.per_leaf as usize {
            let behind = (self.per_leaf as usize - index) * ELEMENT_BYTES;
            let pos = (behind + index * self.record_bytes) as u32;
            page.extend(leaf::encode_element(0, pos, KEY_BYTES as u32, value_bytes as u32));
        }
        for record in number * self.per_leaf..(number + 1) * self.per_leaf {
            page.extend(RecordKey::first_of(record as i64 + 2));
            let end = page.len() + value_bytes;
            self.put_value(&mut page, record, end);
        }
        page
    }

    /// A `KeyValue` that ends at `end`: the key field, and a value field that fills it up.
    fn put_value(&self, page: &mut Vec<u8>, record: u64, end: usize) {
        let pod = record % self.distinct_keys;
        page.extend([0x0A, 0]);
        let start = page.len();
        write!(page, "/registry/pods/ns-{}/pod-{pod}", pod % 1_000).expect("a Vec takes all");
        page[start - 1] = (page.len() - start) as u8;
        // Two bytes of length whatever the size, so that nothing depends on it.
        let content = end - page.len() - 3;
        page.extend([VALUE_TAG, content as u8 | 0x80, (content >> 7) as u8]);
        page.resize(end, record as u8);
    }

    fn branch(&self, level: usize, number: u64) -> Vec<u8> {
        let (first_page, below) = match level.checked_sub(1) {
            None => (FIRST_LEAF, self.leaves),
            Some(under) => self.levels[under],
        };
        let first = number * FAN_OUT;
        let children = FAN_OUT.min(below - first);
        let leaves_each = FAN_OUT.pow(level as u32);
        let id = self.levels[level].0 + number;
        let mut page = header(id, BRANCH, children as u16);
        for index in 0..children {
            let heads = (children - index) as usize * branch::ELEMENT_BYTES;
            let pos = (heads + index as usize * KEY_BYTES) as u32;
            let child = Pgid(first_page + first + index);
            page.extend(branch::encode_element(pos, KEY_BYTES as u32, child));
        }
        for child in first..first + children {
            let record = child * leaves_each * self.per_leaf;
            page.extend(RecordKey::first_of(record as i64 + 2));
        }
        page
    }

    fn page(&self, id: u64) -> Vec<u8> {
        let mut page = match id {
            0 | 1 => self.meta(id),
            2 => self.root(),
            id if id < FIRST_LEAF + self.leaves => self.leaf(id - FIRST_LEAF),
            id => {
                let mut levels = self.levels.iter();
                let level = levels.rposition(|(first, _)| *first <= id).unwrap_or(0);
                self.branch(level, id - self.levels[level].0)
            }
        };
        page.resize(PAGE_BYTES, 0);
        page
    }
}

fn header(id: u64, flags: u16, count: u16) -> Vec<u8> {
    let mut page = Vec::with_capacity(PAGE_BYTES);
    page.extend(PageHeader { id: Pgid(id), flags, count, overflow: 0 }.encode());
    page
}

/// The file.
pub struct Synthetic(Shape);

impl Synthetic {
    pub fn new(shape: Shape) -> Self {
        Self(shape)
    }
}

impl Storage for Synthetic {
    fn len(&self) -> u64 {
        self.0.file_bytes()
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Bytes<'_>> {
        let end = offset.checked_add(len as u64).filter(|&end| end <= self.len());
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let first = offset / PAGE_BYTES as u64;
        if len == PAGE_BYTES && offset.is_multiple_of(PAGE_BYTES as u64) {
            return Ok(self.0.page(first).into());
        }
        let mut bytes = Vec::with_capacity(len.next_multiple_of(PAGE_BYTES));
        for id in first..end.div_ceil(PAGE_BYTES as u64) {
            bytes.extend(self.0.page(id));
        }
        let skip = (offset - first * PAGE_BYTES as u64) as usize;
        bytes.drain(..skip);
        bytes.truncate(len);
        Ok(bytes.into())
    }
}
