//! A store equals itself; a store that differs in one thing does not.

use std::fs;
use std::path::{Path, PathBuf};

use etcdprefix_testkit::compare::{Compared, compare};
use etcdprefix_testkit::{EtcdServer, PrefixMap, Version, block_on, save, scenario, tamper};
use tempfile::TempDir;

type Result = anyhow::Result<()>;

fn with_itself(version: Version, snapshot: &Path) -> anyhow::Result<Compared> {
    let source = EtcdServer::restored(version, snapshot)?;
    let dest = EtcdServer::restored(version, snapshot)?;
    compare(&source, &dest, &PrefixMap::identity(), snapshot)
}

fn in_folder(make: impl Fn(&Path) -> Result) -> anyhow::Result<(TempDir, PathBuf)> {
    let folder = TempDir::new()?;
    let snapshot = folder.path().join("snapshot.db");
    make(&snapshot)?;
    Ok((folder, snapshot))
}

#[test]
fn a_history_equals_itself_on_each_version() -> Result {
    for version in Version::ALL {
        let (_folder, snapshot) = in_folder(|to| scenario::history(version, to))?;
        let seen = with_itself(version, &snapshot)?;
        assert!(seen.revisions_read > 40 && seen.keys >= 80 && seen.hashes == 8, "{seen:?}");
        assert!(seen.events > 300 && seen.leases == 3 && seen.compacted < 0, "{seen:?}");
    }
    Ok(())
}

#[test]
fn a_compacted_store_equals_itself_on_each_version() -> Result {
    for version in Version::ALL {
        let (_folder, snapshot) = in_folder(|to| scenario::compacted(version, to))?;
        let seen = with_itself(version, &snapshot)?;
        assert!(seen.compacted > 200 && seen.hashes >= 4, "{seen:?}");
    }
    Ok(())
}

#[test]
fn a_compacting_store_equals_itself_on_each_version() -> Result {
    for version in Version::ALL {
        let (_folder, snapshot) = in_folder(|to| scenario::compacting(version, to))?;
        let seen = with_itself(version, &snapshot)?;
        assert!(seen.compacted > 1_000 && seen.hashes >= 4, "{seen:?}");
    }
    Ok(())
}

#[test]
fn a_bumped_store_equals_itself_on_each_version() -> Result {
    let (_base, base) = in_folder(|to| scenario::history(Version::V3_5_16, to))?;
    let (_folder, snapshot) = in_folder(|to| scenario::bumped(&base, to))?;
    for version in Version::ALL {
        let seen = with_itself(version, &snapshot)?;
        assert!(seen.revision > 1_000_000 && seen.hashes >= 4, "{version}: {seen:?}");
    }
    Ok(())
}

/// Each write, made on one side alone, must be found.
#[test]
fn differences_are_found() -> Result {
    let (_folder, snapshot) = in_folder(|to| scenario::history(Version::V3_5_16, to))?;
    let (_other, changed) = in_folder(|to| {
        let server = EtcdServer::restored(Version::V3_5_16, &snapshot)?;
        block_on(async {
            let mut client = server.client().await?;
            client.put("/registry/pods/default/pod-20", "x", None).await?;
            anyhow::Ok(())
        })?;
        save::snapshot(&server, to).map(drop)
    })?;
    let source = EtcdServer::restored(Version::V3_5_16, &snapshot)?;
    let dest = EtcdServer::restored(Version::V3_5_16, &changed)?;
    let error = compare(&source, &dest, &PrefixMap::identity(), &snapshot).expect_err("differs");
    assert!(format!("{error:#}").contains("(revision, compacted)"), "{error:#}");

    let source = EtcdServer::restored(Version::V3_5_16, &snapshot)?;
    let dest = EtcdServer::restored(Version::V3_5_16, &snapshot)?;
    let map = PrefixMap::new("/registry", "/c1");
    let error = compare(&source, &dest, &map, &snapshot).expect_err("was never renamed");
    assert!(format!("{error:#}").contains("keys at revision"), "{error:#}");
    Ok(())
}

/// A true rename is accepted; one with a single record left behind, wherever in the history, not.
#[test]
fn one_forgotten_record_is_found() -> Result {
    let version = Version::V3_5_16;
    let (folder, snapshot) = in_folder(|to| scenario::compacted(version, to))?;
    let original = fs::read(&snapshot)?;
    let names = ["/registry", "/renamed1"];
    let map = PrefixMap::new(names[0], names[1]);
    let judge = |forgotten: Option<usize>| {
        let (bytes, matched) = tamper::rename_in_place(&original, names, forgotten)?;
        let renamed = folder.path().join("renamed.db");
        fs::write(&renamed, bytes)?;
        let source = EtcdServer::restored(version, &snapshot)?;
        let dest = EtcdServer::restored(version, &renamed)?;
        anyhow::Ok((compare(&source, &dest, &map, &snapshot), matched))
    };
    let (accepted, matched) = judge(None)?;
    assert!(accepted?.moved > 60);
    for step in 0..8 {
        let forgotten = (matched - 1) * step / 7;
        let (judged, _) = judge(Some(forgotten))?;
        assert!(judged.is_err(), "record {forgotten} of {matched} was forgotten: {judged:?}");
    }
    Ok(())
}
