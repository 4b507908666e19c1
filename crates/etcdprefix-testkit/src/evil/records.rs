//! Records of bucket `key`: revisions and values that etcd does not write.

use super::{Draft, LEAF, Named, SECOND, leaf, records};
use crate::source::record_key;

pub fn files() -> Vec<Named> {
    let keyed = |key: Vec<u8>| second(|pairs| pairs[1].1 = key);
    let valued = |value: &[u8]| second(|pairs| pairs[1].2 = value.to_vec());
    let field = |head: &[u8]| valued(&[head, b"/registry/a".as_slice()].concat());
    vec![
        ("revision of 16 bytes", keyed(record_key(6, 0, false)[..16].to_vec())),
        ("revision of 3 bytes", keyed(vec![0, 0, 9])),
        ("revision without a separator", {
            let mut key = record_key(6, 0, false);
            key[8] = b'-';
            keyed(key)
        }),
        ("revision with another mark than t", {
            let mut key = record_key(6, 0, true);
            key[17] = b'x';
            keyed(key)
        }),
        ("value of no bytes", valued(b"")),
        ("key length in 10 bytes", field(b"\x0a\x8b\x80\x80\x80\x80\x80\x80\x80\x80\x00")),
        ("key length in 11 bytes", field(b"\x0a\x8b\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00")),
        ("key length over 2^64", field(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f")),
        ("key tag in 10 bytes", field(b"\x8a\x80\x80\x80\x80\x80\x80\x80\x80\x00\x0b")),
        ("key tag in 11 bytes", field(b"\x8a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00\x0b")),
        ("key past the value", valued(b"\x0a\x7f/registry/a")),
        ("key of a wrong type", valued(b"\x08\x05")),
        ("field 0", valued(b"\x02\x01x")),
        ("end of a group that never began", valued(b"\x0a\x0b/registry/a\x0c")),
        ("varint that does not end", valued(b"\x0a\x0b/registry/a\x10\x80")),
    ]
}

pub fn second(change: impl FnOnce(&mut Vec<super::Pair>)) -> Draft {
    let mut pairs = records(5..8);
    change(&mut pairs);
    Draft::new().page(SECOND, LEAF, &leaf(&pairs))
}
