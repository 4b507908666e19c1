//! What a reader of pages passes over and etcd does not: leases, the store's own numbers, records
//! that contradict themselves, the seal.

use super::records::second;
use super::{BUCKET, Draft, KEYS, LEAF, Named, Pair, ROOT, inline, leaf, rooted, top};
use crate::source::{KeyForm, record_key, record_rest, record_value};

const KEY: &[u8] = b"/registry/pods/default/a";

pub fn files() -> Vec<Named> {
    let with = |name: &[u8], value: Vec<u8>| {
        Draft::new().page(ROOT, LEAF, &top(&[(BUCKET, name.to_vec(), value)]))
    };
    let holding = |name: &[u8], key: &[u8], value: &[u8]| {
        with(name, inline(LEAF, &leaf(&[(0, key.to_vec(), value.to_vec())])))
    };
    vec![
        ("record without a key", second(|pairs| pairs[1].2 = b"\x10\x05\x18\x06\x20\x01".to_vec())),
        ("tombstone with a value", second(|pairs| pairs[1].1 = record_key(6, 0, true))),
        (
            "revision of a record and of a tombstone",
            second(|pairs| {
                pairs[2] = (0, record_key(6, 0, true), record_value(KeyForm::Canonical, KEY, &[]));
            }),
        ),
        ("record of another revision", second(|pairs| pairs[1].2 = record(KEY, 5, 0))),
        (
            "key with a lease that does not exist",
            second(|pairs| pairs[1].2 = record(b"/registry/events/e", 6, 7)),
        ),
        ("lease with an id of three bytes", holding(b"lease", b"abc", b"\x08\x07\x10\x64")),
        (
            "lease under another's id",
            holding(b"lease", &[0, 0, 0, 0, 0, 0, 0, 8], b"\x08\x07\x10\x64"),
        ),
        ("leases beyond the end", with(b"lease", rooted(99))),
        ("consistent index of three bytes", holding(b"meta", b"consistent_index", b"abc")),
        ("no bucket meta", without(b"meta")),
        ("no bucket auth", without(b"auth")),
        ("no trailer", sealed(&[])),
        ("trailer of zeros", sealed(&[0; 32])),
        ("bytes in place of a trailer", sealed(&[7; 31])),
    ]
}

fn record(key: &[u8], mod_revision: i64, lease: i64) -> Vec<u8> {
    record_value(KeyForm::Canonical, key, &record_rest(5, mod_revision, 1, b"value", lease))
}

fn sealed(seal: &[u8]) -> Draft {
    Draft { seal: Some(seal.to_vec()), ..Draft::new() }
}

/// All usual buckets but one.
fn without(name: &[u8]) -> Draft {
    let usual = super::USUAL.into_iter().filter(|usual| *usual != name);
    let mut pairs: Vec<Pair> =
        usual.map(|usual| (BUCKET, usual.to_vec(), inline(LEAF, &leaf(&[])))).collect();
    pairs.push((BUCKET, b"key".to_vec(), rooted(KEYS)));
    pairs.sort_by(|one, other| one.1.cmp(&other.1));
    Draft::new().page(ROOT, LEAF, &leaf(&pairs))
}
