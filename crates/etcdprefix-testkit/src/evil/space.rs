//! The freelist, and pages that are in use twice or not at all.

use super::{
    Draft, FREE, FREELIST, LEAF, NEXT, NO_FREELIST, Named, SECOND, THIRD, leaf, numbers, records,
};

/// From so many entries on, the count stands before them.
const LONG: u64 = 65_535;

pub fn files() -> Vec<Named> {
    let absent = |draft: Draft| draft.meta(|meta| meta.freelist = NO_FREELIST);
    vec![
        ("no freelist", absent(Draft::new())),
        ("unused page without a freelist", absent(unused())),
        ("unused page not on the freelist", unused()),
        ("unused page on the freelist", unused().page(FREE, FREELIST, &numbers(1, &[NEXT]))),
        ("page freed twice", unused().page(FREE, FREELIST, &numbers(2, &[NEXT, NEXT]))),
        ("page in use and free", Draft::new().page(FREE, FREELIST, &numbers(1, &[SECOND]))),
        ("freed page beyond the end", Draft::new().page(FREE, FREELIST, &numbers(1, &[1 << 40]))),
        ("freelist with a count too high", Draft::new().page(FREE, FREELIST, &numbers(600, &[]))),
        ("freelist of 65,535 entries", long(LONG)),
        ("freelist of 70,000 entries", long(70_000)),
        ("freelist that claims 2^64 - 1", {
            Draft::new().page(FREE, FREELIST, &numbers(0xFFFF, &[u64::MAX]))
        }),
        ("freelist that is a leaf", Draft::new().page(FREE, LEAF, &leaf(&[]))),
        ("freelist beyond the end", Draft::new().meta(|meta| meta.freelist = 99)),
        ("freelist in a tree's page", Draft::new().meta(|meta| meta.freelist = THIRD)),
        ("freelist with bytes behind it", Draft::new().page(FREE, FREELIST, &numbers(0, &[1]))),
    ]
}

fn unused() -> Draft {
    Draft::new().page(NEXT, LEAF, &leaf(&records(20..22)))
}

/// A freelist of many pages: the old list's page, which is nobody's now, and numbers beyond the end,
/// which nobody minds.
fn long(count: u64) -> Draft {
    let freed = [FREE].into_iter().chain((1..count).map(|at| (1 << 40) + at));
    let entries: Vec<u64> = [count].into_iter().chain(freed).collect();
    let draft = Draft::new().page(NEXT, FREELIST, &numbers(0xFFFF, &entries));
    draft.meta(|meta| meta.freelist = NEXT)
}
