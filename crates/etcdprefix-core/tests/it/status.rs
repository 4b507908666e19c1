//! `snapshot status` of files that real etcd wrote, against what etcdutl says of them.

use std::path::{Path, PathBuf};

use etcdprefix_core::progress::Silent;
use etcdprefix_core::read::{ReadMode, Snapshot};
use etcdprefix_core::verify::{Newer, Status, status, status_hash};
use etcdprefix_core::{Corruption, Error};

struct Said {
    file: &'static str,
    hash: u32,
    /// `totalKey` of etcdutl 3.5.30.
    pairs: u64,
    size: u64,
    /// Of etcdutl 3.6.14.
    version: &'static str,
}

const fn said(file: &'static str, hash: u32, pairs: u64, size: u64, version: &'static str) -> Said {
    Said { file, hash, pairs, size, version }
}

/// From the outputs of etcdutl 3.5.30 and 3.6.14; revision 64 and 41 live keys for all of them.
const SAID: [Said; 8] = [
    said("s-3.3.27", 1417865603, 78, 36864, ""),
    said("s-3.4.3", 1965517979, 78, 32768, ""),
    said("s-3.4.23", 1181156936, 78, 36864, ""),
    said("s-3.5.1", 2291928885, 80, 36864, ""),
    said("s-3.5.16", 1246617189, 80, 36864, ""),
    said("s-3.5.30", 2133286323, 80, 36864, ""),
    said("s-3.6.14", 303075822, 81, 36864, "3.6.0"),
    said("s-3.7.1", 167388360, 81, 36864, "3.7.0"),
];

/// Every snapshot in testdata.
pub const FIXTURES: [&str; 10] = [
    "s-3.3.27",
    "s-3.4.3",
    "s-3.4.23",
    "s-3.5.1",
    "s-3.5.16",
    "s-3.5.30",
    "s-3.6.14",
    "s-3.7.1",
    "k8s-3.5.1",
    "k8s120-3.4.23",
];

pub fn fixture(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/snapshots");
    root.join(format!("{name}.db"))
}

#[test]
fn status_is_what_etcdutl_says() {
    for said in SAID {
        let expected = Status {
            hash: said.hash,
            revision: 64,
            total_pairs: said.pairs,
            total_size: said.size,
            newer: Ok(Newer { live_keys: 41, version: said.version.into() }),
        };
        for (mode, threads) in [(ReadMode::Map, 2), (ReadMode::Positioned, 1)] {
            let snapshot = Snapshot::open(&fixture(said.file), mode).unwrap();
            let found = status(&snapshot, threads, &Silent).unwrap();
            assert_eq!(found, expected, "{}", said.file);
            assert_eq!(status_hash(&snapshot, 2, &Silent).unwrap(), said.hash);
        }
    }
}

fn status_of(bytes: Vec<u8>) -> etcdprefix_core::Result<Status> {
    let snapshot = Snapshot::from_storage(Box::new(bytes), Path::new("test.db"))?;
    status(&snapshot, 2, &Silent)
}

/// As etcdutl: neither the trailer nor a broken first meta page matters, a cut does.
#[test]
fn damaged_copies_give_what_etcdutl_gives() {
    let sound = std::fs::read(fixture("s-3.5.1")).unwrap();
    let expected = status_of(sound.clone()).unwrap();
    assert_eq!(expected.hash, 0x889c_0f35);

    let mut no_meta = sound.clone();
    no_meta[..80].fill(0xAA);
    let mut zero_hash = sound.clone();
    zero_hash[36864..].fill(0);
    let no_hash = sound[..36864].to_vec();
    for bytes in [no_meta, zero_hash, no_hash] {
        assert_eq!(status_of(bytes).unwrap(), expected);
    }
    for bytes in [sound[..20000].to_vec(), sound[..36352].to_vec(), b"text".repeat(1500), vec![]] {
        assert!(matches!(status_of(bytes), Err(Error::Damaged { .. })));
    }
}

/// The first value byte of the last record of the key bucket: the count of live keys may fail, and
/// only that, since older versions do not decode records.
#[test]
fn a_record_that_does_not_decode_fails_newer_versions_only() {
    let mut bytes = std::fs::read(fixture("s-3.5.1")).unwrap();
    let other = b"\x0A\x0A/other/key";
    let at = bytes.windows(other.len()).position(|window| window == other).unwrap();
    bytes[at] = 0x0C;
    let status = status_of(bytes).unwrap();
    assert_eq!((status.revision, status.total_pairs), (64, 80));
    assert!(matches!(status.newer, Err(Corruption::RecordInvalid { .. })));
}
