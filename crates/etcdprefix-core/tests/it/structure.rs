//! The structure check: clean on what etcd wrote, and each fault found in a file that has it.
//!
//! Faulty files are laid out by hand here, without the crate's encoders.

use std::path::Path;

use etcdprefix_core::progress::Silent;
use etcdprefix_core::read::{ReadMode, Snapshot};
use etcdprefix_core::verify::structure::FindingCode as Code;
use etcdprefix_core::verify::{Expect, StructureReport, check_structure, status};

use crate::status::{FIXTURES, fixture};

const PAGE: usize = 4096;
const BRANCH: u16 = 1;
const LEAF: u16 = 2;
const META: u16 = 4;
const FREELIST: u16 = 0x10;
const NO_FREELIST: u64 = u64::MAX;

/// A file of 4 KiB pages; page 2 is the root bucket's leaf with bucket `b` rooted at page 4, page 3
/// the freelist.
struct File {
    pages: Vec<Vec<u8>>,
    freelist: u64,
}

fn page(id: u64, flags: u16, count: usize, overflow: u32, body: &[u8]) -> Vec<u8> {
    let mut out = id.to_le_bytes().to_vec();
    out.extend(flags.to_le_bytes());
    out.extend((count as u16).to_le_bytes());
    out.extend(overflow.to_le_bytes());
    out.extend(body);
    out.resize(PAGE * (overflow as usize + 1), 0);
    out
}

fn leaf(id: u64, pairs: &[(u32, &[u8], &[u8])]) -> Vec<u8> {
    let (mut elements, mut data) = (Vec::new(), Vec::new());
    for (index, (flags, key, value)) in pairs.iter().enumerate() {
        let pos = (pairs.len() - index) * 16 + data.len();
        for field in [*flags, pos as u32, key.len() as u32, value.len() as u32] {
            elements.extend(field.to_le_bytes());
        }
        data.extend([*key, *value].concat());
    }
    page(id, LEAF, pairs.len(), 0, &[elements, data].concat())
}

fn records(id: u64, keys: &[&str]) -> Vec<u8> {
    let pairs: Vec<(u32, &[u8], &[u8])> =
        keys.iter().map(|key| (0, key.as_bytes(), &[7_u8; 300][..])).collect();
    leaf(id, &pairs)
}

fn branch(id: u64, children: &[(&str, u64)]) -> Vec<u8> {
    let (mut elements, mut data) = (Vec::new(), Vec::new());
    for (index, (key, child)) in children.iter().enumerate() {
        let pos = (children.len() - index) * 16 + data.len();
        elements.extend((pos as u32).to_le_bytes());
        elements.extend((key.len() as u32).to_le_bytes());
        elements.extend(child.to_le_bytes());
        data.extend(key.as_bytes());
    }
    page(id, BRANCH, children.len(), 0, &[elements, data].concat())
}

fn freelist(id: u64, free: &[u64]) -> Vec<u8> {
    let body: Vec<u8> = free.iter().flat_map(|id| id.to_le_bytes()).collect();
    page(id, FREELIST, free.len(), 0, &body)
}

fn bucket_header(root: u64) -> Vec<u8> {
    [root.to_le_bytes(), 0_u64.to_le_bytes()].concat()
}

impl File {
    /// Bucket `b` over three leaves, nothing wrong.
    fn sound() -> Self {
        let header = bucket_header(4);
        Self {
            pages: vec![
                Vec::new(),
                Vec::new(),
                leaf(2, &[(1, b"b", &header)]),
                freelist(3, &[]),
                branch(4, &[("a", 5), ("d", 6), ("g", 7)]),
                records(5, &["a", "b", "c"]),
                records(6, &["d", "e", "f"]),
                records(7, &["g", "h", "i"]),
            ],
            freelist: 3,
        }
    }

    fn with(mut self, id: usize, page: Vec<u8>) -> Self {
        if id == self.pages.len() {
            self.pages.push(page);
        } else {
            self.pages[id] = page;
        }
        self
    }

    fn bytes(mut self) -> Vec<u8> {
        let pages = self.pages.len() as u64;
        for (id, txid) in [(0, 8), (1, 9)] {
            let fields = [2, 0, self.freelist, pages, txid];
            let mut meta = [0xED0C_DAED_u32, 2, PAGE as u32, 0].map(u32::to_le_bytes).concat();
            meta.extend(fields.map(u64::to_le_bytes).concat());
            let sum = meta.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            });
            meta.extend(sum.to_le_bytes());
            self.pages[id] = page(id as u64, META, 0, 0, &meta);
        }
        self.pages.concat()
    }

    fn check(self, expect: Expect) -> StructureReport {
        check_structure(&open(self.bytes()), expect, &Silent).unwrap()
    }
}

fn open(bytes: Vec<u8>) -> Snapshot {
    Snapshot::from_storage(Box::new(bytes), Path::new("test.db")).unwrap()
}

fn codes(report: &StructureReport) -> Vec<Code> {
    report.findings.totals.keys().copied().collect()
}

/// The fault is found by both checks; the strict one may see more.
#[track_caller]
fn finds(code: Code, file: impl Fn() -> File) {
    let report = file().check(Expect::Sound);
    assert_eq!(codes(&report), [code], "{report:?}");
    let report = file().check(Expect::Compact);
    assert!(codes(&report).contains(&code), "{report:?}");
}

/// Only the strict check minds.
#[track_caller]
fn strictly_finds(code: Code, file: impl Fn() -> File) {
    let report = file().check(Expect::Sound);
    assert!(report.findings.is_empty(), "{report:?}");
    let report = file().check(Expect::Compact);
    assert_eq!(codes(&report), [code], "{report:?}");
}

#[test]
fn files_of_etcd_are_sound() {
    for name in FIXTURES {
        for mode in [ReadMode::Map, ReadMode::Positioned] {
            let snapshot = Snapshot::open(&fixture(name), mode).unwrap();
            let report = check_structure(&snapshot, Expect::Sound, &Silent).unwrap();
            assert_eq!(report.findings.summary(), None, "{name}");
            let status = status(&snapshot, 2, &Silent).unwrap();
            assert_eq!(report.pairs, status.total_pairs, "{name}");
        }
    }
}

#[test]
fn the_hand_made_file_is_sound_and_compact() {
    let report = File::sound().check(Expect::Compact);
    assert_eq!(report.findings.summary(), None);
    let counts = (report.pairs, report.buckets, report.branch_pages, report.leaf_pages);
    assert_eq!(counts, (9, 1, 1, 4));
}

#[test]
fn disorder_is_found_within_and_across_pages() {
    finds(Code::OutOfOrder, || File::sound().with(6, records(6, &["d", "f", "e"])));
    finds(Code::OutOfOrder, || File::sound().with(6, records(6, &["d", "e", "e"])));
    // In order by itself, but past the next leaf's first key.
    finds(Code::OutOfOrder, || File::sound().with(6, records(6, &["d", "e", "g"])));
    finds(Code::OutOfOrder, || File::sound().with(6, records(6, &["c1", "e", "f"])));
    finds(Code::OutOfOrder, || File::sound().with(4, branch(4, &[("a", 5), ("g", 7), ("d", 6)])));
}

#[test]
fn a_page_reached_twice_is_found_whoever_reaches_it() {
    finds(Code::PageUsedTwice, || {
        let file = File::sound().with(4, branch(4, &[("a", 5), ("d", 6), ("g", 6)]));
        file.with(3, freelist(3, &[7]))
    });
    let cycle = || File::sound().with(4, branch(4, &[("a", 5), ("d", 6), ("g", 7), ("j", 4)]));
    finds(Code::PageUsedTwice, cycle);
    finds(Code::PageUsedTwice, || {
        File::sound().with(4, branch(4, &[("a", 5), ("d", 6), ("g", 7), ("j", 3)]))
    });
    // An overflow run over a neighbour.
    finds(Code::PageUsedTwice, || {
        let mut long = records(5, &["a", "b", "c"]);
        long[12] = 1;
        File::sound().with(5, long)
    });
}

#[test]
fn pages_that_can_not_be_entered_are_found() {
    finds(Code::PageOutOfRange, || {
        File::sound().with(4, branch(4, &[("a", 5), ("d", 6), ("g", 7), ("j", 8)]))
    });
    finds(Code::PageOutOfRange, || {
        File::sound().with(4, branch(4, &[("a", 5), ("d", 6), ("g", 7), ("j", 1)]))
    });
    finds(Code::WrongPageKind, || {
        let file = File::sound().with(4, branch(4, &[("a", 5), ("d", 6), ("g", 7), ("j", 8)]));
        file.with(8, freelist(8, &[]))
    });
    let wrong_id = || File::sound().with(6, records(9, &["d", "e", "f"]));
    let report = wrong_id().check(Expect::Sound);
    assert_eq!(codes(&report), [Code::WrongPageId, Code::UnreachableUnfreed]);
}

#[test]
fn elements_outside_their_page_are_found() {
    finds(Code::ElementOutOfRange, || {
        let mut page = records(6, &["d", "e", "f"]);
        page[16 + 12..16 + 16].copy_from_slice(&5000_u32.to_le_bytes());
        File::sound().with(6, page)
    });
    finds(Code::ElementsOverlap, || {
        let mut page = records(6, &["d", "e", "f"]);
        page[16 + 12..16 + 16].copy_from_slice(&4000_u32.to_le_bytes());
        File::sound().with(6, page)
    });
    finds(Code::BranchEmpty, || {
        let file = File::sound().with(4, branch(4, &[]));
        file.with(3, freelist(3, &[5, 6, 7]))
    });
}

#[test]
fn the_freelist_and_the_trees_share_all_pages() {
    let leak = || File::sound().with(8, records(8, &["x", "y"]));
    let report = leak().check(Expect::Sound);
    assert_eq!(codes(&report), [Code::UnreachableUnfreed]);
    assert_eq!(codes(&leak().check(Expect::Compact)), [Code::Gap]);
    let without_freelist = || File { freelist: NO_FREELIST, ..leak() };
    assert_eq!(without_freelist().check(Expect::Sound).findings.total(), 0);
    finds(Code::ReachableFreed, || File::sound().with(3, freelist(3, &[6])));
    finds(Code::FreedTwice, || leak().with(3, freelist(3, &[8, 8])));
    finds(Code::FreelistInvalid, || {
        let mut page = freelist(3, &[]);
        page[10..12].copy_from_slice(&600_u16.to_le_bytes());
        File::sound().with(3, page)
    });
}

#[test]
fn our_own_files_have_to_keep_more() {
    strictly_finds(Code::FirstKeyDiffers, || {
        File::sound().with(4, branch(4, &[("a", 5), ("c1", 6), ("g", 7)]))
    });
    strictly_finds(Code::UnevenDepth, || {
        let file = File::sound().with(4, branch(4, &[("a", 5), ("d", 8)]));
        file.with(8, branch(8, &[("d", 6), ("g", 7)]))
    });
    strictly_finds(Code::Slack, || {
        let mut page = records(6, &["d", "e", "f"]);
        page[PAGE - 1] = 1;
        File::sound().with(6, page)
    });
    strictly_finds(Code::FreelistNotEmpty, || {
        let file = File::sound().with(8, records(8, &["x"]));
        let file = file.with(3, freelist(3, &[8]));
        let header = bucket_header(8);
        file.with(3, freelist(3, &[9]))
            .with(2, leaf(2, &[(1, b"b", &bucket_header(4)), (1, b"c", &header)]))
            .with(8, records(8, &["x", "y", "z", "zz"]))
    });
    strictly_finds(Code::BranchTooSmall, || {
        let file = File::sound().with(4, branch(4, &[("a", 8)]));
        file.with(8, branch(8, &[("a", 5), ("d", 6), ("g", 7)]))
    });
    strictly_finds(Code::WronglyInline, || {
        let header = bucket_header(8);
        let file = File::sound().with(8, records(8, &["x"]));
        file.with(2, leaf(2, &[(1, b"b", &bucket_header(4)), (1, b"c", &header)]))
    });
}

/// What bbolt's Check passes over.
#[track_caller]
fn finds_in_accounting(code: Code, file: impl Fn() -> File) {
    assert_eq!(file().check(Expect::Sound).findings.total(), 0);
    let report = file().check(Expect::Accounted);
    assert_eq!(codes(&report), [code], "{report:?}");
}

#[test]
fn every_byte_is_accounted_for() {
    assert_eq!(File::sound().check(Expect::Accounted).findings.summary(), None);
    let inline = |first: &[u8], second: &[u8]| {
        let page = leaf(0, &[(0, first, b"1"), (0, second, b"2")]);
        [bucket_header(0), page[..16 + 2 * 16 + 4].to_vec()].concat()
    };
    let with_inline = |value: Vec<u8>| {
        File::sound().with(2, leaf(2, &[(1, b"b", &bucket_header(4)), (1, b"i", &value)]))
    };
    let report = with_inline(inline(b"x", b"y")).check(Expect::Accounted);
    assert_eq!(report.findings.summary(), None);
    finds_in_accounting(Code::OutOfOrder, || with_inline(inline(b"y", b"x")));
    finds_in_accounting(Code::Slack, || with_inline([inline(b"x", b"y"), vec![1]].concat()));
    finds_in_accounting(Code::RecordAmongBuckets, || {
        File::sound().with(2, leaf(2, &[(1, b"b", &bucket_header(4)), (0, b"plain", b"1")]))
    });
    finds_in_accounting(Code::ElementFlags, || {
        let mut page = records(6, &["d", "e", "f"]);
        page[16] = 2;
        File::sound().with(6, page)
    });
    finds_in_accounting(Code::ElementsApart, || {
        let mut page = records(6, &["d", "e", "f"]);
        let (element, bytes) = (16 + 2 * 16, 301);
        let key = element + usize::from(page[element + 4]) + 256 * usize::from(page[element + 5]);
        page.copy_within(key..key + bytes, key + 1);
        page[element + 4] += 1;
        File::sound().with(6, page)
    });
    finds_in_accounting(Code::FreelistInvalid, || File::sound().with(3, freelist(3, &[8])));
    finds_in_accounting(Code::FreelistInvalid, || File::sound().with(3, freelist(3, &[1])));
    finds_in_accounting(Code::Slack, || {
        let mut page = branch(4, &[("a", 5), ("d", 6), ("g", 7)]);
        page[PAGE - 1] = 1;
        File::sound().with(4, page)
    });
}

#[test]
fn findings_are_capped_and_counted() {
    let mut file = File::sound();
    for id in 8..108 {
        file = file.with(id, records(id as u64, &["x"]));
    }
    let report = file.check(Expect::Sound);
    assert_eq!((report.findings.total(), report.findings.kept.len()), (100, 20));
    let summary = report.findings.summary().unwrap();
    assert_eq!(summary, "page 8: neither in use nor on the freelist, and 99 more");
}

/// Whatever the bytes, an answer comes; every bit of a page's header and first elements, and a
/// sample of the rest.
#[test]
fn flipped_bits_never_end_in_a_panic() {
    let sound = std::fs::read(fixture("s-3.5.1")).unwrap();
    for at in 0..sound.len() {
        if at % PAGE >= 64 && at % 41 != 0 {
            continue;
        }
        for bit in [0x01, 0x80, 0xFF] {
            let mut bytes = sound.clone();
            bytes[at] ^= bit;
            let Ok(snapshot) = Snapshot::from_storage(Box::new(bytes), Path::new("test.db")) else {
                continue;
            };
            for expect in [Expect::Sound, Expect::Accounted, Expect::Compact] {
                check_structure(&snapshot, expect, &Silent).unwrap();
            }
            // Any outcome is fine.
            status(&snapshot, 1, &Silent).ok();
        }
    }
}
