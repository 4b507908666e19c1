//! Fills live servers with everything that a snapshot can hold, always in the same way.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use etcd_client::{
    Client, CompactionOptions, DeleteOptions, LeaseGrantOptions, PutOptions, Txn, TxnOp,
};

use crate::bolt::Bolt;
use crate::random::Random;
use crate::tools::RestoreOptions;
use crate::{EtcdServer, Version, block_on, hashkv, save};

/// Large enough for overflow runs of many pages; etcd's request limit is 1.5 MiB.
const VALUE_BYTES: [usize; 9] = [0, 1, 100, 3_900, 4_096, 5_000, 65_536, 1_000_000, 1_500_000];

/// Records enough that a compaction with a batch of one takes seconds.
const SLOW_RECORDS: usize = 1_000;

/// Keys that are not UTF-8, not under the prefix, or nearly so.
const ODD_KEYS: [&[u8]; 12] = [
    b"/registry",
    b"/registry/",
    b"/registry//double",
    b"/registry/\xff\xfe\x00\x80bytes",
    b"/registry-gardener/x",
    b"/registryx",
    b"/registr",
    b"registry/no-slash",
    b"/other/x",
    b"/other/registry/x",
    b"\xff\xffbytes",
    b"\x01",
];

/// Histories, leases, transactions, all sizes of values, odd keys; nothing compacted.
pub fn history(version: Version, to: &Path) -> Result<()> {
    let server = EtcdServer::start(version, &[])?;
    block_on(async { fill(&mut server.client().await?).await })?;
    save::snapshot(&server, to).map(drop)
}

/// As [`history`], then compacted in the middle and written to again.
pub fn compacted(version: Version, to: &Path) -> Result<()> {
    let server = EtcdServer::start(version, &[])?;
    block_on(async {
        let mut client = server.client().await?;
        fill(&mut client).await?;
        let middle = revision(&mut client).await? * 2 / 3;
        client.compact(middle, Some(CompactionOptions::new().with_physical())).await?;
        updates(&mut client, 2).await?;
        // A tombstone right at the compaction's revision: versions differ in what they keep.
        let gone = client.delete("/registry/pods/default/pod-29", None).await?;
        let at = gone.header().context("no header")?.revision();
        client.compact(at, Some(CompactionOptions::new().with_physical())).await?;
        updates(&mut client, 1).await
    })?;
    save::snapshot(&server, to)?;
    let (scheduled, finished) = compaction_marks(to)?;
    ensure!(scheduled.is_some() && scheduled == finished, "{scheduled:?} != {finished:?}");
    Ok(())
}

/// Saved while a compaction was under way: scheduled, not finished.
pub fn compacting(version: Version, to: &Path) -> Result<()> {
    let slow = ["--experimental-compaction-batch-limit", "1"];
    let server = EtcdServer::start(version, &slow)?;
    block_on(async {
        let mut client = server.client().await?;
        fill(&mut client).await?;
        for round in 0..SLOW_RECORDS {
            client.put("/registry/slow", round.to_string(), None).await?;
        }
        let latest = revision(&mut client).await?;
        client.compact(latest - 10, None).await?;
        save::stream(&mut client, to).await
    })?;
    let (scheduled, finished) = compaction_marks(to)?;
    ensure!(scheduled > finished, "scheduled {scheduled:?}, finished {finished:?}: too late");
    Ok(())
}

/// A store whose revision was raised at restore, which leaves a record with an empty value; then
/// served and written to. Made by 3.5.16, the only version here that can.
pub fn bumped(base: &Path, to: &Path) -> Result<()> {
    let options = RestoreOptions { bump_revision: Some(1_000_000), ..RestoreOptions::default() };
    let server = EtcdServer::restored_with(Version::V3_5_16, base, options)?;
    block_on(async { updates(&mut server.client().await?, 2).await })?;
    save::snapshot(&server, to)?;
    let bolt = Bolt::open(to)?;
    let records = bolt.bucket(b"key").context("no key bucket")?;
    ensure!(records.iter().any(|(_, value)| value.is_empty()), "the bump left no empty record");
    Ok(())
}

/// `scheduledCompactRev` and `finishedCompactRev` of a snapshot.
pub fn compaction_marks(snapshot: &Path) -> Result<(Option<i64>, Option<i64>)> {
    let bolt = Bolt::open(snapshot)?;
    let meta = bolt.bucket(b"meta").context("no meta bucket")?;
    let mark = |name: &[u8]| {
        let (_, value) = meta.iter().find(|(key, _)| *key == name)?;
        Some(hashkv::revision(value)?.0)
    };
    Ok((mark(b"scheduledCompactRev"), mark(b"finishedCompactRev")))
}

async fn fill(client: &mut Client) -> Result<()> {
    client.put("compact_rev_key", "1", None).await?;
    updates(client, 4).await?;
    generations(client).await?;
    leases(client).await?;
    transactions(client).await?;
    for bytes in VALUE_BYTES {
        client.put(format!("/registry/sized/{bytes}"), noise(bytes), None).await?;
    }
    for key in ODD_KEYS {
        client.put(key, "odd", None).await?;
    }
    client.put(format!("/registry/long/{}", "k".repeat(3_000)), "long key", None).await?;
    client.put("compact_rev_key", "2", None).await?;
    Ok(())
}

async fn updates(client: &mut Client, rounds: usize) -> Result<()> {
    for round in 0..rounds {
        for pod in 0..30 {
            let key = format!("/registry/pods/default/pod-{pod}");
            client.put(key, format!("pod {pod} round {round}"), None).await?;
        }
    }
    Ok(())
}

/// Deletes and re-creations: a key's version restarts, its create revision moves.
async fn generations(client: &mut Client) -> Result<()> {
    for pod in 0..15 {
        client.delete(format!("/registry/pods/default/pod-{pod}"), None).await?;
    }
    for pod in 0..8 {
        client.put(format!("/registry/pods/default/pod-{pod}"), "again", None).await?;
    }
    for pod in 0..3 {
        client.delete(format!("/registry/pods/default/pod-{pod}"), None).await?;
    }
    client.put("/other/gone", "", None).await?;
    client.delete("/other/gone", None).await?;
    Ok(())
}

/// Several keys on one lease, keys moved between leases, a lease outside, one without keys.
async fn leases(client: &mut Client) -> Result<()> {
    for (lease, seconds, keys) in [(0x1001, 3_600, 5), (0x1002, 7_200, 3), (0x1003, 9_000, 0)] {
        client.lease_grant(seconds, Some(LeaseGrantOptions::new().with_id(lease))).await?;
        for key in 0..keys {
            let options = PutOptions::new().with_lease(lease);
            let name = format!("/registry/leases/{lease:x}/{key}");
            client.put(name, "held", Some(options)).await?;
        }
    }
    let moved = PutOptions::new().with_lease(0x1002);
    client.put("/registry/leases/1001/0", "moved", Some(moved.clone())).await?;
    client.put("/registry/leases/1001/1", "released", None).await?;
    client.put("/other/leased", "held", Some(moved)).await?;
    Ok(())
}

/// One revision with many sub-revisions: puts, a delete of a range, keys in and outside.
async fn transactions(client: &mut Client) -> Result<()> {
    for round in 0..3 {
        let puts = (0..40).map(|key| {
            TxnOp::put(format!("/registry/txn/{key:02}"), format!("round {round}"), None)
        });
        let outside = TxnOp::put("/other/txn", round.to_string(), None);
        let range = DeleteOptions::new().with_prefix();
        let gone = TxnOp::delete(format!("/registry/pods/default/pod-2{round}"), Some(range));
        let operations: Vec<TxnOp> = puts.chain([outside, gone]).collect();
        client.txn(Txn::new().and_then(operations)).await?;
    }
    let range = DeleteOptions::new().with_range("/registry/txn/20");
    client.delete("/registry/txn/10", Some(range)).await?;
    Ok(())
}

async fn revision(client: &mut Client) -> Result<i64> {
    let status = client.status().await?;
    Ok(status.header().context("no header")?.revision())
}

/// Bytes that don't repeat, the same for the same length.
fn noise(bytes: usize) -> Vec<u8> {
    let mut value = vec![0; bytes];
    Random::new(bytes as u64).fill(&mut value);
    value
}
