//! Every evil file of the test kit: what the structure check finds and how a change ends. Each
//! kind of damage and each code of finding has at least one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use etcdprefix_core::progress::Silent;
use etcdprefix_core::read::{ReadMode, Snapshot};
use etcdprefix_core::verify::findings::Findings;
use etcdprefix_core::verify::{Depth, Expect, check, check_structure};
use etcdprefix_core::{ChangePrefix, Error, Target, change_prefix};
use etcdprefix_testkit::bolt::Bolt;
use etcdprefix_testkit::evil::{self, Evil};

/// Name; findings as every bbolt has them; findings that our own files may not have; all findings
/// of a full check; how a change
/// ends that asks for nothing but the trailer to be right, and one that was told of its damage.
type Row = [&'static str; 6];

#[rustfmt::skip]
const EXPECTED: &[Row] = &[
    ["nothing wrong", "-", "-", "-", "changed", "changed"],
    ["pages of 64 KiB", "-", "-", "-", "changed", "changed"],
    ["pages of 1 KiB", "-", "-", "-", "changed", "changed"],
    ["pages of 128 KiB", "NoValidMeta", "NoValidMeta", "NoValidMeta", "NoValidMeta", "NoValidMeta"],
    ["meta 0 broken", "-", "MetaInvalid", "MetaInvalid", "changed", "changed"],
    ["meta 1 broken", "-", "MetaInvalid", "MetaInvalid", "changed", "changed"],
    ["both metas broken", "NoValidMeta", "NoValidMeta", "NoValidMeta", "NoValidMeta", "NoValidMeta"],
    ["wrong magic", "NoValidMeta", "NoValidMeta", "NoValidMeta", "NoValidMeta", "NoValidMeta"],
    ["unknown version", "NoValidMeta", "NoValidMeta", "NoValidMeta", "NoValidMeta", "NoValidMeta"],
    ["page size no power of two", "NoValidMeta", "NoValidMeta", "NoValidMeta", "NoValidMeta", "NoValidMeta"],
    ["metas of different page sizes", "-", "Metas", "Metas", "changed", "changed"],
    ["metas of different roots", "-", "Metas", "-", "changed", "changed"],
    ["metas of one transaction", "-", "Metas", "MetasApart", "changed", "changed"],
    ["transaction id at its end", "-", "-", "-", "MetaInvalid", "MetaInvalid"],
    ["2^32 claimed pages", "Truncated", "Truncated", "Truncated", "Truncated", "Truncated"],
    ["2^64 - 1 claimed pages", "Truncated", "Truncated", "Truncated", "Truncated", "Truncated"],
    ["no pages claimed", "PageOutOfRange", "PageOutOfRange", "PageOutOfRange TrailerMissing TrailingBytes", "TrailerMissing", "PageOutOfRange"],
    ["metas past the end", "PageOutOfRange", "PageOutOfRange MetaInvalid Slack", "PageOutOfRange MetaInvalid Slack TrailerMissing TrailingBytes", "TrailerMissing", "PageOutOfRange"],
    ["root beyond the last page", "PageOutOfRange UnreachableUnfreed", "PageOutOfRange Gap", "PageOutOfRange UnreachableUnfreed", "PageOutOfRange", "PageOutOfRange"],
    ["root on a meta page", "PageOutOfRange UnreachableUnfreed", "PageOutOfRange Gap", "PageOutOfRange UnreachableUnfreed", "PageOutOfRange", "PageOutOfRange"],
    ["root at the end of numbers", "PageOutOfRange UnreachableUnfreed", "PageOutOfRange Gap", "PageOutOfRange UnreachableUnfreed", "PageOutOfRange", "PageOutOfRange"],
    ["cut in a page", "Truncated", "Truncated", "Truncated", "Truncated", "Truncated"],
    ["cut behind a page", "Truncated", "Truncated", "Truncated", "Truncated", "Truncated"],
    ["cut in the first page", "Truncated", "Truncated", "Truncated", "Truncated", "Truncated"],
    ["cut to nothing", "FileTooSmall", "FileTooSmall", "FileTooSmall", "FileTooSmall", "FileTooSmall"],
    ["no freelist", "-", "Gap FreelistNotEmpty", "-", "changed", "changed"],
    ["unused page without a freelist", "-", "Gap FreelistNotEmpty", "-", "changed", "changed"],
    ["unused page not on the freelist", "UnreachableUnfreed", "Gap", "UnreachableUnfreed", "changed", "Unsound"],
    ["unused page on the freelist", "-", "Gap FreelistNotEmpty", "-", "changed", "changed"],
    ["page freed twice", "FreedTwice", "FreedTwice Gap FreelistNotEmpty", "FreedTwice", "changed", "Unsound"],
    ["page in use and free", "ReachableFreed", "ReachableFreed FreelistNotEmpty", "ReachableFreed", "changed", "Unsound"],
    ["freed page beyond the end", "-", "FreelistNotEmpty", "FreelistInvalid", "changed", "changed"],
    ["freelist with a count too high", "FreelistInvalid", "FreelistInvalid", "FreelistInvalid", "changed", "Unsound"],
    ["freelist of 65,535 entries", "-", "Gap FreelistNotEmpty", "FreelistInvalid", "changed", "changed"],
    ["freelist of 70,000 entries", "-", "Gap FreelistNotEmpty", "FreelistInvalid", "changed", "changed"],
    ["freelist that claims 2^64 - 1", "FreelistInvalid", "FreelistInvalid", "FreelistInvalid", "changed", "Unsound"],
    ["freelist that is a leaf", "WrongPageKind", "WrongPageKind", "WrongPageKind", "changed", "Unsound"],
    ["freelist beyond the end", "PageOutOfRange UnreachableUnfreed", "PageOutOfRange Gap", "PageOutOfRange UnreachableUnfreed", "changed", "Unsound"],
    ["freelist in a tree's page", "WrongPageKind PageUsedTwice UnreachableUnfreed", "WrongPageKind PageUsedTwice Gap", "WrongPageKind PageUsedTwice UnreachableUnfreed", "changed", "Unsound"],
    ["freelist with bytes behind it", "-", "Slack", "-", "changed", "changed"],
    ["branch that is its own child", "PageUsedTwice", "PageUsedTwice", "PageUsedTwice", "PageUsedTwice", "PageUsedTwice"],
    ["two branches that lead to each other", "PageUsedTwice", "PageUsedTwice UnevenDepth", "PageUsedTwice", "PageUsedTwice", "PageUsedTwice"],
    ["leaf reached twice", "PageUsedTwice", "PageUsedTwice", "PageUsedTwice", "PageUsedTwice", "PageUsedTwice"],
    ["child beyond the end", "PageOutOfRange", "PageOutOfRange", "PageOutOfRange", "PageOutOfRange", "PageOutOfRange"],
    ["child on a meta page", "PageOutOfRange", "PageOutOfRange", "PageOutOfRange", "PageOutOfRange", "PageOutOfRange"],
    ["child at the end of numbers", "PageOutOfRange", "PageOutOfRange", "PageOutOfRange", "PageOutOfRange", "PageOutOfRange"],
    ["child that is a freelist", "WrongPageKind", "WrongPageKind", "WrongPageKind", "WrongPageKind", "WrongPageKind"],
    ["page of no kind", "WrongPageKind", "WrongPageKind FirstKeyDiffers", "WrongPageKind", "WrongPageKind", "WrongPageKind"],
    ["page of two kinds", "WrongPageKind", "WrongPageKind FirstKeyDiffers", "WrongPageKind", "WrongPageKind", "WrongPageKind"],
    ["page with another's id", "WrongPageId UnreachableUnfreed", "WrongPageId Gap FirstKeyDiffers", "WrongPageId UnreachableUnfreed", "WrongPageId", "WrongPageId"],
    ["branch without children", "UnreachableUnfreed BranchEmpty", "BranchEmpty Gap", "UnreachableUnfreed BranchEmpty", "Refused", "Refused"],
    ["branch with one child", "-", "BranchTooSmall", "-", "changed", "changed"],
    ["branch keys in disorder", "OutOfOrder", "OutOfOrder", "OutOfOrder", "OutOfOrder", "OutOfOrder"],
    ["branch key below its subtree's first", "-", "FirstKeyDiffers", "-", "changed", "changed"],
    ["branch key above its subtree's first", "OutOfOrder", "OutOfOrder", "OutOfOrder", "changed", "Unsound"],
    ["leaves at different depths", "-", "UnevenDepth", "-", "changed", "changed"],
    ["leaf without elements", "-", "FirstKeyDiffers LeafEmpty", "-", "changed", "changed"],
    ["leaves in disorder", "OutOfOrder", "OutOfOrder FirstKeyDiffers", "OutOfOrder", "OutOfOrder", "OutOfOrder"],
    ["leaf that passes the next one's key", "OutOfOrder", "OutOfOrder", "OutOfOrder RevisionTwice", "OutOfOrder", "OutOfOrder"],
    ["run over its neighbour", "PageUsedTwice", "PageUsedTwice Slack FirstKeyDiffers", "PageUsedTwice Slack", "PageUsedTwice", "PageUsedTwice"],
    ["run past the end", "PageOutOfRange UnreachableUnfreed", "PageOutOfRange Gap", "PageOutOfRange UnreachableUnfreed", "PageOutOfRange", "PageOutOfRange"],
    ["run of 2^32 pages", "PageOutOfRange UnreachableUnfreed", "PageOutOfRange Gap", "PageOutOfRange UnreachableUnfreed", "PageOutOfRange", "PageOutOfRange"],
    ["branch with a count too high", "UnreachableUnfreed ElementOutOfRange", "ElementOutOfRange Gap", "UnreachableUnfreed ElementOutOfRange", "ElementOutOfRange", "ElementOutOfRange"],
    ["branch key outside of its page", "UnreachableUnfreed ElementOutOfRange", "ElementOutOfRange Gap", "UnreachableUnfreed ElementOutOfRange", "ElementOutOfRange", "ElementOutOfRange"],
    ["branch keys that overlap", "UnreachableUnfreed ElementsOverlap", "ElementsOverlap Gap", "UnreachableUnfreed ElementsOverlap", "changed", "Unsound"],
    ["branch with bytes behind its keys", "-", "Slack", "Slack", "changed", "changed"],
    ["branch with a page too many", "-", "Slack Gap FreelistNotEmpty", "-", "changed", "changed"],
    ["chain of branches", "UnreachableUnfreed TooDeep", "TooDeep Gap FirstKeyDiffers BranchTooSmall", "UnreachableUnfreed TooDeep", "TooDeep", "TooDeep"],
    ["count past the page", "ElementOutOfRange", "ElementOutOfRange FirstKeyDiffers", "ElementOutOfRange", "ElementOutOfRange", "ElementOutOfRange"],
    ["count of 65,535", "ElementOutOfRange", "ElementOutOfRange FirstKeyDiffers", "ElementOutOfRange", "ElementOutOfRange", "ElementOutOfRange"],
    ["position past the page", "ElementOutOfRange", "ElementOutOfRange FirstKeyDiffers", "ElementOutOfRange", "ElementOutOfRange", "ElementOutOfRange"],
    ["position at the end of numbers", "ElementOutOfRange", "ElementOutOfRange FirstKeyDiffers", "ElementOutOfRange", "ElementOutOfRange", "ElementOutOfRange"],
    ["key past the page", "ElementOutOfRange", "ElementOutOfRange FirstKeyDiffers", "ElementOutOfRange", "ElementOutOfRange", "ElementOutOfRange"],
    ["value past the page", "ElementOutOfRange", "ElementOutOfRange FirstKeyDiffers", "ElementOutOfRange", "ElementOutOfRange", "ElementOutOfRange"],
    ["sizes that overflow together", "ElementOutOfRange", "ElementOutOfRange FirstKeyDiffers", "ElementOutOfRange", "ElementOutOfRange", "ElementOutOfRange"],
    ["values that overlap", "ElementsOverlap", "ElementsOverlap FirstKeyDiffers", "ElementsOverlap", "RecordInvalid", "RecordInvalid"],
    ["position inside the elements", "OutOfOrder", "OutOfOrder FirstKeyDiffers", "OutOfOrder RevisionInvalid", "RevisionInvalid", "RevisionInvalid"],
    ["unknown element flags", "-", "ElementFlags", "ElementFlags", "changed", "changed"],
    ["gap between elements", "-", "ElementsApart", "ElementsApart", "changed", "changed"],
    ["bytes behind the last value", "-", "Slack", "Slack", "changed", "changed"],
    ["keys in disorder", "OutOfOrder", "OutOfOrder FirstKeyDiffers", "OutOfOrder", "OutOfOrder", "OutOfOrder"],
    ["key twice", "OutOfOrder", "OutOfOrder FirstKeyDiffers", "OutOfOrder RevisionTwice", "OutOfOrder", "OutOfOrder"],
    ["empty key", "-", "Gap FreelistNotEmpty", "RevisionInvalid", "OutOfOrder", "OutOfOrder"],
    ["key of 32,769 bytes", "KeyTooLong", "KeyTooLong Gap FreelistNotEmpty", "KeyTooLong RevisionInvalid", "KeyTooLong", "KeyTooLong"],
    ["records in a run of 17 pages", "-", "Gap FreelistNotEmpty RunTooLong", "-", "changed", "changed"],
    ["leaf of 65,535 elements", "-", "Gap FreelistNotEmpty TooManyElements", "-", "changed", "changed"],
    ["leaf with a page too many", "-", "Slack Gap FreelistNotEmpty", "-", "changed", "changed"],
    ["inline bucket", "-", "-", "-", "changed", "changed"],
    ["role that does not decode", "-", "-", "-", "RoleInvalid", "RoleInvalid"],
    ["bucket nested in a bucket", "-", "WronglyInline", "BucketInvalid", "changed", "changed"],
    ["buckets nested 17 deep", "-", "WronglyInline", "BucketInvalid", "TooDeep", "TooDeep"],
    ["bucket header of 15 bytes", "BucketInvalid", "BucketInvalid", "BucketInvalid", "BucketHeaderShort", "BucketHeaderShort"],
    ["bucket value of no bytes", "BucketInvalid", "BucketInvalid", "BucketInvalid", "BucketHeaderShort", "BucketHeaderShort"],
    ["inline bucket without a page header", "BucketInvalid", "BucketInvalid", "BucketInvalid", "PageShort", "PageShort"],
    ["inline bucket that is a branch", "WrongPageKind", "WrongPageKind", "WrongPageKind", "WrongPageKind", "WrongPageKind"],
    ["inline bucket with a count too high", "ElementOutOfRange", "ElementOutOfRange", "ElementOutOfRange", "ElementOutOfRange", "ElementOutOfRange"],
    ["inline bucket whose elements overlap", "ElementsOverlap", "ElementsOverlap", "ElementsOverlap", "ElementsOverlap", "ElementsOverlap"],
    ["inline bucket in disorder", "-", "OutOfOrder", "OutOfOrder", "OutOfOrder", "OutOfOrder"],
    ["inline bucket larger than a page", "BucketInvalid", "BucketInvalid Gap FreelistNotEmpty", "BucketInvalid", "InlineBucketTooLarge", "InlineBucketTooLarge"],
    ["inline bucket of half a page", "-", "WronglyInline", "-", "changed", "changed"],
    ["small bucket with a page", "-", "WronglyInline", "-", "changed", "changed"],
    ["two buckets with one root", "PageUsedTwice", "PageUsedTwice", "PageUsedTwice LeaseInvalid", "PageUsedTwice", "PageUsedTwice"],
    ["bucket whose root is the root bucket's", "PageUsedTwice", "PageUsedTwice", "PageUsedTwice LeasesUnchecked", "PageUsedTwice", "PageUsedTwice"],
    ["bucket root beyond the end", "PageOutOfRange", "PageOutOfRange", "PageOutOfRange LeasesUnchecked", "PageOutOfRange", "PageOutOfRange"],
    ["bucket root on a meta page", "PageOutOfRange", "PageOutOfRange", "PageOutOfRange LeasesUnchecked", "PageOutOfRange", "PageOutOfRange"],
    ["no bucket key", "-", "-", "BucketMissing BucketAbsent", "BucketMissing", "BucketMissing"],
    ["record among the buckets", "-", "-", "RecordAmongBuckets", "RecordAmongBuckets", "RecordAmongBuckets"],
    ["bucket among the records", "-", "-", "BucketAmongRecords", "BucketAmongRecords", "BucketAmongRecords"],
    ["65,537 buckets", "-", "Gap FreelistNotEmpty", "BucketMissing BucketAbsent", "TooManyBuckets", "TooManyBuckets"],
    ["bucket key without records", "-", "Gap FreelistNotEmpty WronglyInline", "BucketMissing BucketAbsent", "Refused", "Refused"],
    ["bucket key inline", "-", "Gap FreelistNotEmpty", "BucketMissing BucketAbsent", "changed", "changed"],
    ["revision of 16 bytes", "-", "-", "RevisionInvalid", "RevisionInvalid", "RevisionInvalid"],
    ["revision of 3 bytes", "OutOfOrder", "OutOfOrder FirstKeyDiffers", "OutOfOrder RevisionInvalid", "RevisionInvalid", "RevisionInvalid"],
    ["revision without a separator", "-", "-", "RevisionInvalid", "RevisionInvalid", "RevisionInvalid"],
    ["revision with another mark than t", "-", "-", "RevisionInvalid", "RevisionInvalid", "RevisionInvalid"],
    ["value of no bytes", "-", "-", "-", "changed", "changed"],
    ["key length in 10 bytes", "-", "-", "RecordInconsistent", "changed", "changed"],
    ["key length in 11 bytes", "-", "-", "RecordInvalid", "RecordInvalid", "RecordInvalid"],
    ["key length over 2^64", "-", "-", "RecordInvalid", "RecordInvalid", "RecordInvalid"],
    ["key tag in 10 bytes", "-", "-", "RecordInconsistent", "changed", "changed"],
    ["key tag in 11 bytes", "-", "-", "RecordInvalid", "RecordInvalid", "RecordInvalid"],
    ["key past the value", "-", "-", "RecordInvalid", "RecordInvalid", "RecordInvalid"],
    ["key of a wrong type", "-", "-", "RecordInvalid", "RecordInvalid", "RecordInvalid"],
    ["field 0", "-", "-", "RecordInvalid", "RecordInvalid", "RecordInvalid"],
    ["end of a group that never began", "-", "-", "RecordInvalid", "RecordInvalid", "RecordInvalid"],
    ["varint that does not end", "-", "-", "RecordInvalid", "RecordInvalid", "RecordInvalid"],
    ["record without a key", "-", "-", "KeyEmpty", "changed", "changed"],
    ["tombstone with a value", "-", "-", "TombstoneContent", "changed", "changed"],
    ["revision of a record and of a tombstone", "-", "-", "RevisionTwice", "changed", "changed"],
    ["record of another revision", "-", "-", "RecordInconsistent", "changed", "changed"],
    ["key with a lease that does not exist", "-", "-", "LeaseMissing", "changed", "changed"],
    ["lease with an id of three bytes", "-", "-", "LeaseInvalid", "changed", "changed"],
    ["lease under another's id", "-", "-", "LeaseInvalid", "changed", "changed"],
    ["leases beyond the end", "PageOutOfRange", "PageOutOfRange", "PageOutOfRange LeasesUnchecked", "PageOutOfRange", "PageOutOfRange"],
    ["consistent index of three bytes", "-", "-", "MetaRecordInvalid", "changed", "changed"],
    ["no bucket meta", "-", "-", "BucketMissing", "changed", "changed"],
    ["no bucket auth", "-", "-", "BucketAbsent", "changed", "changed"],
    ["no trailer", "-", "-", "TrailerMissing", "TrailerMissing", "changed"],
    ["trailer of zeros", "-", "-", "TrailerMismatch", "TrailerMismatch", "changed"],
    ["bytes in place of a trailer", "-", "-", "TrailerMissing TrailingBytes", "TrailerMissing", "changed"],
];

/// The name of an enum's variant.
fn variant(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    text.chars().take_while(|c| c.is_alphanumeric()).collect()
}

fn kind(error: &Error) -> String {
    match error {
        Error::Damaged { damage, .. } => variant(damage),
        error => variant(error),
    }
}

fn found(bytes: &[u8], findings: impl Fn(&Snapshot) -> Findings) -> String {
    match Snapshot::from_storage(Box::new(bytes.to_vec()), Path::new("evil")) {
        Err(error) => kind(&error),
        Ok(snapshot) => {
            let codes: Vec<String> = findings(&snapshot).totals.keys().map(variant).collect();
            if codes.is_empty() { "-".into() } else { codes.join(" ") }
        }
    }
}

fn structure(snapshot: &Snapshot, expect: Expect) -> Findings {
    check_structure(snapshot, expect, &Silent).unwrap().findings
}

fn checked(snapshot: &Snapshot) -> Findings {
    let report = check(snapshot, Depth::Full, 2, &Silent).unwrap();
    let sound = structure(snapshot, Expect::Sound).is_empty();
    assert!(sound || !report.is_sound(), "check passes over what bbolt finds");
    report.findings
}

/// The outcome's name; whatever it is, source and folder are as they must be.
fn changed(bytes: &[u8], read_mode: ReadMode, told: bool) -> String {
    let folder = tempfile::tempdir().unwrap();
    let [db, out] = ["snap.db", "out.db"].map(|name| folder.path().join(name));
    fs::write(&db, bytes).unwrap();
    let options = ChangePrefix {
        db: db.clone(),
        target: Target::File(out.clone()),
        dest_prefix: "/c123".into(),
        read_mode,
        skip_hash_check: told,
        accept_corrupt_trailer: told,
        sync: false,
        ..ChangePrefix::default()
    };
    let result = change_prefix(&options, &Silent);
    assert!(fs::read(&db).unwrap() == bytes);
    match result {
        Ok(_) => {
            let after = Snapshot::open(&out, ReadMode::Map).unwrap();
            let report = check_structure(&after, Expect::Compact, &Silent).unwrap();
            assert_eq!(report.findings.summary(), None);
            Bolt::open(&out).unwrap().bucket(b"key").unwrap();
            "changed".into()
        }
        Err(error) => {
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{error}");
            kind(&error)
        }
    }
}

/// The last byte of the trailer is wrong, and the user said so: the structure has to speak for the
/// file, so what is not sound is refused.
fn spoilt(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.iter_mut().last().into_iter().for_each(|byte| *byte ^= 1);
    bytes
}

fn row(file: &Evil) -> [String; 6] {
    let (good, spoilt) = (&file.bytes, spoilt(&file.bytes));
    let trusted = changed(good, ReadMode::Map, false);
    assert_eq!(trusted, changed(good, ReadMode::Positioned, false), "{}", file.name);
    let told = changed(&spoilt, ReadMode::Map, true);
    let of_pages = |expect| found(good, |snapshot| structure(snapshot, expect));
    let (sound, compact) = (of_pages(Expect::Sound), of_pages(Expect::Compact));
    [file.name.into(), sound, compact, found(good, checked), trusted, told]
}

/// A file that is not as expected prints the whole table as it is.
#[test]
fn every_evil_file_ends_as_expected() {
    let rows: Vec<[String; 6]> = evil::files().iter().map(row).collect();
    if rows != EXPECTED {
        rows.iter().for_each(|row| println!("    {row:?},"));
    }
    for (row, expected) in rows.iter().zip(EXPECTED) {
        assert_eq!(row, expected);
    }
    assert_eq!(rows.len(), EXPECTED.len(), "every file has its row");
}

/// What is unsound is never rewritten where only the structure speaks for the file.
#[test]
fn no_unsound_file_is_rewritten_on_its_structure_alone() {
    for [name, sound, _, _, _, told] in EXPECTED {
        assert!(*sound == "-" || *told != "changed", "{name}");
    }
}

/// The variants of an enum, from its source: it may grow, so that no match can be complete.
fn variants(source: &str, name: &str) -> BTreeSet<String> {
    let start = source.find(&format!("pub enum {name} {{")).unwrap();
    let body = source[start..].split("\n}").next().unwrap();
    let lines = body.lines().filter_map(|line| line.strip_prefix("    "));
    let named = lines.filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()));
    named.map(|line| line.chars().take_while(char::is_ascii_alphanumeric).collect()).collect()
}

fn column(columns: &[usize]) -> BTreeSet<String> {
    let cells = EXPECTED.iter().flat_map(|row| columns.iter().map(|at| row[*at]));
    cells.flat_map(str::split_whitespace).map(str::to_owned).collect()
}

#[test]
fn every_kind_of_damage_has_its_file() {
    let codes = variants(include_str!("../../src/verify/findings/code.rs"), "FindingCode");
    let missing: Vec<_> = codes.difference(&column(&[1, 2, 3])).cloned().collect();
    assert!(codes.len() > 40 && missing.is_empty(), "no file has {missing:?}");
    let kinds = variants(include_str!("../../src/error.rs"), "Corruption");
    let missing: Vec<_> = kinds.difference(&column(&[4, 5])).cloned().collect();
    // Only the structure check reads a freelist, and it says which entry of the table above it is.
    assert_eq!(missing, ["FreelistOutOfRange"]);
}
