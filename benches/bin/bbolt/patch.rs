//! Gives a copy of a snapshot the freelist that bbolt-rs can't do without and etcd never stores.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::Result;
use etcdprefix_core::format::meta::Meta;
use etcdprefix_core::format::page::{FREELIST, HEADER_BYTES, PageHeader};
use etcdprefix_core::read::{Bucket, Leaves, PageRun, PageSet, Snapshot};
use etcdprefix_core::units::{Pgid, Txid};

/// From so many on, the count stands before the ids instead of in the header.
const COUNT_IN_HEADER_MAX: usize = 0xFFFE;

/// Copies the pages, appends a list of those that nothing reaches, and points both metas to it.
pub fn copy_with_freelist(snapshot: &Snapshot, target: &Path) -> Result<()> {
    fs::copy(snapshot.path(), target)?;
    let file = File::options().write(true).open(target)?;
    file.set_len(snapshot.pages_bytes())?;
    let meta = *snapshot.meta();
    let page_bytes = meta.page_size.as_usize();
    let free = unreachable_pages(snapshot)?;
    let list = encode(meta.high_water_mark, &free, page_bytes);
    file.write_all_at(&list, snapshot.pages_bytes())?;
    let pages = (list.len() / page_bytes) as u64;
    let high_water_mark = Pgid(meta.high_water_mark.0 + pages);
    let meta = Meta { freelist: meta.high_water_mark, high_water_mark, ..meta };
    // bbolt keeps the meta of transaction n in page n mod 2.
    for txid in [meta.txid.0.saturating_sub(1), meta.txid.0] {
        let page = Meta { txid: Txid(txid), ..meta }.encode(Pgid(txid % 2));
        file.write_all_at(&page, (txid % 2) * page_bytes as u64)?;
    }
    Ok(())
}

fn unreachable_pages(snapshot: &Snapshot) -> Result<Vec<u64>> {
    let mut reached = PageSet::for_pages_of(snapshot);
    reached.insert_run(Pgid(0), 2);
    let root = snapshot.root_bucket();
    reach(snapshot, &root, &mut reached)?;
    let mut leaves = Leaves::new(snapshot, &root);
    while let Some(leaf) = leaves.next()? {
        for index in 0..leaf.count() {
            let element = leaf.element(index)?;
            let bucket = Bucket::from_element(snapshot, element.key, element.value)?;
            reach(snapshot, &bucket, &mut reached)?;
        }
    }
    let high_water_mark = snapshot.meta().high_water_mark.0;
    Ok((0..high_water_mark).filter(|page| !reached.contains(Pgid(*page))).collect())
}

fn reach(snapshot: &Snapshot, bucket: &Bucket, reached: &mut PageSet) -> Result<()> {
    let mut leaves = Leaves::new(snapshot, bucket);
    let mut seen = |run: &PageRun<'_>| {
        reached.insert_run(run.pgid, run.pages());
        Ok(())
    };
    while leaves.next_seen(&mut seen)?.is_some() {}
    Ok(())
}

fn encode(id: Pgid, free: &[u64], page_bytes: usize) -> Vec<u8> {
    let beside = free.len() > COUNT_IN_HEADER_MAX;
    let ids = free.len() + usize::from(beside);
    let pages = (HEADER_BYTES + 8 * ids).div_ceil(page_bytes);
    let count = if beside { 0xFFFF } else { free.len() as u16 };
    let header = PageHeader { id, flags: FREELIST, count, overflow: pages as u32 - 1 };
    let mut out = header.encode().to_vec();
    let first = beside.then_some(free.len() as u64);
    out.extend(first.iter().chain(free).flat_map(|id| id.to_le_bytes()));
    out.resize(pages * page_bytes, 0);
    out
}
