//! `bbolt-rs-change-prefix SOURCE TARGET PREFIX`: what one would write first with the Rust port of
//! bbolt: copy the snapshot, put every record again, hash the file. A baseline for the bench.
//!
//! It is kinder to the port than a first attempt would be: records come from our mapped reader,
//! transactions are batched so that memory stays bounded, and the disk is waited for once.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bbolt_rs::{Bolt, BoltOptions, BucketRwApi, DbRwAPI, TxRwRefApi};
use clap::Parser;
use etcdprefix_core::Unmatched;
use etcdprefix_core::read::{Leaves, ReadMode, Snapshot};
use etcdprefix_core::rewrite::PrefixRule;
use etcdprefix_core::rewrite::key_bucket::{Record, judge};
use sha2::{Digest, Sha256};

#[path = "bbolt/patch.rs"]
mod patch;

/// One transaction for all takes memory of several times the file.
const RECORDS_PER_TRANSACTION: usize = 10_000;

#[derive(Parser)]
struct Args {
    source: PathBuf,
    target: PathBuf,
    dest_prefix: String,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let snapshot = Snapshot::open(&args.source, ReadMode::Map)?;
    patch::copy_with_freelist(&snapshot, &args.target)?;
    let rule = PrefixRule::new("/registry", &args.dest_prefix, Unmatched::Keep)?;
    rewrite(&snapshot, &rule, &args.target)?;
    append_sha256(&args.target)
}

type Pair = (Vec<u8>, Vec<u8>);

fn rewrite(snapshot: &Snapshot, rule: &PrefixRule, target: &Path) -> Result<()> {
    let mut db = BoltOptions::builder().no_sync().build().open(target)?;
    let bucket = snapshot.bucket(b"key")?.context("no bucket \"key\"")?;
    let mut leaves = Leaves::new(snapshot, &bucket);
    let mut batch = Vec::new();
    while let Some(leaf) = leaves.next()? {
        for index in 0..leaf.count() {
            let element = leaf.element(index)?;
            let changed = changed(rule, element.value)?;
            batch.extend(changed.map(|value| (element.key.to_vec(), value)));
        }
        if batch.len() >= RECORDS_PER_TRANSACTION {
            put(&mut db, &batch)?;
            batch.clear();
        }
    }
    put(&mut db, &batch)
}

/// The new value; `None` where the record stays.
fn changed(rule: &PrefixRule, value: &[u8]) -> Result<Option<Vec<u8>>> {
    let judged = judge(rule, value).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let Record::Matched { splice, .. } = judged.record else { return Ok(None) };
    let (before, after) = (&value[..splice.cut.start], &value[splice.cut.end..]);
    Ok(Some([before, &splice.head(), rule.dst().as_bytes(), after].concat()))
}

fn put(db: &mut Bolt, batch: &[Pair]) -> Result<()> {
    db.update(|mut tx| {
        let mut bucket = tx.bucket_mut("key").ok_or(bbolt_rs::Error::BucketNotFound)?;
        batch.iter().try_for_each(|(key, value)| bucket.put(key, value))
    })?;
    Ok(())
}

fn append_sha256(target: &Path) -> Result<()> {
    let mut file = File::options().read(true).append(true).open(target)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match io::Read::read(&mut file, &mut buffer)? {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    file.write_all(&hash.finalize())?;
    Ok(file.sync_all()?)
}
