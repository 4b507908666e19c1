//! `hashkv` against the servers that a snapshot came from and those that restored it.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use etcd_client::{CompactionOptions, DeleteOptions};
use etcdprefix_testkit::{EtcdServer, Version, block_on, save, scenario};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{fixtures, run, said, stdout};

/// What we say of `snapshot` at `revision`.
fn ours(snapshot: &Path, revision: i64) -> Result<Value> {
    let path = snapshot.to_str().context("the path is UTF-8")?;
    let text = stdout(["hashkv", path, "--rev", &revision.to_string(), "-w", "json"])?;
    Ok(serde_json::from_str(&text)?)
}

/// What a server of that version answers by our result: the alternative of older versions where
/// there is one.
fn expected(version: Version, kv: &Value) -> (Option<i64>, Option<i64>) {
    let of = |kv: &Value| (kv["hash"].as_i64(), kv["compact_revision"].as_i64());
    let others = kv["alternatives"].as_array().expect("a list");
    let older = others.iter().find(|other| other["of"] == "older_etcd");
    match older {
        Some(other) if version < Version::V3_5_16 => of(other),
        _ => of(kv),
    }
}

/// Asks the server at its latest revision and at others down to the compacted one. The result is
/// how many answers agreed.
fn agree(server: &EtcdServer, snapshot: &Path) -> Result<usize> {
    let version = server.version();
    let latest = ours(snapshot, 0)?;
    let number = |name: &str| latest[name].as_i64().context("a number");
    let (first, last) = (number("compact_revision")?, number("hash_revision")?);
    let asked =
        [0, last, first, first + 1, first + (last - first) / 3, first + (last - first) * 2 / 3];
    // Up to 3.5.1 at least the compacted revision is refused, but not as the latest one.
    let least = if version >= Version::V3_5_16 { first.max(1) } else { first + 1 };
    let mut agreed = 0;
    for revision in asked.into_iter().filter(|&rev| rev == 0 || (least..=last).contains(&rev)) {
        let answer =
            block_on(async { anyhow::Ok(server.client().await?.hash_kv(revision).await?) })
                .with_context(|| format!("{version} at {revision}"))?;
        if revision == first && answer.compact_version() < first {
            // It has compacted since it was started, and answers what it stored at that moment
            // (`hashStorage`, etcd 3.5.5 and newer): of records that are gone.
            continue;
        }
        let theirs = (Some(i64::from(answer.hash())), Some(answer.compact_version()));
        let kv = ours(snapshot, revision)?;
        let ours = expected(version, &kv);
        ensure!(ours == theirs, "{version} at {revision}: {theirs:?}, ours {ours:?} of {kv}");
        agreed += 1;
    }
    refused_by_both(server, snapshot, last + 1)?;
    if first > 1 {
        refused_by_both(server, snapshot, first - 1)?;
    }
    Ok(agreed)
}

fn refused_by_both(server: &EtcdServer, snapshot: &Path, revision: i64) -> Result<()> {
    let refused =
        block_on(async { anyhow::Ok(server.client().await?.hash_kv(revision).await.is_err()) });
    ensure!(refused?, "{} answers at {revision}", server.version());
    let path = snapshot.to_str().context("the path is UTF-8")?;
    let output = run(["hashkv", path, "--rev", &revision.to_string()])?;
    ensure!(output.status.code() == Some(2), "{}", said(&output));
    Ok(())
}

/// Every version, having restored the snapshot.
fn every_version_agrees(snapshot: &Path) -> Result<()> {
    for version in Version::ALL {
        let server = EtcdServer::restored(version, snapshot)?;
        let agreed = agree(&server, snapshot);
        assert!(agreed.with_context(|| snapshot.display().to_string())? >= 2);
    }
    Ok(())
}

fn made_by_each(make: fn(Version, &Path) -> Result<()>) -> Result<()> {
    for version in Version::ALL {
        let folder = TempDir::new()?;
        let snapshot = folder.path().join("snap.db");
        make(version, &snapshot)?;
        every_version_agrees(&snapshot)?;
    }
    Ok(())
}

#[test]
fn of_compacted_histories() -> Result<()> {
    made_by_each(scenario::compacted)
}

/// Saved while a compaction was scheduled and not finished: a server goes on with it at its start.
#[test]
fn of_compactions_under_way() -> Result<()> {
    made_by_each(|version, snapshot| {
        scenario::compacting(version, snapshot)?;
        let kv = ours(snapshot, 0)?;
        let other = &kv["alternatives"][0];
        assert_eq!(other["of"], "finished_compaction", "{kv}");
        assert!(other["compact_revision"].as_i64() < kv["compact_revision"].as_i64(), "{kv}");
        assert_ne!(other["hash"], kv["hash"], "{kv}");
        Ok(())
    })
}

/// The very server that a snapshot came from, through writes, deletes and compactions.
#[test]
fn of_the_server_that_was_saved() -> Result<()> {
    for version in Version::ALL {
        let folder = TempDir::new()?;
        let (base, snapshot) = (folder.path().join("base.db"), folder.path().join("snap.db"));
        scenario::history(version, &base)?;
        let server = EtcdServer::restored(version, &base)?;
        assert!(agree(&server, &base)? >= 4);
        for key in ["/registry/pods/default/pod-28", "/registry/pods/default/pod-29"] {
            // A tombstone right at the compacted revision.
            block_on(async {
                let mut client = server.client().await?;
                let gone = client.delete(key, None).await?;
                let at = gone.header().context("no header")?.revision();
                client.compact(at, Some(CompactionOptions::new().with_physical())).await?;
                anyhow::Ok(())
            })?;
            save::snapshot(&server, &snapshot)?;
            agree(&server, &snapshot)?;
            block_on(async { anyhow::Ok(server.client().await?.put(key, "again", None).await?) })?;
            save::snapshot(&server, &snapshot)?;
            assert!(agree(&server, &snapshot)? >= 2);
        }
    }
    Ok(())
}

/// No key lives, so nothing is left out for not being kept, and the rules of versions differ.
#[test]
fn of_a_store_without_keys() -> Result<()> {
    for version in Version::ALL {
        let folder = TempDir::new()?;
        let snapshot = folder.path().join("snap.db");
        let server = EtcdServer::start(version, &[])?;
        save::snapshot(&server, &snapshot)?;
        agree(&server, &snapshot)?;
        block_on(async {
            let mut client = server.client().await?;
            for key in ["/a", "/b", "/a"] {
                client.put(key, "1", None).await?;
            }
            let gone = client.delete("/", Some(DeleteOptions::new().with_prefix())).await?;
            let at = gone.header().context("no header")?.revision();
            client.compact(at, Some(CompactionOptions::new().with_physical())).await?;
            anyhow::Ok(())
        })?;
        save::snapshot(&server, &snapshot)?;
        agree(&server, &snapshot)?;
        let others = ours(&snapshot, 0)?["alternatives"].as_array().expect("a list").len();
        assert_eq!(
            others,
            usize::from(version >= Version::V3_5_16),
            "{version} keeps the tombstone"
        );
        for restoring in Version::ALL {
            agree(&EtcdServer::restored(restoring, &snapshot)?, &snapshot)?;
        }
    }
    Ok(())
}

#[test]
fn of_a_bumped_revision() -> Result<()> {
    let folder = TempDir::new()?;
    let (base, snapshot) = (folder.path().join("base.db"), folder.path().join("snap.db"));
    scenario::history(Version::V3_5_16, &base)?;
    scenario::bumped(&base, &snapshot)?;
    every_version_agrees(&snapshot)
}

#[test]
fn of_every_fixture() -> Result<()> {
    fixtures()?.iter().try_for_each(|snapshot| every_version_agrees(snapshot))
}

/// However it is read.
#[test]
fn is_the_same_on_any_number_of_threads() -> Result<()> {
    let folder = TempDir::new()?;
    let snapshot = folder.path().join("snap.db");
    scenario::compacted(Version::V3_5_1, &snapshot)?;
    let path = snapshot.to_str().context("the path is UTF-8")?;
    let expected = stdout(["hashkv", path])?;
    for extra in [&["--threads", "1"][..], &["--no-mmap", "--threads", "7"]] {
        assert_eq!(stdout(["hashkv", path].iter().chain(extra))?, expected, "{extra:?}");
    }
    Ok(())
}
