//! Whole prefix changes of damaged files: a result that is sound, or an error and no file.

use std::fs;
use std::path::Path;

use arbitrary::{Arbitrary, Unstructured};
use etcdprefix_core::options::Tuning;
use etcdprefix_core::progress::Silent;
use etcdprefix_core::read::{ReadMode, Snapshot};
use etcdprefix_core::verify::{Expect, check_structure, status};
use etcdprefix_core::{ChangePrefix, Error, Outcome, Target, Unmatched, change_prefix};

use super::patch::Patched;

/// A damaged file and what is asked for.
#[derive(Arbitrary, Debug)]
pub struct Input {
    file: Patched,
    src: u8,
    dst: u8,
    drop: bool,
    allow: bool,
    positioned: bool,
    threads: u8,
    unit_bytes: u16,
    chunk_bytes: u16,
    buffer_bytes: u32,
}

const SOURCES: [&str; 4] = ["/registry", "/", "/registry/pods", "/c1"];
const DESTINATIONS: [&str; 4] =
    ["/c0123456789abcdef0123456789abcdef", "/", "/r", "/c1/0123456789abcdef0123456789abcdef"];

/// Changes the prefix of the input's file.
pub fn run(input: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(input)) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder for two files");
    let options = input.options(folder.path());
    let before = input.file.bytes();
    fs::write(&options.db, &before).expect("room for the source");
    let result = change_prefix(&options, &Silent);
    assert!(
        fs::read(&options.db).expect("the source is there") == before,
        "the source is as it was"
    );
    let output = folder.path().join("out.db");
    match result {
        Ok(outcome) => {
            check(&output, &outcome);
            same_bytes(&options, &output);
        }
        Err(error) => {
            let unproven = matches!(error, Error::Unproven { .. });
            assert!(!unproven, "what was written is what was planned: {error}");
            let left = fs::read_dir(folder.path()).expect("the folder is there").count();
            assert_eq!(left, 1, "an error leaves nothing but the source: {error}");
        }
    }
}

fn check(output: &Path, outcome: &Outcome) {
    let snapshot = Snapshot::open(output, ReadMode::Map).expect("the output opens");
    let report = check_structure(&snapshot, Expect::Compact, &Silent).expect("no I/O can fail");
    assert!(report.findings.is_empty(), "the output is sound: {:?}", report.findings);
    assert_eq!(snapshot.file_bytes(), outcome.bytes_out);
    let status = status(&snapshot, 1, &Silent).expect("the output has a status");
    assert_eq!(Some(format!("{:x}", status.hash)), outcome.status_hash_after);
    let newer = status.newer.expect("every record was decoded before");
    // A revision kept by an empty record is a live key that the source did not have.
    let bumped = outcome.census.dropped > 0;
    assert!(bumped || newer.live_keys == outcome.census.live_keys, "no key lives or dies");
}

/// The same change on another number of threads, in units of another size, is the same file.
fn same_bytes(options: &ChangePrefix, output: &Path) {
    let again = output.with_extension("again");
    let tuning = Tuning { unit_bytes: options.tuning.unit_bytes * 3, ..options.tuning };
    let threads = options.threads % 3 + 1;
    let target = Target::File(again.clone());
    let other = ChangePrefix { target, threads, tuning, ..options.clone() };
    change_prefix(&other, &Silent).expect("it went well before");
    let same = fs::read(again).expect("it is there") == fs::read(output).expect("it is there");
    assert!(same, "{} threads and {threads} threads write the same bytes", options.threads);
}

impl Input {
    fn options(&self, folder: &Path) -> ChangePrefix {
        ChangePrefix {
            db: folder.join("in.db"),
            target: Target::File(folder.join("out.db")),
            src_prefix: SOURCES[usize::from(self.src % 4)].into(),
            dest_prefix: DESTINATIONS[usize::from(self.dst % 4)].into(),
            unmatched: if self.drop { Unmatched::Drop } else { Unmatched::Keep },
            skip_hash_check: true,
            accept_corrupt_trailer: true,
            allow_empty: self.allow,
            allow_undecryptable: self.allow,
            allow_unmapped_roles: self.allow,
            sync: false,
            read_mode: if self.positioned { ReadMode::Positioned } else { ReadMode::Map },
            threads: usize::from(self.threads % 3) + 1,
            tuning: Tuning {
                unit_bytes: u64::from(self.unit_bytes) + 1,
                chunk_bytes: u64::from(self.chunk_bytes) + 1,
                buffer_bytes: u64::from(self.buffer_bytes),
            },
            ..ChangePrefix::default()
        }
    }
}
