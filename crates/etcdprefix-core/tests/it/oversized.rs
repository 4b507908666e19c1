//! A value that would grow over bbolt's limit. The file is 2 GiB of hole, so nothing of it is in
//! memory or on the disk.

use std::fs::File;
use std::io::Write;

use etcdprefix_core::progress::Silent;
use etcdprefix_core::{ChangePrefix, Error, Refusal, change_prefix};
use etcdprefix_testkit::bolt::fnv1a_64;
use etcdprefix_testkit::source::record_key;

const PAGE: usize = 4096;
const LIMIT: u64 = (1 << 31) - 2;
const NO_FREELIST: u64 = u64::MAX;
const ROOT: u64 = 2;
const KEYS: u64 = 3;

fn header(id: u64, flags: u16, overflow: u32) -> Vec<u8> {
    let count = u16::from(flags == 2);
    let [flags, count] = [flags, count].map(u16::to_le_bytes);
    [id.to_le_bytes().as_slice(), &flags, &count, &overflow.to_le_bytes()].concat()
}

fn meta(id: u64, high_water: u64) -> Vec<u8> {
    let mut body = [0xED0C_DAED, 2, PAGE as u32, 0].map(u32::to_le_bytes).concat();
    body.extend([ROOT, 0, NO_FREELIST, high_water, 8 + id].map(u64::to_le_bytes).concat());
    let checksum = fnv1a_64(&body).to_le_bytes();
    [header(id, 4, 0), body, checksum.to_vec()].concat()
}

/// A leaf with one element, of whose value only the beginning is given.
fn leaf(id: u64, flags: u32, key: &[u8], value: &[u8], value_bytes: u64) -> Vec<u8> {
    let bytes = 32 + key.len() + value_bytes as usize;
    let element = [flags, 16, key.len() as u32, value_bytes as u32].map(u32::to_le_bytes).concat();
    let overflow = bytes.div_ceil(PAGE) as u32 - 1;
    [header(id, 2, overflow), element, key.to_vec(), value.to_vec()].concat()
}

/// A database with one record, whose value takes `value_bytes`.
fn store(file: &mut File, value_bytes: u64) {
    // Tag, key and tag again; the length takes five bytes.
    let mut value = b"\x0a\x0b/registry/a\x2a".to_vec();
    let mut length = value_bytes - value.len() as u64 - 5;
    for _ in 0..4 {
        value.push((length & 0x7F) as u8 | 0x80);
        length >>= 7;
    }
    value.push(length as u8);
    let records = leaf(KEYS, 0, &record_key(2, 0, false), &value, value_bytes);
    let high_water = KEYS + (49 + value_bytes).div_ceil(PAGE as u64);
    let root = [KEYS.to_le_bytes(), [0; 8]].concat();
    let pages =
        [meta(0, high_water), meta(1, high_water), leaf(ROOT, 1, b"key", &root, 16), records];
    for mut page in pages {
        page.resize(PAGE, 0);
        file.write_all(&page).unwrap();
    }
    file.set_len(high_water * PAGE as u64).unwrap();
}

#[test]
fn a_value_that_would_grow_too_large_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("snap.db");
    store(&mut File::create(&db).unwrap(), LIMIT - 3);
    let change = |dest: &str| {
        let options = ChangePrefix {
            db: db.clone(),
            dest_prefix: dest.into(),
            skip_hash_check: true,
            dry_run: true,
            ..ChangePrefix::default()
        };
        change_prefix(&options, &Silent)
    };
    // Longer by four bytes and by three, as is the prefix.
    match change("/registry1234") {
        Err(Error::Refused { refusal: Refusal::ValueTooLarge { bytes, .. }, .. }) => {
            assert_eq!(bytes, LIMIT + 1);
        }
        other => panic!("{other:?}"),
    }
    match change("/registry123") {
        Ok(outcome) => assert!(outcome.bytes_out > LIMIT),
        Err(error) => panic!("{error}"),
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "something was written");
}
