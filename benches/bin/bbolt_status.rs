//! `bbolt-rs-status FILE...`: reads snapshots with the Rust port of bbolt, as a reader that shares no
//! code with ours, and holds the status hash of what it sees against ours.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use bbolt_rs::{Bolt, BucketApi, DbApi, TxApi};
use clap::Parser;
use etcdprefix_core::crc::Crc;
use etcdprefix_core::progress::Silent;
use etcdprefix_core::read::{ReadMode, Snapshot};
use etcdprefix_core::verify::status;

#[path = "bbolt/patch.rs"]
mod patch;

#[derive(Parser)]
struct Args {
    files: Vec<std::path::PathBuf>,
}

fn main() -> Result<()> {
    for file in Args::parse().files {
        compare(&file).with_context(|| file.display().to_string())?;
    }
    Ok(())
}

fn compare(file: &Path) -> Result<()> {
    let snapshot = Snapshot::open(file, ReadMode::Map)?;
    let ours = status(&snapshot, 1, &Silent)?;
    let folder = tempfile::tempdir()?;
    let copy = folder.path().join("copy.db");
    patch::copy_with_freelist(&snapshot, &copy)?;
    let (hash, pairs) = read(&copy)?;
    ensure!(hash == ours.hash, "its hash is {hash:x}, ours {:x}", ours.hash);
    ensure!(pairs == ours.total_pairs, "it counts {pairs} pairs, we {}", ours.total_pairs);
    println!("{}: {hash:x}, {pairs} pairs, as we say", file.display());
    Ok(())
}

/// The names, keys and values of all buckets, hashed as `snapshot status` does.
fn read(copy: &Path) -> Result<(u32, u64)> {
    let db = Bolt::open_ro(copy)?;
    let (mut hash, mut pairs) = (Crc::default(), 0);
    db.view(|tx| {
        for (name, bucket) in tx.iter_buckets() {
            hash.update(name);
            for (key, value) in bucket.iter_entries() {
                hash.update(key);
                hash.update(value);
                pairs += 1;
            }
        }
        Ok(())
    })?;
    Ok((hash.value(), pairs))
}
