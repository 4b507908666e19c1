//! Meta pages, and what they say of the file.

use super::{Draft, Named};

pub fn files() -> Vec<Named> {
    vec![
        ("nothing wrong", Draft::new()),
        ("pages of 64 KiB", Draft::of_page_size(65_536)),
        ("pages of 1 KiB", Draft::of_page_size(1024)),
        ("pages of 128 KiB", Draft::of_page_size(131_072)),
        ("meta 0 broken", broken(&[0])),
        ("meta 1 broken", broken(&[1])),
        ("both metas broken", broken(&[0, 1])),
        ("wrong magic", Draft::new().meta(|meta| meta.magic = 0xED0C_DAEC)),
        ("unknown version", Draft::new().meta(|meta| meta.version = 3)),
        ("page size no power of two", Draft::new().meta(|meta| meta.page_size = 4095)),
        ("metas of different page sizes", {
            let mut draft = Draft::new();
            draft.metas[1].page_size = 8192;
            draft
        }),
        ("metas of different roots", {
            let mut draft = Draft::new();
            draft.metas[0].root = 7;
            draft
        }),
        ("metas of one transaction", Draft::new().meta(|meta| meta.txid = 8)),
        ("transaction id at its end", Draft::new().meta(|meta| meta.txid |= u64::MAX - 1)),
        ("2^32 claimed pages", Draft::new().meta(|meta| meta.high_water = Some(1 << 32))),
        ("2^64 - 1 claimed pages", Draft::new().meta(|meta| meta.high_water = Some(u64::MAX))),
        ("no pages claimed", Draft::new().meta(|meta| meta.high_water = Some(0))),
        ("metas past the end", {
            Draft::new().meta(|meta| (meta.page_size, meta.high_water) = (65_536, Some(0)))
        }),
        ("root beyond the last page", Draft::new().meta(|meta| meta.root = 99)),
        ("root on a meta page", Draft::new().meta(|meta| meta.root = 1)),
        ("root at the end of numbers", Draft::new().meta(|meta| meta.root = u64::MAX)),
        ("cut in a page", cut(20_001)),
        ("cut behind a page", cut(20_480)),
        ("cut in the first page", cut(1000)),
        ("cut to nothing", cut(0)),
    ]
}

fn broken(ids: &[usize]) -> Draft {
    let mut draft = Draft::new();
    ids.iter().for_each(|id| draft.metas[*id].off = 1);
    draft
}

fn cut(bytes: usize) -> Draft {
    Draft { cut: Some(bytes), ..Draft::new() }
}
