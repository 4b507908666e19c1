//! `hashkv` against the servers that a snapshot came from and those that restored it.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use etcd_client::{CompactionOptions, DeleteOptions};
use etcdprefix_core::progress::Silent;
use etcdprefix_core::read::{ReadMode, Snapshot};
use etcdprefix_core::verify::{Answering, HashKv, HashKvAt, hash_kv_at};
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

/// A server that compacts after the snapshot was saved: at a tombstone, at a key that lives and is
/// deleted later, and at the latest revision, which is a tombstone too. Once more, now that it has
/// been compacted before.
fn agrees_through_compactions(server: &EtcdServer, key: &str) -> Result<()> {
    let folder = TempDir::new()?;
    let path = folder.path().join("snap.db");
    for _ in 0..2 {
        let (middle, latest) = block_on(async {
            write_and_delete(server, key).await?;
            let middle = write_and_delete(server, key).await?;
            anyhow::Ok((middle, write_and_delete(server, key).await?))
        })?;
        save::snapshot(server, &path)?;
        let snapshot = Snapshot::open(&path, ReadMode::Map)?;
        answers_alike(server, &snapshot, &[latest, middle, middle + 1], false)?;
        for at in [middle, middle + 1] {
            compact(server, at)?;
            answers_alike(server, &snapshot, &[latest, latest - 1, middle + 2], false)?;
        }
        compact(server, latest)?;
        // Up to 3.5.1 at least the compacted revision is answered only as the latest one.
        let asked = if server.version() < Version::V3_5_16 { 0 } else { latest };
        answers_alike(server, &snapshot, &[asked], true)?;
    }
    Ok(())
}

/// The revision of the delete.
async fn write_and_delete(server: &EtcdServer, key: &str) -> Result<i64> {
    let mut client = server.client().await?;
    for value in ["1", "2"] {
        client.put(key, value, None).await?;
    }
    let gone = client.delete(key, None).await?;
    Ok(gone.header().context("no header")?.revision())
}

fn compact(server: &EtcdServer, revision: i64) -> Result<()> {
    let options = CompactionOptions::new().with_physical();
    block_on(async {
        server.client().await?.compact(revision, Some(options)).await?;
        anyhow::Ok(())
    })
}

fn answers_alike(
    server: &EtcdServer,
    snapshot: &Snapshot,
    asked: &[i64],
    just_compacted: bool,
) -> Result<()> {
    let version = server.version();
    for &revision in asked {
        let answer =
            block_on(async { anyhow::Ok(server.client().await?.hash_kv(revision).await?) })
                .with_context(|| format!("{version} at {revision}"))?;
        let compacted = answer.compact_version();
        let at = HashKvAt { revision, compacted: Some(compacted) };
        let kv = hash_kv_at(snapshot, at, 2, &Silent)?;
        let ours = expected_at(version, just_compacted, &kv);
        ensure!(ours == answer.hash(), "{version} at {at:?}: {}, {kv:?}", answer.hash());
    }
    Ok(())
}

/// What a server of that version answers, about the revision that it was just compacted at or not.
fn expected_at(version: Version, just: bool, kv: &HashKv) -> u32 {
    let special = match version {
        Version::V3_5_16 if just => Answering::JustCompacted,
        Version::V3_5_16 => return kv.hash,
        _ => Answering::OlderEtcd,
    };
    let other = kv.alternatives.iter().find(|other| other.of == special);
    other.map_or(kv.hash, |other| other.hash)
}

#[test]
fn of_a_server_that_has_compacted_since() -> Result<()> {
    for version in Version::ALL {
        let folder = TempDir::new()?;
        let base = folder.path().join("base.db");
        scenario::history(version, &base)?;
        let server = EtcdServer::restored(version, &base)?;
        agrees_through_compactions(&server, "/registry/pods/default/pod-28")?;
    }
    Ok(())
}

#[test]
fn of_a_server_without_keys_that_has_compacted_since() -> Result<()> {
    for version in Version::ALL {
        agrees_through_compactions(&EtcdServer::start(version, &[])?, "/a")?;
    }
    Ok(())
}

/// Neither less than the file's compaction nor more than what is asked for.
#[test]
fn of_a_compaction_that_cannot_be() -> Result<()> {
    let folder = TempDir::new()?;
    let path = folder.path().join("snap.db");
    scenario::compacted(Version::V3_5_16, &path)?;
    let snapshot = Snapshot::open(&path, ReadMode::Map)?;
    let hash = |revision, compacted| {
        let at = HashKvAt { revision, compacted };
        hash_kv_at(&snapshot, at, 2, &Silent)
    };
    let kv = hash(0, None)?;
    let (first, last) = (kv.compact_revision, kv.revision);
    assert_eq!(hash(0, Some(first))?, kv);
    for (revision, compacted) in
        [(0, -1), (0, first - 1), (0, last + 1), (last - 1, last), (last + 1, first)]
    {
        let result = hash(revision, Some(compacted));
        let refused = matches!(result, Err(etcdprefix_core::Error::NoSuchRevision { .. }));
        assert!(refused, "{revision} and {compacted}: {result:?}");
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
