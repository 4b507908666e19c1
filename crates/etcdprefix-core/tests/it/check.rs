//! The check: silent on what etcd wrote, and each fault told with its level, however deep it is.

use std::path::Path;

use etcdprefix_core::outcome::InputTrailer;
use etcdprefix_core::progress::Silent;
use etcdprefix_core::read::{ReadMode, Snapshot};
use etcdprefix_core::verify::findings::{FindingCode as Code, Level};
use etcdprefix_core::verify::{CheckReport, CompactionMarks, Depth, check};
use etcdprefix_testkit::bolt::fnv1a_64;
use etcdprefix_testkit::source::{
    Freelist, KeyForm, Source, SourceBucket, record_key, record_rest, record_value,
};

use crate::status::{FIXTURES, fixture};

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

fn check_bytes(bytes: Vec<u8>, depth: Depth) -> CheckReport {
    let snapshot = Snapshot::from_storage(Box::new(bytes), Path::new("test.db")).unwrap();
    check(&snapshot, depth, 2, &Silent).unwrap()
}

fn check_source(source: &Source) -> CheckReport {
    check_bytes(source.encode(), Depth::Full)
}

/// A put as etcd writes it.
fn put(main: i64, key: &str, lease: i64) -> (Vec<u8>, Vec<u8>) {
    put_with(main, key, [main, main, 1], lease)
}

/// With create revision, mod revision and version of any kind.
fn put_with(main: i64, key: &str, numbers: [i64; 3], lease: i64) -> (Vec<u8>, Vec<u8>) {
    let rest = record_rest(numbers[0], numbers[1], numbers[2], b"value", lease);
    (record_key(main, 0, false), record_value(KeyForm::Canonical, key.as_bytes(), &rest))
}

fn tombstone(main: i64, key: &str) -> (Vec<u8>, Vec<u8>) {
    (record_key(main, 0, true), record_value(KeyForm::Canonical, key.as_bytes(), b""))
}

/// A sound store of these records and leases.
fn store(records: Pairs, leases: &[i64]) -> Source {
    let mut source = Source::with_records(records);
    for name in ["authUsers", "members_removed"] {
        let (name, inline) = (name.into(), true);
        source.buckets.push(SourceBucket { name, inline, ..SourceBucket::default() });
    }
    let lease = source.bucket_mut("lease");
    lease.inline = leases.len() < 10;
    lease.pairs = leases.iter().map(|&id| lease_of(id, id)).collect();
    source
}

#[expect(clippy::big_endian_bytes, reason = "etcd writes ids big-endian so that they sort")]
fn lease_of(key: i64, id: i64) -> (Vec<u8>, Vec<u8>) {
    // A record's first number has field number 2; a lease's id has 1.
    let mut value = record_rest(id, 0, 0, b"", 0);
    value[0] = 0x08;
    (key.to_be_bytes().to_vec(), value)
}

#[track_caller]
fn totals(report: &CheckReport) -> Vec<(Code, u64)> {
    let of_level = |level| report.findings.total_of(level);
    assert_eq!(of_level(Level::Error) + of_level(Level::Warning), report.findings.total());
    assert_eq!(report.is_sound(), of_level(Level::Error) == 0);
    report.findings.totals.iter().map(|(code, total)| (*code, *total)).collect()
}

#[track_caller]
fn finds(source: &Source, code: Code, level: Level) {
    let report = check_source(source);
    assert_eq!(totals(&report), [(code, 1)], "{:?}", report.findings);
    assert_eq!(report.findings.kept[0].level, level);
}

#[test]
fn nothing_is_told_of_what_etcd_wrote() {
    for name in FIXTURES {
        for (mode, threads) in [(ReadMode::Map, 3), (ReadMode::Positioned, 1)] {
            let snapshot = Snapshot::open(&fixture(name), mode).unwrap();
            let report = check(&snapshot, Depth::Full, threads, &Silent).unwrap();
            assert_eq!(report.findings.summary(), None, "{name}");
            assert_eq!(report.trailer, Some(InputTrailer::Verified));
            let pages = &report.structure;
            let parts =
                [2, pages.branch_pages, pages.leaf_pages, pages.freelist_pages, pages.free_pages];
            assert_eq!(parts.iter().sum::<u64>(), pages.pages, "{name}: {pages:?}");
            if name.starts_with("s-") {
                let records = report.records.unwrap();
                let counts = (records.tombstones, records.empty_values, records.revision);
                assert_eq!((counts, records.leases), ((11, 0, 64), 1), "{name}");
                assert_eq!(report.compaction, Some(CompactionMarks::default()));
                assert_eq!(pages.records, 73, "{name}");
            }
        }
    }
}

#[test]
fn a_depth_looks_at_no_more_than_it_says() {
    let mut bytes = std::fs::read(fixture("s-3.5.1")).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    let other = b"\x0A\x0A/other/key";
    let at = bytes.windows(other.len()).position(|window| window == other).unwrap();
    bytes[at] = 0x0C;
    let structure = check_bytes(bytes.clone(), Depth::Structure);
    assert_eq!(totals(&structure), []);
    assert!(structure.records.is_none() && structure.trailer.is_none());
    let records = check_bytes(bytes.clone(), Depth::Records);
    assert_eq!(totals(&records), [(Code::RecordInvalid, 1)]);
    assert!(records.trailer.is_none());
    let full = check_bytes(bytes, Depth::Full);
    assert_eq!(totals(&full), [(Code::RecordInvalid, 1), (Code::TrailerMismatch, 1)]);
    let found = &full.findings.kept[0];
    assert_eq!(found.bucket.as_deref(), Some("key"));
    assert!(found.pgid.is_some() && found.detail.contains("record 64/0"), "{found}");
}

#[test]
fn records_that_etcd_does_not_write_are_told() {
    let sound = || vec![put(2, "/a", 0), put_with(3, "/a", [2, 3, 2], 0), tombstone(4, "/a")];
    assert_eq!(totals(&check_source(&store(sound(), &[]))), []);
    let with = |record| {
        let mut records = sound();
        records.push(record);
        store(records, &[])
    };
    let inconsistent = |numbers| with(put_with(9, "/b", numbers, 0));
    for (source, code, level) in [
        (inconsistent([9, 8, 1]), Code::RecordInconsistent, Level::Error),
        (inconsistent([10, 9, 1]), Code::RecordInconsistent, Level::Error),
        (inconsistent([0, 9, 1]), Code::RecordInconsistent, Level::Error),
        (inconsistent([9, 9, 0]), Code::RecordInconsistent, Level::Error),
        (
            with((record_key(9, 0, false), b"\x0a\x05/b".to_vec())),
            Code::RecordInvalid,
            Level::Error,
        ),
        (with((b"short".to_vec(), put(9, "/b", 0).1)), Code::RevisionInvalid, Level::Error),
        (with((record_key(0, 0, false), Vec::new())), Code::RevisionInvalid, Level::Error),
        (with((record_key(9, -1, false), Vec::new())), Code::RevisionInvalid, Level::Error),
        (with((record_key(4, 0, false), put(4, "/b", 0).1)), Code::RevisionTwice, Level::Error),
        (with(put(9, "", 0)), Code::KeyEmpty, Level::Warning),
        (with((record_key(9, 0, true), put(9, "/b", 0).1)), Code::TombstoneContent, Level::Warning),
    ] {
        finds(&source, code, level);
    }
    let among = SourceBucket { name: b"bucket".to_vec(), inline: true, ..SourceBucket::default() };
    let mut source = store(sound(), &[]);
    source.bucket_mut("key").children.push(among);
    finds(&source, Code::BucketAmongRecords, Level::Error);
}

/// A restore with a revision bump leaves a record without a value.
#[test]
fn an_empty_record_is_counted_and_no_fault() {
    let records = vec![put(2, "/a", 0), (record_key(1_000_000, 0, false), Vec::new())];
    let report = check_source(&store(records, &[]));
    assert_eq!(totals(&report), []);
    let counts = report.records.unwrap();
    assert_eq!((counts.empty_values, counts.revision), (1, 1_000_000));
}

/// However the leaves are cut into batches.
#[test]
fn revisions_are_held_against_each_other_across_leaves() {
    let mut records: Pairs = (2..400).map(|main| put(main, &format!("/k{main}"), 0)).collect();
    records.push(tombstone(17, "/gone"));
    let mut source = store(records, &[]);
    source.leaf_elements = 1;
    finds(&source, Code::RevisionTwice, Level::Error);
}

#[test]
fn only_the_last_record_of_a_key_needs_its_lease() {
    let records = vec![
        put(2, "/moved", 5),
        put(3, "/deleted", 5),
        put(4, "/kept", 7),
        put_with(5, "/moved", [2, 5, 2], 7),
        tombstone(6, "/deleted"),
    ];
    assert_eq!(totals(&check_source(&store(records.clone(), &[7]))), []);
    let report = check_source(&store(records, &[8]));
    assert_eq!(totals(&report), [(Code::LeaseMissing, 2)]);
    let told: Vec<&str> = report.findings.kept.iter().map(|found| &*found.detail).collect();
    assert!(told[0].contains("record 4/0 has lease 7,"), "{told:?}");
    assert!(told[1].contains("record 5/0 has lease 7,"), "{told:?}");
    assert!(report.is_sound());
}

#[test]
fn lost_leases_are_counted_exactly_and_told_in_order() {
    let records = (2..102).map(|main| put(main, &format!("/k{main}"), main)).collect();
    let leases: Vec<i64> = (2..102).step_by(2).collect();
    let report = check_source(&store(records, &leases));
    assert_eq!(totals(&report), [(Code::LeaseMissing, 50)]);
    let told: Vec<String> = report.findings.kept.iter().map(|found| found.detail.clone()).collect();
    let expected = (3..43).step_by(2).map(|main| format!("the key of record {main}/0 "));
    assert!(told.iter().zip(expected).all(|(told, start)| told.starts_with(&start)), "{told:?}");
    assert_eq!(told.len(), 20);
}

#[test]
fn leases_and_numbers_that_etcd_could_not_read_are_told() {
    let mut source = store(vec![put(2, "/a", 7)], &[7]);
    source.bucket_mut("lease").pairs.push(lease_of(8, 9));
    finds(&source, Code::LeaseInvalid, Level::Error);
    let mut source = store(vec![put(2, "/a", 0)], &[]);
    let index = (b"consistent_index".to_vec(), vec![0; 7]);
    source.bucket_mut("meta").pairs = vec![index];
    finds(&source, Code::MetaRecordInvalid, Level::Error);
    let marks = [("finishedCompactRev", 5), ("scheduledCompactRev", 9)];
    source.bucket_mut("meta").pairs =
        marks.map(|(name, main)| (name.into(), record_key(main, 0, false))).into();
    let report = check_source(&source);
    assert_eq!(totals(&report), []);
    let marks = report.compaction.unwrap();
    assert_eq!((marks.scheduled, marks.finished), (Some(9), Some(5)));
    assert!(marks.is_under_way());
}

#[test]
fn missing_buckets_are_told() {
    let mut source = store(vec![put(2, "/a", 0)], &[]);
    source.buckets.retain(|bucket| bucket.name != b"members");
    finds(&source, Code::BucketAbsent, Level::Warning);
    source.buckets.retain(|bucket| bucket.name != b"key" && bucket.name != b"meta");
    let report = check_source(&source);
    assert_eq!(totals(&report), [(Code::BucketMissing, 2), (Code::BucketAbsent, 1)]);
}

#[test]
fn meta_pages_are_held_against_each_other() {
    let source = store(vec![put(2, "/a", 0)], &[]);
    let good = source.encode();
    let mut broken = good.clone();
    broken[4096 + 20] ^= 1;
    let report = check_bytes(broken, Depth::Records);
    assert_eq!(totals(&report), [(Code::MetaInvalid, 1)]);
    let found = &report.findings.kept[0];
    assert!(found.to_string().starts_with("page 1: meta page: "), "{found}");
    let apart = Source { txid: 17, ..source.clone() }.encode();
    let mut mixed = good.clone();
    mixed[..4096].copy_from_slice(&apart[..4096]);
    assert_eq!(totals(&check_bytes(mixed, Depth::Records)), [(Code::MetasApart, 1)]);
}

/// A file of one meta page that claims to have no pages at all.
#[test]
fn a_file_without_room_for_its_metas_is_told() {
    let mut bytes = Source { page_size: 65_536, ..store(vec![], &[]) }.encode();
    bytes.truncate(4096);
    bytes[56..64].fill(0);
    let sum = fnv1a_64(&bytes[16..72]);
    bytes[72..80].copy_from_slice(&sum.to_le_bytes());
    for depth in [Depth::Structure, Depth::Full] {
        let report = check_bytes(bytes.clone(), depth);
        assert!(!report.is_sound());
        assert_eq!(report.findings.totals.get(&Code::MetaInvalid), Some(&1), "{report:?}");
    }
}

#[test]
fn bytes_that_belong_to_nothing_are_told() {
    let source = store(vec![put(2, "/a", 0)], &[]);
    let mut bytes = Source { trailer: false, ..source.clone() }.encode();
    let missing = [(Code::TrailerMissing, 1)];
    assert_eq!(totals(&check_bytes(bytes.clone(), Depth::Full)), missing);
    assert_eq!(totals(&check_bytes(bytes.clone(), Depth::Records)), []);
    // As a database grows ahead of its pages.
    bytes.resize(bytes.len() + 3 * 4096, 0);
    assert_eq!(totals(&check_bytes(bytes.clone(), Depth::Full)), missing);
    *bytes.last_mut().unwrap() = 1;
    let report = check_bytes(bytes, Depth::Full);
    assert_eq!(totals(&report), [(Code::TrailerMissing, 1), (Code::TrailingBytes, 1)]);
    assert!(report.is_sound());
    let mut bytes = source.encode();
    bytes[2 * 4096 - 1] = 1;
    bytes[3 * 4096 - 1] = 1;
    assert_eq!(totals(&check_bytes(bytes, Depth::Records)), [(Code::Slack, 2)]);
}

#[test]
fn a_freelist_is_accounted_for() {
    let records: Pairs = (2..60).map(|main| put(main, &format!("/k{main}"), 0)).collect();
    for freelist in [Freelist::Absent, Freelist::Page, Freelist::LongPage] {
        let source = Source { freelist, free_pages: 5, ..store(records.clone(), &[]) };
        let report = check_source(&source);
        assert_eq!(totals(&report), [], "{freelist:?}");
        assert_eq!(report.structure.free_pages, 5, "{freelist:?}");
        assert_eq!(report.structure.freelist_pages, u64::from(freelist != Freelist::Absent));
    }
}

/// Whatever the bytes, an answer comes, and with the trailer none of them is missed.
#[test]
fn changed_bytes_are_found_and_never_end_in_a_panic() {
    let sound = std::fs::read(fixture("s-3.5.16")).unwrap();
    for at in 0..sound.len() {
        if at % 4096 >= 64 && at % 37 != 0 {
            continue;
        }
        let mut bytes = sound.clone();
        bytes[at] ^= 1 << (at % 8);
        let Ok(snapshot) = Snapshot::from_storage(Box::new(bytes), Path::new("test.db")) else {
            continue;
        };
        let report = check(&snapshot, Depth::Full, 1, &Silent).unwrap();
        assert!(!report.findings.is_empty(), "byte {at}");
    }
}
