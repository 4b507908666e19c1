//! Everything that reads a file, on a damaged one: no panic, an end, and no contradictions.

use std::path::Path;

use arbitrary::{Arbitrary, Unstructured};
use etcdprefix_core::progress::Silent;
use etcdprefix_core::read::{Leaves, Snapshot};
use etcdprefix_core::verify::{Depth, Expect, check_structure, hash_kv, status, status_hash};

use super::patch::Patched;

#[derive(Arbitrary, Debug)]
enum Input {
    Patched(Patched),
    Bytes(Vec<u8>),
}

/// Reads the input's file in every way.
pub fn run(input: &[u8]) {
    let bytes = match Input::arbitrary_take_rest(Unstructured::new(input)) {
        Ok(Input::Patched(patched)) => patched.bytes(),
        Ok(Input::Bytes(bytes)) => bytes,
        Err(_) => return,
    };
    let Ok(snapshot) = Snapshot::from_storage(Box::new(bytes), Path::new("fuzzed")) else {
        return;
    };
    check(&snapshot);
}

fn check(snapshot: &Snapshot) {
    let sound = check_structure(snapshot, Expect::Sound, &Silent).expect("no I/O can fail");
    let compact = check_structure(snapshot, Expect::Compact, &Silent).expect("no I/O can fail");
    assert!(
        sound.findings.is_empty() || !compact.findings.is_empty(),
        "compact is more than sound"
    );
    let report = etcdprefix_core::verify::check(snapshot, Depth::Full, 1, &Silent);
    let report = report.expect("no I/O can fail");
    assert!(sound.findings.is_empty() || !report.is_sound(), "check is more than sound");
    // It looks at bucket `key` alone, so any outcome is fine.
    hash_kv(snapshot, 0, 2, &Silent).ok();
    let status = status(snapshot, 1, &Silent);
    let hash = status_hash(snapshot, 2, &Silent);
    if let Ok(status) = status {
        assert!(sound.findings.is_empty(), "status refuses what is unsound");
        assert_eq!(status.total_pairs, sound.pairs, "both count the same pairs");
        assert_eq!(Some(status.hash), hash.ok(), "one hash, whatever else is asked");
        assert_eq!(status.total_size, snapshot.pages_bytes());
    }
    let key = snapshot.bucket(b"key");
    if let Ok(Some(bucket)) = key {
        let records = walk(snapshot, &bucket);
        let consistent = records.is_none_or(|records| records == sound.records);
        assert!(consistent || !sound.findings.is_empty(), "the walk finds the records");
    }
}

/// The records of a bucket; `None` where the walk fails. A page that is its own child, or two
/// that share children, end it late, by depth only, so it is cut short.
fn walk(snapshot: &Snapshot, bucket: &etcdprefix_core::read::Bucket) -> Option<u64> {
    const LEAVES_MAX: u64 = 10_000;
    let mut leaves = Leaves::new(snapshot, bucket);
    let mut records = 0;
    for _ in 0..LEAVES_MAX {
        match leaves.next() {
            Ok(Some(leaf)) => records += leaf.count() as u64,
            Ok(None) => return Some(records),
            Err(_) => return None,
        }
    }
    None
}
