//! Makes bbolt files with an encoder of its own, page by page: any page size, any fan-out, any
//! freelist, sub-buckets, gaps, odd records. For stores that no etcd would write, and for those
//! that it would, many and small.

use sha2::{Digest, Sha256};

use crate::bolt::fnv1a_64;

const NO_FREELIST: u64 = u64::MAX;
const HEADER: usize = 16;
const BUCKET: u32 = 1;

/// How the file accounts for its free pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freelist {
    /// Not at all, as etcd leaves it.
    Absent,
    /// In a page, its count in the header.
    Page,
    /// In a page, its count in the first entry, as bbolt does from 65,535 entries on.
    LongPage,
}

/// A file to make.
#[derive(Clone, Debug)]
pub struct Source {
    /// In bytes.
    pub page_size: usize,
    /// The top-level buckets, in any order.
    pub buckets: Vec<SourceBucket>,
    /// The current transaction.
    pub txid: u64,
    /// How free pages are accounted for.
    pub freelist: Freelist,
    /// Free pages before the first bucket.
    pub free_pages: usize,
    /// Most elements of a leaf.
    pub leaf_elements: usize,
    /// Most children of a branch, from 2.
    pub fan_out: usize,
    /// Whether a SHA-256 follows.
    pub trailer: bool,
}

/// A bucket to make.
#[derive(Clone, Debug, Default)]
pub struct SourceBucket {
    /// Its name.
    pub name: Vec<u8>,
    /// Its counter.
    pub sequence: u64,
    /// Its pairs, in any order.
    pub pairs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Its sub-buckets.
    pub children: Vec<SourceBucket>,
    /// Whether it stands in its parent's leaf; only without sub-buckets.
    pub inline: bool,
}

struct Element {
    flags: u32,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Default for Source {
    fn default() -> Self {
        Self {
            page_size: 4096,
            buckets: Vec::new(),
            txid: 7,
            freelist: Freelist::Absent,
            free_pages: 0,
            leaf_elements: 8,
            fan_out: 4,
            trailer: true,
        }
    }
}

impl Source {
    /// A file with a bucket `key` of these records and the other buckets of an etcd, empty.
    pub fn with_records(records: Vec<(Vec<u8>, Vec<u8>)>) -> Self {
        let names = ["alarm", "auth", "authRoles", "cluster", "lease", "members", "meta"];
        let mut buckets: Vec<SourceBucket> = names
            .iter()
            .map(|name| SourceBucket {
                name: name.as_bytes().to_vec(),
                inline: true,
                ..SourceBucket::default()
            })
            .collect();
        buckets.push(SourceBucket {
            name: b"key".to_vec(),
            pairs: records,
            ..SourceBucket::default()
        });
        Self { buckets, ..Self::default() }
    }

    /// The bucket `name`, which must be there.
    ///
    /// # Panics
    /// If it is not.
    pub fn bucket_mut(&mut self, name: &str) -> &mut SourceBucket {
        let mut buckets = self.buckets.iter_mut();
        buckets.find(|bucket| bucket.name == name.as_bytes()).expect("the bucket exists")
    }

    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut pages = Pages { source: self, bytes: Vec::new() };
        pages.bytes.resize((2 + self.free_pages) * self.page_size, 0);
        let freelist = pages.freelist();
        let root = SourceBucket { children: self.buckets.clone(), ..SourceBucket::default() };
        let elements = pages.elements(&root);
        let root = pages.tree(&elements);
        let mut bytes = pages.bytes;
        let high_water = (bytes.len() / self.page_size) as u64;
        for id in 0..2u64 {
            let txid = if self.txid % 2 == id { self.txid } else { self.txid - 1 };
            let meta = self.meta(id, root, freelist, high_water, txid);
            let at = id as usize * self.page_size;
            bytes[at..at + meta.len()].copy_from_slice(&meta);
        }
        if self.trailer {
            let digest = Sha256::digest(&bytes);
            bytes.extend_from_slice(&digest);
        }
        bytes
    }

    fn meta(&self, id: u64, root: u64, freelist: u64, high_water: u64, txid: u64) -> Vec<u8> {
        let mut meta = header(id, 4, 0, 0);
        meta.extend(0xED0C_DAEDu32.to_le_bytes());
        meta.extend(2u32.to_le_bytes());
        meta.extend((self.page_size as u32).to_le_bytes());
        meta.extend(0u32.to_le_bytes());
        for field in [root, 0, freelist, high_water, txid] {
            meta.extend(field.to_le_bytes());
        }
        let checksum = fnv1a_64(&meta[HEADER..]);
        meta.extend(checksum.to_le_bytes());
        meta
    }
}

struct Pages<'s> {
    source: &'s Source,
    bytes: Vec<u8>,
}

impl Pages<'_> {
    fn next_id(&self) -> u64 {
        (self.bytes.len() / self.source.page_size) as u64
    }

    /// Appends a run and returns its page id.
    fn append(&mut self, flags: u16, count: usize, body: &[u8]) -> u64 {
        let (id, size) = (self.next_id(), self.source.page_size);
        let pages = (HEADER + body.len()).div_ceil(size).max(1);
        let end = self.bytes.len() + pages * size;
        self.bytes.extend(header(id, flags, count as u16, pages as u32 - 1));
        self.bytes.extend_from_slice(body);
        self.bytes.resize(end, 0);
        id
    }

    fn freelist(&mut self) -> u64 {
        let free: Vec<u64> = (2..2 + self.source.free_pages as u64).collect();
        let mut body: Vec<u8> = Vec::new();
        let count = match self.source.freelist {
            Freelist::Absent => return NO_FREELIST,
            Freelist::Page => free.len(),
            Freelist::LongPage => {
                body.extend((free.len() as u64).to_le_bytes());
                0xFFFF
            }
        };
        body.extend(free.iter().flat_map(|id| id.to_le_bytes()));
        self.append(0x10, count, &body)
    }

    /// A bucket's elements, its sub-buckets made first.
    fn elements(&mut self, bucket: &SourceBucket) -> Vec<Element> {
        let pairs = bucket.pairs.iter().cloned();
        let mut elements: Vec<Element> =
            pairs.map(|(key, value)| Element { flags: 0, key, value }).collect();
        for child in &bucket.children {
            let key = child.name.clone();
            let mut inner = self.elements(child);
            inner.sort_by(|a, b| a.key.cmp(&b.key));
            let root = if child.inline { 0 } else { self.tree(&inner) };
            let mut value = [root.to_le_bytes(), child.sequence.to_le_bytes()].concat();
            if child.inline {
                value.extend(header(0, 2, inner.len() as u16, 0));
                value.extend(leaf_body(&inner));
            }
            elements.push(Element { flags: BUCKET, key, value });
        }
        elements.sort_by(|a, b| a.key.cmp(&b.key));
        elements
    }

    /// Appends a tree over sorted elements and returns its root page.
    fn tree(&mut self, elements: &[Element]) -> u64 {
        if elements.is_empty() {
            return self.append(2, 0, &[]);
        }
        let mut level: Vec<(Vec<u8>, u64)> = Vec::new();
        for leaf in elements.chunks(self.source.leaf_elements.max(1)) {
            let id = self.append(2, leaf.len(), &leaf_body(leaf));
            level.push((leaf[0].key.clone(), id));
        }
        while level.len() > 1 {
            let children = std::mem::take(&mut level);
            for branch in children.chunks(self.source.fan_out.max(2)) {
                let id = self.append(1, branch.len(), &branch_body(branch));
                level.push((branch[0].0.clone(), id));
            }
        }
        level[0].1
    }
}

fn header(id: u64, flags: u16, count: u16, overflow: u32) -> Vec<u8> {
    let mut header = id.to_le_bytes().to_vec();
    header.extend(flags.to_le_bytes());
    header.extend(count.to_le_bytes());
    header.extend(overflow.to_le_bytes());
    header
}

fn leaf_body(elements: &[Element]) -> Vec<u8> {
    let (mut heads, mut data) = (Vec::new(), Vec::new());
    for (index, element) in elements.iter().enumerate() {
        let pos = (elements.len() - index) * 16 + data.len();
        let sizes = [element.key.len(), element.value.len()].map(|size| size as u32);
        for field in [element.flags, pos as u32, sizes[0], sizes[1]] {
            heads.extend(field.to_le_bytes());
        }
        data.extend_from_slice(&element.key);
        data.extend_from_slice(&element.value);
    }
    [heads, data].concat()
}

fn branch_body(children: &[(Vec<u8>, u64)]) -> Vec<u8> {
    let (mut heads, mut data) = (Vec::new(), Vec::new());
    for (index, (key, id)) in children.iter().enumerate() {
        let pos = (children.len() - index) * 16 + data.len();
        heads.extend((pos as u32).to_le_bytes());
        heads.extend((key.len() as u32).to_le_bytes());
        heads.extend(id.to_le_bytes());
        data.extend_from_slice(key);
    }
    [heads, data].concat()
}

/// A record's key in bucket `key`.
#[expect(clippy::big_endian_bytes, reason = "etcd writes revisions big-endian so that they sort")]
pub fn record_key(main: i64, sub: i64, tombstone: bool) -> Vec<u8> {
    let mut key = main.to_be_bytes().to_vec();
    key.push(b'_');
    key.extend(sub.to_be_bytes());
    key.extend(tombstone.then_some(b't'));
    key
}

/// How a record's key field is encoded. A reader sees the same key in all of them but `Absent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// First and shortest, as etcd writes it.
    Canonical,
    /// After the other fields.
    Last,
    /// After another key field, which does not count.
    Repeated,
    /// With a length of more bytes than needed.
    LongLength,
    /// With a tag of more bytes than needed.
    LongTag,
    /// Not there.
    Absent,
}

/// All forms.
pub const KEY_FORMS: [KeyForm; 6] = [
    KeyForm::Canonical,
    KeyForm::Last,
    KeyForm::Repeated,
    KeyForm::LongLength,
    KeyForm::LongTag,
    KeyForm::Absent,
];

/// A record's value: the key in this form and the other fields, which are given encoded.
pub fn record_value(form: KeyForm, key: &[u8], rest: &[u8]) -> Vec<u8> {
    let field = |tag: &[u8], length: &[u8]| [tag, length, key].concat();
    let length = varint(key.len() as u64);
    let canonical = field(&[0x0A], &length);
    match form {
        KeyForm::Canonical => [&canonical, rest].concat(),
        KeyForm::Last => [rest, &canonical].concat(),
        KeyForm::Repeated => [b"\x0a\x03/no".as_slice(), rest, &canonical].concat(),
        KeyForm::LongLength => {
            let mut long = length;
            if let Some(last) = long.last_mut() {
                *last |= 0x80;
            }
            long.push(0);
            [&field(&[0x0A], &long), rest].concat()
        }
        KeyForm::LongTag => [&field(&[0x8A, 0], &length), rest].concat(),
        KeyForm::Absent => rest.to_vec(),
    }
}

/// The other fields of a record, in etcd's order; absent where 0 or empty, as proto3 has it.
pub fn record_rest(create: i64, modified: i64, version: i64, value: &[u8], lease: i64) -> Vec<u8> {
    let mut rest = Vec::new();
    for (tag, number) in [(0x10, create), (0x18, modified), (0x20, version)] {
        put_number(&mut rest, tag, number);
    }
    if !value.is_empty() {
        rest.push(0x2A);
        rest.extend(varint(value.len() as u64));
        rest.extend_from_slice(value);
    }
    put_number(&mut rest, 0x30, lease);
    rest
}

fn put_number(out: &mut Vec<u8>, tag: u8, number: i64) {
    if number != 0 {
        out.push(tag);
        out.extend(varint(number as u64));
    }
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}
