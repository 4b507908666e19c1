//! A snapshot that is received is changed without ever having had a name.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use etcdprefix_core::progress::Silent;
use etcdprefix_core::read::ReadMode;
use etcdprefix_core::save::disk::RealDisk;
use etcdprefix_core::save::receive::{Received, Receiver};
use etcdprefix_core::{ChangePrefix, Error, Target, change_prefix, change_prefix_of};

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/snapshots");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "db")).collect()
}

fn receive(bytes: &[u8], target: &Path, piece_bytes: usize) -> Received {
    let promised = Some(bytes.len() as u64);
    let mut receiver = Receiver::create(Arc::new(RealDisk), target, promised).unwrap();
    bytes.chunks(piece_bytes).for_each(|piece| receiver.push(piece).unwrap());
    receiver.finish().unwrap()
}

fn options(target: Target) -> ChangePrefix {
    let dest_prefix = "/c123".into();
    ChangePrefix { dest_prefix, target, allow_undecryptable: true, ..ChangePrefix::default() }
}

#[test]
fn is_changed_as_if_it_had_been_published() {
    for fixture in fixtures() {
        let bytes = fs::read(&fixture).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let [target, direct, detour] =
            ["snap.db", "direct.db", "detour.db"].map(|name| folder.path().join(name));
        for (mode, piece_bytes) in [(ReadMode::Map, 1_000), (ReadMode::Positioned, 33)] {
            let received = receive(&bytes, &target, piece_bytes);
            let snapshot = received.snapshot(mode).unwrap();
            let options = options(Target::File(direct.clone()));
            let outcome = change_prefix_of(Arc::new(RealDisk), snapshot, &options, &Silent);
            let outcome = outcome.unwrap();
            assert_eq!((&outcome.db, outcome.output.as_ref()), (&target, Some(&direct)));
            assert_eq!(direct.metadata().unwrap().mode() & 0o7777, 0o600);
            assert!(!target.exists(), "it is changed before it is published");

            received.publish(true).unwrap();
            let options = ChangePrefix {
                db: target.clone(),
                target: Target::File(detour.clone()),
                ..options
            };
            change_prefix(&options, &Silent).unwrap();
            assert!(fs::read(&target).unwrap() == bytes);
            let same = fs::read(&direct).unwrap() == fs::read(&detour).unwrap();
            assert!(same, "{}", fixture.display());
            for path in [&target, &direct, &detour] {
                fs::remove_file(path).unwrap();
            }
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

/// Under the very name that the received file would have had.
#[test]
fn the_change_may_take_the_name() {
    let bytes = fs::read(fixtures().first().unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("snap.db");
    let received = receive(&bytes, &target, 4_096);
    let snapshot = received.snapshot(ReadMode::Map).unwrap();
    let options = options(Target::File(target.clone()));
    let outcome = change_prefix_of(Arc::new(RealDisk), snapshot, &options, &Silent).unwrap();
    drop(received);
    assert_eq!(fs::metadata(&target).unwrap().len(), outcome.bytes_out);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn is_not_changed_in_place() {
    let bytes = fs::read(fixtures().first().unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("snap.db");
    for (target_of_change, there) in [(Target::InPlace, false), (Target::InPlaceForced, true)] {
        if there {
            fs::write(&target, &bytes).unwrap();
        }
        let received = receive(&bytes, &target, 4_096);
        let snapshot = received.snapshot(ReadMode::Map).unwrap();
        let options = options(target_of_change);
        let result = change_prefix_of(Arc::new(RealDisk), snapshot, &options, &Silent);
        assert!(matches!(result, Err(Error::Usage { .. })), "{result:?}");
        assert_eq!(target.exists(), there);
    }
}
