//! A changed byte anywhere in a file that has a trailer is noticed. `cargo xtask torture flips` tries
//! every byte of a real file and a larger sample of a large one.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use etcdprefix_core::progress::Silent;
use etcdprefix_core::{ChangePrefix, Target, change_prefix};
use etcdprefix_testkit::random::Random;
use etcdprefix_testkit::source::{KeyForm, Source, record_key, record_rest, record_value};
use tempfile::TempDir;

use crate::status::fixture;

/// How many bytes of a real file are flipped by default, and of how many bytes one of a large one.
const FLIPS: usize = 300;
const LARGE_SHARE: usize = 30;

fn flips() -> usize {
    std::env::var("ETCDPREFIX_FLIPS").map_or(FLIPS, |flips| flips.parse().unwrap())
}

struct Case {
    folder: TempDir,
    db: PathBuf,
}

impl Case {
    fn of(bytes: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let db = folder.path().join("snap.db");
        fs::write(&db, bytes).unwrap();
        Self { folder, db }
    }

    fn change(&self) -> etcdprefix_core::Result<()> {
        let options = ChangePrefix {
            db: self.db.clone(),
            target: Target::File(self.folder.path().join("out.db")),
            dest_prefix: "/c123".into(),
            sync: false,
            threads: 1,
            ..ChangePrefix::default()
        };
        change_prefix(&options, &Silent).map(drop)
    }

    /// Flips bits of one byte, which must be an error with nothing written, and flips them back.
    fn noticed(&self, bytes: &[u8], at: usize, bits: u8) {
        let file = fs::File::options().write(true).open(&self.db).unwrap();
        file.write_all_at(&[bytes[at] ^ bits], at as u64).unwrap();
        assert!(self.change().is_err(), "byte {at} ^ {bits:#x} went unnoticed");
        assert_eq!(fs::read_dir(self.folder.path()).unwrap().count(), 1);
        file.write_all_at(&bytes[at..=at], at as u64).unwrap();
    }
}

/// Flips one byte at each of these places, on two threads.
fn all_noticed(bytes: &[u8], places: &[usize]) {
    let next = AtomicUsize::new(0);
    let work = |seed| {
        let (case, mut random) = (Case::of(bytes), Random::new(seed));
        while let Some(at) = places.get(next.fetch_add(1, Ordering::Relaxed)) {
            case.noticed(bytes, *at, 1 + random.below(255) as u8);
        }
        case.change().expect("unflipped it is sound");
    };
    std::thread::scope(|scope| {
        scope.spawn(|| work(1));
        scope.spawn(|| work(2));
    });
    println!("{} flips in {} bytes, all noticed", places.len(), bytes.len());
}

fn source(records: i64, value_bytes: usize) -> Source {
    let record = |number: i64| {
        let rest = record_rest(number, number, 1, &vec![number as u8; value_bytes], 0);
        let value = record_value(KeyForm::Canonical, b"/registry/a", &rest);
        (record_key(number, 0, false), value)
    };
    Source::with_records((2..2 + records).map(record).collect())
}

#[test]
fn every_flipped_byte_of_a_small_file_is_noticed() {
    let mut small = Source { page_size: 1024, ..source(1, 5) };
    // Two metas, the root, and what one leaf can hold.
    small.buckets.retain(|bucket| bucket.name == b"key" || bucket.name == b"meta");
    let bytes = small.encode();
    all_noticed(&bytes, &(0..bytes.len()).collect::<Vec<_>>());
}

#[test]
fn flipped_bytes_of_a_real_file_are_noticed() {
    let bytes = fs::read(fixture("s-3.4.3")).unwrap();
    let step = (bytes.len() / flips()).max(1);
    all_noticed(&bytes, &(0..bytes.len()).step_by(step).collect::<Vec<_>>());
}

#[test]
fn flipped_bytes_of_a_large_file_are_noticed() {
    let bytes = source(4_000, 2_000).encode();
    let mut random = Random::new(3);
    let places = (0..flips() / LARGE_SHARE).map(|_| random.below(bytes.len() as u64) as usize);
    all_noticed(&bytes, &places.collect::<Vec<_>>());
}
