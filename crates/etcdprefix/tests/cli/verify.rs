use std::fs;

use etcdprefix_testkit::source::{
    Freelist, KeyForm, Source, record_key, record_rest, record_value,
};
use serde_json::Value;

use crate::support::{Folder, Run};

const VERIFY: &str = "etcdprefix verify snap.db out.db --dest-prefix /c123";

type Record = (Vec<u8>, Vec<u8>);

fn put(main: i64, key: &str, lease: i64) -> Record {
    let rest = record_rest(main, main, 1, b"value", lease);
    (record_key(main, 0, false), record_value(KeyForm::Canonical, key.as_bytes(), &rest))
}

fn tombstone(main: i64, key: &str) -> Record {
    (record_key(main, 0, true), record_value(KeyForm::Canonical, key.as_bytes(), b""))
}

/// A store whose matching keys lie under `prefix`.
fn store(prefix: &str) -> Source {
    let records = vec![
        put(2, &format!("{prefix}/a"), 0),
        put(3, &format!("{prefix}/b"), 7),
        put(4, "/registryx", 0),
        tombstone(5, &format!("{prefix}/a")),
        put(6, &format!("{prefix}/c"), 0),
    ];
    let mut source = Source::with_records(records);
    source.bucket_mut("lease").pairs = vec![(vec![0, 0, 0, 0, 0, 0, 0, 7], b"\x08\x07".into())];
    source.bucket_mut("meta").pairs = vec![(b"consistent_index".into(), vec![0; 8])];
    source
}

/// A folder with the store as `snap.db` and what was made of it elsewhere as `out.db`.
fn folder(out: &Source) -> Folder {
    let folder = Folder::of(&store("/registry").encode());
    fs::write(folder.path("out.db"), out.encode()).unwrap();
    folder
}

fn records(out: &mut Source) -> &mut Vec<Record> {
    &mut out.bucket_mut("key").pairs
}

/// Each difference is exit 20, however the files are read, and its first place is named.
#[track_caller]
fn differs(change: impl FnOnce(&mut Source), says: &str) {
    let mut out = store("/c123");
    change(&mut out);
    let folder = folder(&out);
    for flags in ["", " --no-mmap --threads 1"] {
        let run = folder.run(&format!("{VERIFY}{flags}"));
        let error = run.failed(20);
        assert!(error.starts_with("out.db is not snap.db under the rule: "), "{error}");
        assert!(error.contains(says) && error.contains("; try: "), "{says}: {error}");
        assert!(!error.contains("value\u{0}") && !error.contains("/c123/"), "{error}");
    }
}

#[test]
fn output_of_other_layout_is_proved() {
    let same = store("/c123");
    for out in [
        same.clone(),
        Source { leaf_elements: 1, fan_out: 2, page_size: 1024, ..same.clone() },
        Source { freelist: Freelist::Page, free_pages: 3, txid: 1, ..same },
    ] {
        let folder = folder(&out);
        let run = folder.run(VERIFY);
        let text = run.succeeded();
        assert!(text.starts_with("out.db is snap.db with /registry replaced by /c123\n"), "{text}");
        assert!(text.contains("\nrecords      5: 4 renamed\n"), "{text}");
        assert_eq!(folder.names(), ["out.db", "snap.db"]);
    }
}

#[test]
fn our_own_output_is_proved_with_what_was_kept_and_dropped() {
    for (unmatched, how) in [("keep", "inverse_hash"), ("drop", "comparison")] {
        let folder = Folder::with("s-3.5.1.db");
        let flags = format!("--dest-prefix /c123 --unmatched {unmatched}");
        let change = format!(
            "etcdprefix change-prefix --db snap.db --output out.db {flags} --quiet -w json"
        );
        let change: Value = serde_json::from_str(folder.run(&change).succeeded()).unwrap();
        let run = folder.run(&format!("etcdprefix verify snap.db out.db {flags} -w json"));
        let found: Value = serde_json::from_str(run.succeeded()).unwrap();
        assert_eq!(found["verification"], how);
        assert_eq!(found["renamed"], change["matched"]);
        assert_eq!(found["source"]["status_hash"], change["status_hash_before"]);
        assert_eq!(found["output"]["status_hash"], change["status_hash_after"]);
        for (file, name) in [("source", "snap.db"), ("output", "out.db")] {
            let run = folder.run(&format!("etcdprefix hashkv {name} -w json"));
            let hashkv: Value = serde_json::from_str(run.succeeded()).unwrap();
            assert_eq!(found[file]["hashkv"]["hash"], hashkv["hash"]);
        }
        let other = if unmatched == "keep" { "drop" } else { "keep" };
        folder.run(&format!("{VERIFY} --unmatched {other}")).failed(20);
        folder.run("etcdprefix verify snap.db out.db --dest-prefix /c1234").failed(20);
    }
}

#[test]
fn records_that_differ_are_named() {
    differs(|out| *records(out)[0].1.last_mut().unwrap() ^= 1, "record 2/0 differs beyond its key");
    differs(|out| drop(records(out).remove(1)), "record 3/0 is missing");
    differs(|out| records(out).push(put(7, "/c123/d", 0)), "it has 6 records instead of 5");
    differs(
        |out| records(out).push(tombstone(2, "/c123/a")),
        "record 3/0 is missing or out of place",
    );
    differs(|out| records(out)[2] = put(4, "/c123x", 0), "record 4/0 was changed");
    differs(|out| records(out)[1] = put(3, "/c123/b", 0), "record 3/0 differs beyond its key");
    differs(|out| records(out)[3] = tombstone(5, "/registry/a"), "record 5/0 has another key");
    differs(|out| records(out)[4] = put(6, "/c123//c", 0), "record 6/0 has another key");
    differs(|out| records(out)[4].1 = b"\x0a\x7f".into(), "record 6/0 does not decode");
}

/// Each record is what the rule makes of it, and two histories are one.
#[test]
fn merged_keys_are_a_difference() {
    let with_both = |prefix: &str| {
        let mut source = store(prefix);
        records(&mut source).push(put(7, "/c123/c", 0));
        source.encode()
    };
    let folder = Folder::of(&with_both("/registry"));
    fs::write(folder.path("out.db"), with_both("/c123")).unwrap();
    let error = folder.run(VERIFY);
    let error = error.failed(20);
    assert!(error.contains("1 key merged with a key that was there"), "{error}");
    folder.run(&format!("{VERIFY} --unmatched drop")).failed(20);
}

#[test]
fn roles_are_judged_by_what_they_allow() {
    let role = |key: &[u8]| {
        [b"\x0a\x01r\x12".as_slice(), &[key.len() as u8 + 2, 0x12, key.len() as u8], key].concat()
    };
    for (before, after, says) in [
        ("/registry/a", "/c123/a", None),
        ("/registry/a", "/registry/a", Some("it may read ")),
        ("/other", "/c123/a", Some("although nothing in it moves")),
    ] {
        let with = |prefix: &str, key: &str| {
            let mut source = store(prefix);
            source.bucket_mut("authRoles").pairs = vec![(b"r".into(), role(key.as_bytes()))];
            source.encode()
        };
        let folder = Folder::of(&with("/registry", before));
        fs::write(folder.path("out.db"), with("/c123", after)).unwrap();
        let run = folder.run(VERIFY);
        match says {
            None => assert!(run.succeeded().contains("compared record by record")),
            Some(says) => assert!(run.failed(20).contains(says), "{}", run.stderr),
        }
    }
}

#[test]
fn other_buckets_that_differ_are_named() {
    differs(|out| out.bucket_mut("lease").pairs.clear(), "bucket lease: pair ");
    differs(
        |out| out.bucket_mut("meta").pairs[0].1[7] = 1,
        "bucket meta: pair consistent_index has another value",
    );
    differs(
        |out| out.bucket_mut("alarm").pairs.push((b"1".into(), b"2".into())),
        "bucket alarm: pair 1 was not there",
    );
    differs(|out| out.bucket_mut("auth").sequence = 5, "bucket auth has another sequence");
    differs(
        |out| out.buckets.retain(|bucket| bucket.name != b"members"),
        "bucket members is missing",
    );
}

#[test]
fn trailers_and_damage_come_before_differences() {
    let unsealed = Source { trailer: false, ..store("/c123") };
    let folder_of = folder(&unsealed);
    let error = folder_of.run(VERIFY);
    assert!(error.failed(7).contains("out.db: no SHA-256 trailer"), "{}", error.stderr);
    assert!(error.stderr.contains("try: --skip-hash-check"), "{}", error.stderr);
    let run = folder_of.run(&format!("{VERIFY} --skip-hash-check -w json"));
    let found: Value = serde_json::from_str(run.succeeded()).unwrap();
    assert_eq!(
        (&found["source"]["trailer"], &found["output"]["trailer"]),
        (&"verified".into(), &"missing".into())
    );
    let mut wrong = store("/c9").encode();
    *wrong.last_mut().unwrap() ^= 1;
    fs::write(folder_of.path("out.db"), &wrong).unwrap();
    for flags in ["", " --skip-hash-check"] {
        let run = folder_of.run(&format!("{VERIFY}{flags}"));
        assert!(run.failed(3).contains("out.db: SHA-256 trailer is "), "{}", run.stderr);
    }
    // The root bucket's page calls itself another one.
    let mut bytes = unsealed.encode();
    let root = u64::from_le_bytes(bytes[32..40].try_into().unwrap()) as usize;
    bytes[root * 4096] ^= 0x40;
    fs::write(folder_of.path("out.db"), &bytes).unwrap();
    let run = folder_of.run(&format!("{VERIFY} --skip-hash-check"));
    assert!(run.failed(3).contains("out.db: page "), "{}", run.stderr);
}

#[test]
fn what_would_prove_nothing_is_refused() {
    let folder = folder(&store("/c123"));
    let swapped: Run = folder.run("etcdprefix verify out.db snap.db --dest-prefix /c123");
    let error = swapped.failed(11);
    assert!(error.contains("4 records lie under /c123, none under /registry"), "{error}");
    assert!(error.contains("; try: the file before the change first"), "{error}");
    fs::copy(folder.path("snap.db"), folder.path("copy.db")).unwrap();
    let line = "etcdprefix verify snap.db copy.db --src-prefix /wrong --dest-prefix /c123";
    let run = folder.run(line);
    let error = run.failed(10);
    assert!(error.contains("/registry (4 records), /registryx (1 record)"), "{error}");
    assert!(error.contains("; try: --src-prefix"), "{error}");
    folder.run("etcdprefix verify snap.db copy.db --dest-prefix /c123").failed(20);
    folder.run("etcdprefix verify snap.db missing.db --dest-prefix /c123").failed(4);
    folder.run("etcdprefix verify snap.db . --dest-prefix /c123").failed(4);
}

#[test]
fn json_has_the_members_of_the_contract_in_their_order() {
    let contract = include_str!("../../../../docs/cli-contract.md");
    let (_, section) = contract.split_once("## `etcdprefix verify SRC OUT`").unwrap();
    let (_, example) = section.split_once("```json\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let example: Value = serde_json::from_str(example).unwrap();
    let folder = Folder::with("s-3.5.1.db");
    let change = "etcdprefix change-prefix --db snap.db --dest-prefix /c123 --output c123.db";
    folder.run(change).succeeded();
    let run = folder.run("etcdprefix verify snap.db c123.db --dest-prefix /c123 -w json");
    assert_eq!(run.succeeded().trim_end(), example.to_string());
}
