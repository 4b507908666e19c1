//! Buckets: inline, nested, missing, among records, too many.

use super::{
    BUCKET, Draft, KEYS, LEAF, NEXT, NO_FREELIST, Named, Pair, ROOT, SECOND, header, inline, leaf,
    records, rooted, top, value,
};
use crate::source::record_key;

pub fn files() -> Vec<Named> {
    let with = |name: &[u8], value: Vec<u8>| top_with(&[bucket(name, value)]);
    let plain = |count: u8| -> Vec<Pair> { (0..count).map(|at| (0, vec![at], vec![at])).collect() };
    vec![
        ("inline bucket", with(b"meta", inline(LEAF, &leaf(&plain(3))))),
        ("role that does not decode", {
            let role = (0, b"r".to_vec(), b"\x12\x05".to_vec());
            with(b"authRoles", inline(LEAF, &leaf(&[role])))
        }),
        ("bucket nested in a bucket", with(b"outer", nested(2))),
        ("buckets nested 17 deep", with(b"outer", nested(17))),
        ("bucket header of 15 bytes", with(b"meta", vec![0; 15])),
        ("bucket value of no bytes", with(b"meta", Vec::new())),
        ("inline bucket without a page header", with(b"meta", rooted(0))),
        ("inline bucket that is a branch", with(b"meta", inline(1, &leaf(&[])))),
        ("inline bucket with a count too high", {
            with(b"meta", [rooted(0), header(0, LEAF, 9, 0)].concat())
        }),
        ("inline bucket whose elements overlap", {
            let mut value = inline(LEAF, &leaf(&plain(3)));
            value[16 + 16 + 12] = 5;
            with(b"meta", value)
        }),
        ("inline bucket in disorder", {
            let mut pairs = plain(3);
            pairs.swap(0, 1);
            with(b"meta", inline(LEAF, &leaf(&pairs)))
        }),
        ("inline bucket larger than a page", {
            let large = bucket(b"meta", inline(LEAF, &leaf(&[(0, vec![1], vec![1; 5000])])));
            let draft = Draft::new().page(NEXT, LEAF, &top(&[large]));
            draft.meta(|meta| (meta.root, meta.freelist) = (NEXT, NO_FREELIST))
        }),
        ("inline bucket of half a page", {
            with(b"meta", inline(LEAF, &leaf(&[(0, vec![1], vec![1; 2000])])))
        }),
        ("small bucket with a page", {
            with(b"meta", rooted(NEXT)).page(NEXT, LEAF, &leaf(&plain(3)))
        }),
        ("two buckets with one root", with(b"lease", rooted(KEYS))),
        ("bucket whose root is the root bucket's", with(b"lease", rooted(ROOT))),
        ("bucket root beyond the end", with(b"lease", rooted(99))),
        ("bucket root on a meta page", with(b"lease", rooted(1))),
        ("no bucket key", Draft::new().page(ROOT, LEAF, &leaf(&[bucket(b"kex", rooted(KEYS))]))),
        ("record among the buckets", top_with(&[(0, b"plain".to_vec(), b"value".to_vec())])),
        ("bucket among the records", {
            let mut pairs = records(5..8);
            pairs[1] = (BUCKET, record_key(6, 0, false), inline(LEAF, &leaf(&plain(3))));
            Draft::new().page(SECOND, LEAF, &leaf(&pairs))
        }),
        ("65,537 buckets", {
            let many = (0..65_537_u32).map(|at| {
                bucket(&[b"n", at.to_le_bytes().as_slice()].concat(), inline(LEAF, &leaf(&[])))
            });
            many_leaves(many.collect())
        }),
        ("bucket key without records", {
            let draft = Draft::new().page(ROOT, LEAF, &leaf(&[bucket(b"key", rooted(NEXT))]));
            draft.page(NEXT, LEAF, &leaf(&[])).meta(|meta| meta.freelist = NO_FREELIST)
        }),
        ("bucket key inline", {
            let pairs = vec![(0, record_key(2, 0, false), value(2, 10))];
            let key = bucket(b"key", inline(LEAF, &leaf(&pairs)));
            let draft = Draft::new().page(ROOT, LEAF, &leaf(&[key]));
            draft.meta(|meta| meta.freelist = NO_FREELIST)
        }),
    ]
}

fn bucket(name: &[u8], value: Vec<u8>) -> Pair {
    (BUCKET, name.to_vec(), value)
}

fn top_with(others: &[Pair]) -> Draft {
    Draft::new().page(ROOT, LEAF, &top(others))
}

/// An inline bucket around an inline bucket and so on.
fn nested(depth: u32) -> Vec<u8> {
    (1..depth)
        .fold(inline(LEAF, &leaf(&[])), |inner, _| inline(LEAF, &leaf(&[bucket(b"inner", inner)])))
}

/// The root bucket as a tree of two levels.
fn many_leaves(mut pairs: Vec<Pair>) -> Draft {
    pairs.push(bucket(b"key", rooted(KEYS)));
    pairs.sort_by(|one, other| one.1.cmp(&other.1));
    let mut draft = Draft::new();
    let mut children = Vec::new();
    for (at, part) in pairs.chunks(60).enumerate() {
        let id = NEXT + at as u64;
        children.push((part[0].1.clone(), id));
        draft = draft.page(id, LEAF, &leaf(part));
    }
    let root = NEXT + children.len() as u64;
    let draft = draft.page(root, 1, &super::branch_of(&children));
    draft.meta(|meta| (meta.root, meta.freelist) = (root, NO_FREELIST))
}
