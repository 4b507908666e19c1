//! Damaged files that get past the checksums: a good file or an evil one, patched, its meta pages
//! valid again.

use std::sync::OnceLock;

use arbitrary::Arbitrary;
use etcdprefix_testkit::evil;
use sha2::{Digest, Sha256};

/// Made by the test kit's encoder: pages of 1 KiB, a tree of four levels, nested and inline
/// buckets, a freelist, every form of record. `tests/it/fuzzed.rs` of the core makes it anew.
const SMALL: &[u8] = include_bytes!("../seeds/small.db");
/// Saved by etcd 3.5.1.
const REAL: &[u8] = include_bytes!("../../testdata/snapshots/s-3.5.1.db");

/// Larger evil files are too slow.
const EVIL_BYTES_MAX: usize = 1 << 17;

const HEADER: usize = 16;
const ELEMENT: usize = 16;
/// The checksum of a meta page and what it covers.
const META_BODY: usize = 56;

/// A file and what is done to it.
#[derive(Arbitrary, Debug)]
pub struct Patched {
    /// Which of the [`bases`].
    base: u8,
    patches: Vec<Patch>,
    tail: Tail,
    leave_metas: bool,
}

#[derive(Arbitrary, Debug)]
enum Patch {
    /// A word of a meta page: magic, version, page size, flags, then 64 bits each.
    Meta { second: bool, word: u8, value: Number },
    /// A field of a page header.
    Header { page: u16, field: u8, value: Number },
    /// A word of an element: flags, position, key size, value size, or a branch's child.
    Element { page: u16, index: u8, word: u8, value: Number },
    /// One page over another, with the id of its place.
    CopyPage { from: u16, to: u16 },
    /// Anything anywhere.
    Bytes { at: u32, bytes: Vec<u8> },
}

/// Small numbers, and those where arithmetic overflows.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Number {
    Small(u8),
    Medium(u16),
    Any(u64),
    BelowZero(u8),
    Power(u8),
}

#[derive(Arbitrary, Debug)]
enum Tail {
    /// The trailer of the file before the patches.
    Stale,
    /// A trailer that is right for the patched pages.
    Sealed,
    Missing,
    /// Cut to so many bytes, modulo the size.
    Cut(u32),
    More(u8),
}

impl Patched {
    /// The file's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let base = &bases()[usize::from(self.base) % bases().len()];
        if base.len() < 2 * MIN_PAGE_BYTES {
            return base.clone();
        }
        let (mut bytes, page_size) = (base.clone(), page_size(base));
        let trailer = bytes.split_off(bytes.len() / page_size * page_size);
        let mut file = File { bytes: &mut bytes, page_size };
        self.patches.iter().for_each(|patch| file.apply(patch));
        if !self.leave_metas {
            file.repair_meta(0);
            file.repair_meta(page_size);
        }
        match self.tail {
            Tail::Stale => bytes.extend(trailer),
            Tail::Sealed => bytes.extend(Sha256::digest(&bytes)),
            Tail::Missing => {}
            Tail::Cut(at) => bytes.truncate(at as usize % bytes.len()),
            Tail::More(more) => bytes.resize(bytes.len() + usize::from(more), 0x5A),
        }
        bytes
    }
}

/// The smallest page that there is.
const MIN_PAGE_BYTES: usize = 1024;

/// What patches are made to: the small file, the real one, the evil ones.
pub fn bases() -> &'static [Vec<u8>] {
    static BASES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    BASES.get_or_init(|| {
        let evil = evil::files().into_iter().map(|file| file.bytes);
        let evil = evil.filter(|bytes| bytes.len() <= EVIL_BYTES_MAX);
        [SMALL.to_vec(), REAL.to_vec()].into_iter().chain(evil).collect()
    })
}

/// As the first meta page has it, if that leaves room for two.
fn page_size(base: &[u8]) -> usize {
    let said = base[24..28].try_into().map_or(0, u32::from_le_bytes) as usize;
    let fits = said.is_power_of_two() && (MIN_PAGE_BYTES..=base.len() / 2).contains(&said);
    if fits { said } else { MIN_PAGE_BYTES }
}

struct File<'b> {
    bytes: &'b mut [u8],
    page_size: usize,
}

impl File<'_> {
    fn apply(&mut self, patch: &Patch) {
        match patch {
            Patch::Meta { second, word, value } => {
                let page = if *second { self.page_size } else { 0 };
                match word % 9 {
                    word @ 0..4 => self.put_u32(page + HEADER + 4 * usize::from(word), *value),
                    word => self.put_u64(page + 2 * HEADER + 8 * usize::from(word - 4), *value),
                }
            }
            Patch::Header { page, field, value } => {
                let page = self.page(*page);
                match field % 4 {
                    0 => self.put_u64(page, *value),
                    1 => self.put_u16(page + 8, *value),
                    2 => self.put_u16(page + 10, *value),
                    _ => self.put_u32(page + 12, *value),
                }
            }
            Patch::Element { page, index, word, value } => {
                let element = self.page(*page) + HEADER + usize::from(*index) * ELEMENT;
                match word % 5 {
                    4 => self.put_u64(element + 8, *value),
                    word => self.put_u32(element + 4 * usize::from(word), *value),
                }
            }
            Patch::CopyPage { from, to } => self.copy_page(*from, *to),
            Patch::Bytes { at, bytes } => self.put(*at as usize % self.bytes.len(), bytes),
        }
    }

    fn page(&self, number: u16) -> usize {
        usize::from(number) % (self.bytes.len() / self.page_size) * self.page_size
    }

    fn copy_page(&mut self, from: u16, to: u16) {
        let (from, to) = (self.page(from), self.page(to));
        self.bytes.copy_within(from..from + self.page_size, to);
        let id = (to / self.page_size) as u64;
        self.put(to, &id.to_le_bytes());
    }

    fn put_u16(&mut self, at: usize, value: Number) {
        self.put(at, &(value.get() as u16).to_le_bytes());
    }

    fn put_u32(&mut self, at: usize, value: Number) {
        self.put(at, &(value.get() as u32).to_le_bytes());
    }

    fn put_u64(&mut self, at: usize, value: Number) {
        self.put(at, &value.get().to_le_bytes());
    }

    /// Writes as much as fits into the file.
    fn put(&mut self, at: usize, bytes: &[u8]) {
        let Some(room) = self.bytes.get_mut(at..) else {
            return;
        };
        let fits = room.len().min(bytes.len());
        room[..fits].copy_from_slice(&bytes[..fits]);
    }

    fn repair_meta(&mut self, page: usize) {
        let body = page + HEADER..page + HEADER + META_BODY;
        let checksum = self.bytes[body.clone()].iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3)
        });
        self.put(body.end, &u64::to_le_bytes(checksum));
    }
}

impl Number {
    fn get(self) -> u64 {
        match self {
            Self::Small(number) => number.into(),
            Self::Medium(number) => number.into(),
            Self::Any(number) => number,
            Self::BelowZero(number) => 0_u64.wrapping_sub(number.into()),
            Self::Power(shift) => 1 << (shift % 64),
        }
    }
}
