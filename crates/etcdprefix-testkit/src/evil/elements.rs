//! Elements of leaves.

use super::{Draft, LEAF, NEXT, NO_FREELIST, Named, Pair, SECOND, leaf, records, value};
use crate::source::record_key;

/// The position, key size and value size of the second leaf's first element.
const POS: usize = 16 + 4;
const KEY_SIZE: usize = 16 + 8;
const VALUE_SIZE: usize = 16 + 12;

pub fn files() -> Vec<Named> {
    let size = |number: u32| number.to_le_bytes();
    let patched = |at, number| Draft::new().patch(SECOND, at, &size(number));
    vec![
        ("count past the page", Draft::new().patch(SECOND, 10, &[0xFF, 0x0F])),
        ("count of 65,535", Draft::new().patch(SECOND, 10, &[0xFF, 0xFF])),
        ("position past the page", patched(POS, 5000)),
        ("position at the end of numbers", patched(POS, u32::MAX)),
        ("key past the page", patched(KEY_SIZE, 5000)),
        ("value past the page", patched(VALUE_SIZE, 5000)),
        ("sizes that overflow together", {
            patched(KEY_SIZE, u32::MAX).patch(SECOND, VALUE_SIZE, &size(u32::MAX))
        }),
        ("values that overlap", patched(VALUE_SIZE, 3900)),
        ("position inside the elements", patched(POS, 16)),
        ("unknown element flags", Draft::new().patch(SECOND, 16, &[0x80])),
        ("gap between elements", gap()),
        ("bytes behind the last value", Draft::new().patch(SECOND, 4095, &[1])),
        ("keys in disorder", second(&[5, 7, 6])),
        ("key twice", second(&[5, 6, 6])),
        ("empty key", {
            let draft =
                one_leaf(&[(0, Vec::new(), value(2, 300)), record(3), record(4), record(5)]);
            draft.meta(|meta| meta.freelist = NO_FREELIST)
        }),
        ("key of 32,769 bytes", { one_leaf(&[record(2), (0, vec![0xFF; 32_769], value(3, 300))]) }),
        ("records in a run of 17 pages", {
            let long = |at| (0, record_key(at, 0, false), value(at, 33_000));
            one_leaf(&[long(2), long(3)])
        }),
        ("leaf of 65,535 elements", {
            let small = |at| (0, record_key(at, 0, false), value(at, 1));
            let pairs: Vec<Pair> = (2..65_537).map(small).collect();
            one_leaf(&pairs)
        }),
        ("leaf with a page too many", {
            let mut body = leaf(&records(2..10));
            body.bytes.resize(6000, 0);
            rerooted(Draft::new().run(NEXT, LEAF, &body, 1))
        }),
    ]
}

fn record(at: i64) -> Pair {
    (0, record_key(at, 0, false), value(at, 300))
}

fn second(revisions: &[i64]) -> Draft {
    let pairs: Vec<Pair> = revisions.iter().map(|at| record(*at)).collect();
    Draft::new().page(SECOND, LEAF, &leaf(&pairs))
}

/// Bucket `key` in one leaf of any size; its old pages are unused.
fn one_leaf(pairs: &[Pair]) -> Draft {
    rerooted(Draft::new().page(NEXT, LEAF, &leaf(pairs)))
}

/// Bucket `key` at the first page behind the draft's; the old pages are free where nobody asks.
fn rerooted(draft: Draft) -> Draft {
    draft.rerooted(NEXT).meta(|meta| meta.freelist = NO_FREELIST)
}

/// The last value begins a byte later than the one before ends.
fn gap() -> Draft {
    let mut body = leaf(&records(5..8));
    let pos = 2 * 16 + 4;
    let moved = u32::from_le_bytes(body.bytes[pos..pos + 4].try_into().expect("four bytes")) + 1;
    body.bytes[pos..pos + 4].copy_from_slice(&moved.to_le_bytes());
    let start = 2 * 16 + moved as usize - 1;
    body.bytes.insert(start, 0);
    Draft::new().page(SECOND, LEAF, &body)
}
