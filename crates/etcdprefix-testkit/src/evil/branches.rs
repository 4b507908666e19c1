//! The shape of a tree: what branch pages lead to, and in which order.

use super::{
    BRANCH, Body, Draft, FIRST, FREELIST, KEYS, LEAF, NEXT, NO_FREELIST, Named, SECOND, THIRD,
    branch, leaf, numbers, records,
};

/// More levels than any reader here goes down.
const CHAIN: u64 = 200;

pub fn files() -> Vec<Named> {
    vec![
        ("branch that is its own child", with(&[(2, FIRST), (5, SECOND), (8, THIRD), (11, KEYS)])),
        ("two branches that lead to each other", {
            let draft = with(&[(2, FIRST), (5, SECOND), (8, NEXT)]);
            draft.page(NEXT, BRANCH, &branch(&[(8, THIRD), (11, KEYS)]))
        }),
        ("leaf reached twice", with(&[(2, FIRST), (5, SECOND), (8, THIRD), (11, THIRD)])),
        ("child beyond the end", with(&[(2, FIRST), (5, SECOND), (8, THIRD), (11, 99)])),
        ("child on a meta page", with(&[(2, FIRST), (5, SECOND), (8, THIRD), (11, 1)])),
        ("child at the end of numbers", {
            with(&[(2, FIRST), (5, SECOND), (8, THIRD), (11, u64::MAX)])
        }),
        ("child that is a freelist", {
            let draft = with(&[(2, FIRST), (5, SECOND), (8, THIRD), (11, NEXT)]);
            draft.page(NEXT, FREELIST, &numbers(0, &[]))
        }),
        ("page of no kind", Draft::new().patch(SECOND, 8, &[0, 0])),
        ("page of two kinds", Draft::new().patch(SECOND, 8, &[3, 0])),
        ("page with another's id", Draft::new().patch(SECOND, 0, &[9])),
        ("branch without children", with(&[])),
        ("branch with one child", {
            let draft = with(&[(2, NEXT)]);
            draft.page(NEXT, BRANCH, &branch(&[(2, FIRST), (5, SECOND), (8, THIRD)]))
        }),
        ("branch keys in disorder", with(&[(2, FIRST), (8, THIRD), (5, SECOND)])),
        ("branch key below its subtree's first", with(&[(1, FIRST), (5, SECOND), (8, THIRD)])),
        ("branch key above its subtree's first", with(&[(2, FIRST), (6, SECOND), (8, THIRD)])),
        ("leaves at different depths", {
            let draft = with(&[(2, FIRST), (5, NEXT)]);
            draft.page(NEXT, BRANCH, &branch(&[(5, SECOND), (8, THIRD)]))
        }),
        ("leaf without elements", Draft::new().page(SECOND, LEAF, &leaf(&[]))),
        ("leaves in disorder", {
            let draft = Draft::new().page(FIRST, LEAF, &leaf(&records(5..8)));
            draft.page(SECOND, LEAF, &leaf(&records(2..5)))
        }),
        ("leaf that passes the next one's key", {
            Draft::new().page(SECOND, LEAF, &leaf(&records(5..9)))
        }),
        ("run over its neighbour", Draft::new().patch(FIRST, 12, &[1])),
        ("run past the end", Draft::new().patch(THIRD, 12, &[1])),
        ("run of 2^32 pages", Draft::new().patch(THIRD, 12, &[0xFF; 4])),
        ("branch with a count too high", Draft::new().patch(KEYS, 10, &[0xFF, 0x0F])),
        ("branch key outside of its page", Draft::new().patch(KEYS, 16, &[0xFF; 4])),
        ("branch keys that overlap", {
            // Three keys of 1,400 bytes, each inside of the page.
            let size = 1400_u32.to_le_bytes();
            let sizes = [20, 36, 52].into_iter();
            sizes.fold(Draft::new(), |draft, at| draft.patch(KEYS, at, &size))
        }),
        ("branch with bytes behind its keys", Draft::new().patch(KEYS, 4095, &[1])),
        ("branch with a page too many", {
            let draft = Draft::new().meta(|meta| meta.freelist = NO_FREELIST);
            let body = branch(&[(2, FIRST), (5, SECOND), (8, THIRD)]);
            draft.run(NEXT, BRANCH, &padded(&body, 8000), 1).rerooted(NEXT)
        }),
        ("chain of branches", chain()),
    ]
}

fn with(children: &[(i64, u64)]) -> Draft {
    Draft::new().page(KEYS, BRANCH, &branch(children))
}

fn padded(body: &Body, bytes: usize) -> Body {
    let mut body = body.clone();
    body.bytes.resize(bytes, 0);
    body
}

fn chain() -> Draft {
    let link = |draft: Draft, at| draft.page(at, BRANCH, &branch(&[(2, at + 1)]));
    let draft = Draft::new().page(KEYS, BRANCH, &branch(&[(2, NEXT), (5, SECOND), (8, THIRD)]));
    let draft = (NEXT..NEXT + CHAIN).fold(draft, link);
    draft.page(NEXT + CHAIN, LEAF, &leaf(&records(2..5)))
}
