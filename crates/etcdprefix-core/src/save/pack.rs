//! Packs sized records into leaves and leaves into chunks, in one sequential pass.

use crate::save::branch_pages::groups;
use crate::save::chunk::Chunk;
use crate::save::leaf_pages::{LeafFill, LeafShape};
use crate::units::{PageSize, Pgid};

/// Where an element is in the source: its unit, its number there, sub-buckets before it.
#[derive(Clone, Copy, Debug, Default)]
pub struct ElementAt {
    /// The unit.
    pub unit: usize,
    /// The element's number in the unit.
    pub element: u64,
    /// Sub-buckets of the bucket before it.
    pub children: usize,
}

/// Takes the elements of one bucket in order.
pub struct Packer {
    page_size: PageSize,
    chunk_bytes: u64,
    fill: LeafFill,
    open: Open,
    /// The chunk before `open`, held back because a last chunk with a single leaf joins it.
    pending: Option<Open>,
    chunks: Vec<Chunk>,
    element_bytes: u64,
}

#[derive(Default)]
struct Open {
    start: ElementAt,
    elements: u64,
    bump: Option<[u8; 17]>,
    leaf_pages: u64,
    /// The first keys of its leaves, one after the other, and their sizes.
    keys: Vec<u8>,
    key_bytes: Vec<u32>,
}

/// A bucket packed.
pub struct Packed {
    /// Its chunks; at least one, though it may hold nothing.
    pub chunks: Vec<Chunk>,
    /// What an inline page would hold after its header.
    pub element_bytes: u64,
}

impl Packer {
    /// A packer for a bucket of a file with this page size, into chunks of about `chunk_bytes`.
    pub fn new(page_size: PageSize, chunk_bytes: u64) -> Self {
        Self {
            page_size,
            chunk_bytes,
            fill: LeafFill::new(page_size),
            open: Open::default(),
            pending: None,
            chunks: Vec::new(),
            element_bytes: 0,
        }
    }

    /// Takes a record of the output.
    pub fn record(&mut self, at: ElementAt, key: &[u8], value_bytes: u64) {
        self.fit(at, key, value_bytes);
        self.open.elements += 1;
    }

    /// Takes a source element that is not part of the output.
    pub fn dropped(&mut self) {
        self.open.elements += 1;
    }

    /// Adds an empty record that no source element stands for, as the last one.
    pub fn bump(&mut self, at: ElementAt, key: [u8; 17]) {
        self.fit(at, &key, 0);
        self.open.bump = Some(key);
    }

    /// Ends the bucket.
    pub fn finish(mut self) -> Packed {
        if let Some(leaf) = self.fill.finish() {
            self.end_leaf(leaf);
        }
        let last = std::mem::take(&mut self.open);
        match self.pending.take() {
            Some(pending) if last.key_bytes.len() < 2 => self.seal(pending.join(last)),
            Some(pending) => {
                self.seal(pending);
                self.seal(last);
            }
            None => self.seal(last),
        }
        Packed { chunks: self.chunks, element_bytes: self.element_bytes }
    }

    fn fit(&mut self, at: ElementAt, key: &[u8], value_bytes: u64) {
        let bytes = key.len() as u64 + value_bytes;
        self.element_bytes += crate::format::leaf::ELEMENT_BYTES as u64 + bytes;
        if let Some(leaf) = self.fill.push(bytes) {
            self.end_leaf(leaf);
            self.end_chunk_if_full(at);
        }
        if self.fill.began() {
            self.open.keys.extend_from_slice(key);
            self.open.key_bytes.push(key.len() as u32);
        }
    }

    fn end_leaf(&mut self, leaf: LeafShape) {
        self.open.leaf_pages += leaf.pages;
    }

    /// A chunk has two leaves or more, so that no branch page has a single child.
    fn end_chunk_if_full(&mut self, next: ElementAt) {
        let bytes = self.open.leaf_pages * self.page_size.bytes();
        if bytes < self.chunk_bytes || self.open.key_bytes.len() < 2 {
            return;
        }
        let full = std::mem::replace(&mut self.open, Open { start: next, ..Open::default() });
        if let Some(pending) = self.pending.replace(full) {
            self.seal(pending);
        }
    }

    fn seal(&mut self, open: Open) {
        let single = open.key_bytes.len() < 2;
        let groups = if single { Vec::new() } else { groups(self.page_size, &open.key_bytes) };
        let mut branches = Vec::with_capacity(groups.len());
        let (mut leaf, mut key_at, mut page) = (0, 0, open.leaf_pages);
        for group in &groups {
            let sizes = open.key_bytes.get(leaf..leaf + group.children).unwrap_or_default();
            let first = sizes.first().map_or(0, |&bytes| bytes as usize);
            let key = open.keys.get(key_at..key_at + first).unwrap_or_default();
            branches.push((Box::from(key), page));
            key_at += sizes.iter().map(|&bytes| bytes as usize).sum::<usize>();
            leaf += group.children;
            page += group.pages;
        }
        self.chunks.push(Chunk {
            unit: open.start.unit,
            skip: open.start.element,
            elements: open.elements,
            first_child: open.start.children,
            bump: open.bump,
            leaf_pages: open.leaf_pages,
            branch_pages: page - open.leaf_pages,
            branches,
            first_pgid: Pgid(0),
        });
    }
}

impl Open {
    fn join(mut self, later: Self) -> Self {
        self.elements += later.elements;
        self.bump = later.bump;
        self.leaf_pages += later.leaf_pages;
        self.keys.extend(later.keys);
        self.key_bytes.extend(later.key_bytes);
        self
    }
}
