//! What fuzzing found, replayed: every file of `fuzz/crashes/<target>` once made that target fail.

use std::fs;
use std::path::PathBuf;

use etcdprefix_testkit::source::{
    Freelist, KEY_FORMS, KeyForm, Source, SourceBucket, record_key, record_rest, record_value,
};

#[path = "../../../../fuzz/src/lib.rs"]
pub mod targets;

fn folder(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../../fuzz", name].iter().collect()
}

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 6] = [
    ("keys", targets::keys::run),
    ("page", targets::page::run),
    ("rewrite", targets::rewrite::run),
    ("roles", targets::roles::run),
    ("snapshot", targets::snapshot::run),
    ("splice", targets::splice::run),
];

fn replay(target: &str, run: fn(&[u8])) {
    let Ok(inputs) = fs::read_dir(folder("crashes").join(target)) else {
        return;
    };
    for input in inputs {
        let path = input.unwrap().path();
        println!("{}", path.display());
        run(&fs::read(&path).unwrap());
    }
}

#[test]
fn crashes_stay_fixed() {
    TARGETS.iter().for_each(|(name, run)| replay(name, *run));
}

#[test]
fn every_target_is_replayed() {
    let files = fs::read_dir(folder("fuzz_targets")).unwrap();
    let mut names: Vec<_> = files.map(|file| file.unwrap().path().with_extension("")).collect();
    names.sort();
    let names: Vec<_> = names.iter().map(|path| path.file_name().unwrap()).collect();
    assert_eq!(names, TARGETS.map(|(name, _)| name));
}

/// Parts of real and evil files, which is where the fuzzers begin; with ETCDPREFIX_CORPUS they are
/// also written there, as `cargo xtask torture fuzz` has it.
#[test]
fn seeds_pass() {
    let snapshots = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/snapshots");
    let files = fs::read_dir(snapshots).unwrap();
    let snapshots: Vec<_> = files.map(|file| fs::read(file.unwrap().path()).unwrap()).collect();
    let corpus = std::env::var_os("ETCDPREFIX_CORPUS").map(PathBuf::from);
    for (name, run) in TARGETS {
        let seeds = targets::seeds::of(name, &snapshots);
        println!("{name}: {} seeds", seeds.len());
        for (number, seed) in seeds.iter().enumerate() {
            run(seed);
            if let Some(folder) = corpus.as_ref().map(|corpus| corpus.join(name)) {
                fs::create_dir_all(&folder).unwrap();
                fs::write(folder.join(format!("seed-{number}")), seed).unwrap();
            }
        }
    }
}

/// Inputs without a patch, and the first steps away from them, so that the targets can't rot
/// between two runs of the fuzzer.
#[test]
fn targets_accept_plain_inputs() {
    for first in 0..=u8::MAX {
        for length in [0, 1, 16, 80, 300] {
            let input: Vec<u8> = (0..length).map(|at| first.wrapping_add(at as u8)).collect();
            targets::keys::run(&input);
            targets::page::run(&input);
            targets::splice::run(&input);
            targets::snapshot::run(&input);
            if first % 16 == 0 {
                targets::rewrite::run(&input);
                targets::roles::run(&input);
            }
        }
    }
}

/// The file that the targets patch; `UPDATE_SEEDS=1 cargo test` writes it anew.
#[test]
fn the_small_file_is_as_the_encoder_makes_it() {
    let path = folder("seeds/small.db");
    let encoded = small().encode();
    if std::env::var_os("UPDATE_SEEDS").is_some() {
        fs::write(&path, &encoded).unwrap();
    }
    assert!(fs::read(&path).unwrap() == encoded, "run with UPDATE_SEEDS=1");
}

fn small() -> Source {
    let mut source = Source::with_records((0..40).map(record).collect());
    source.page_size = 1024;
    (source.leaf_elements, source.fan_out) = (4, 3);
    (source.freelist, source.free_pages) = (Freelist::Page, 2);
    let version = (b"storageVersion".to_vec(), b"3.6.0".to_vec());
    source.bucket_mut("meta").pairs =
        vec![version, (b"consistent_index".to_vec(), vec![0, 0, 0, 0, 0, 0, 0, 9])];
    let lease = source.bucket_mut("lease");
    lease.inline = false;
    lease.pairs = (0..9_u8).map(|id| (vec![0, id], vec![id; 30])).collect();
    let inner = SourceBucket { name: b"inner".to_vec(), sequence: 3, ..SourceBucket::default() };
    let outer = SourceBucket {
        name: b"nesting".to_vec(),
        pairs: vec![(b"plain".to_vec(), b"value".to_vec())],
        children: vec![
            SourceBucket { inline: true, ..inner.clone() },
            SourceBucket { name: b"other".to_vec(), pairs: lease_like(), ..inner },
        ],
        ..SourceBucket::default()
    };
    source.buckets.push(outer);
    source
}

fn lease_like() -> Vec<(Vec<u8>, Vec<u8>)> {
    (0..6_u8).map(|id| (vec![id], vec![id; 100])).collect()
}

/// Every form of record, three tombstones, one value of several pages.
fn record(number: i64) -> (Vec<u8>, Vec<u8>) {
    const KEYS: [&str; 7] = [
        "/registry/pods/default/a",
        "/registry/secrets/kube-system/token",
        "/other/key",
        "/registry",
        "/registryx",
        "compact_rev_key",
        "/registry/pods/default/b",
    ];
    let key = KEYS[number as usize % KEYS.len()].as_bytes();
    let (main, tombstone) = (number + 2, number % 13 == 12);
    let value = match number {
        20 => vec![7; 2500],
        _ => vec![number as u8; number as usize],
    };
    let rest = record_rest(main, main, 1, &value, number % 3);
    let form = KEY_FORMS[number as usize % KEY_FORMS.len()];
    let value = match number {
        _ if tombstone => record_value(KeyForm::Canonical, key, &[]),
        30 => Vec::new(),
        _ => record_value(form, key, &rest),
    };
    (record_key(main, 0, tombstone), value)
}
