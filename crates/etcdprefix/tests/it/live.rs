//! Stores made here by each version, rewritten, and served by the same version.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use etcdprefix_testkit::compare::Compared;
use etcdprefix_testkit::{EtcdServer, Version, bolt::Bolt, scenario};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    DEST, change, number, rewrite_and_judge, run, said, serve_and_compare, stdout,
};

/// Makes a store with each version, rewrites it, serves it with that version.
fn on_each_version(
    make: fn(Version, &Path) -> Result<()>,
    check: fn(&Value, &Compared),
) -> Result<()> {
    for version in Version::ALL {
        let folder = TempDir::new()?;
        let (source, output) = (folder.path().join("source.db"), folder.path().join("output.db"));
        make(version, &source)?;
        let result = rewrite_and_judge(&source, &output, &[])?;
        check(&result, &serve_and_compare(version, &source, &output)?);
        back_again(&source, &output)?;
    }
    Ok(())
}

/// Rewriting the output back gives the source's records: the status hash covers all of them.
fn back_again(source: &Path, output: &Path) -> Result<()> {
    let back = output.with_extension("back");
    let result = change(output, &back, [DEST, "/registry"], &[])?;
    let path = source.to_str().context("the path is UTF-8")?;
    let status: Value = serde_json::from_str(&stdout(["snapshot", "status", "-w", "json", path])?)?;
    // As etcdutl prints it, without leading zeros.
    let hash = format!("{:x}", status["hash"].as_u64().context("no hash")?);
    assert_eq!(result["status_hash_after"], Value::from(hash), "{result}");
    Ok(())
}

#[test]
fn histories() -> Result<()> {
    on_each_version(scenario::history, |result, seen| {
        assert!(seen.compacted < 0 && seen.leases == 3 && seen.events > 300, "{seen:?}");
        assert_eq!(number(&result["known"], "compact_rev_key"), 2, "{result}");
        assert_eq!(number(&result["leases"], "leases"), seen.leases as u64, "{result}");
        assert_eq!(number(&result["leases"], "orphaned_keys"), 0, "{result}");
        // Values of 1.5 MB, keys of every odd kind, and neighbours of the prefix stay apart.
        let top = result["unmatched_components"]["top"].as_array().expect("a list");
        let has = |name: &str| top.iter().any(|entry| entry["component"] == name);
        assert!(has("/registryx") && has("/registry-gardener") && has("/other"), "{result}");
    })
}

#[test]
fn compacted_histories() -> Result<()> {
    on_each_version(scenario::compacted, |result, seen| {
        assert!(seen.compacted > 200, "{seen:?}");
        assert_eq!(number(&result["compaction"], "finished_revision"), seen.compacted as u64);
    })
}

#[test]
fn compactions_under_way() -> Result<()> {
    on_each_version(scenario::compacting, |result, seen| {
        assert!(seen.compacted > 1_000, "{seen:?}");
        let compaction = &result["compaction"];
        let finished = compaction["finished_revision"].as_u64().unwrap_or_default();
        assert!(number(compaction, "scheduled_revision") > finished, "{result}");
    })
}

#[test]
fn a_bumped_revision() -> Result<()> {
    let folder = TempDir::new()?;
    let base = folder.path().join("base.db");
    let (source, output) = (folder.path().join("source.db"), folder.path().join("output.db"));
    scenario::history(Version::V3_5_16, &base)?;
    scenario::bumped(&base, &source)?;
    let result = rewrite_and_judge(&source, &output, &[])?;
    assert_eq!(number(&result["known"], "empty_value"), 1, "{result}");
    for version in Version::ALL {
        let seen = serve_and_compare(version, &source, &output)?;
        assert!(seen.revision > 1_000_000, "{seen:?}");
    }
    Ok(())
}

/// The result does not depend on how it was read or by how many threads.
#[test]
fn the_output_is_the_same_however_it_is_made() -> Result<()> {
    let folder = TempDir::new()?;
    let (source, output) = (folder.path().join("source.db"), folder.path().join("output.db"));
    scenario::history(Version::V3_5_1, &source)?;
    change(&source, &output, ["/registry", DEST], &[])?;
    let expected = fs::read(&output)?;
    for extra in [["--no-mmap", "--quiet"], ["--threads", "1"], ["--threads", "7"]] {
        let other = folder.path().join(extra.concat());
        let mut arguments: Vec<&OsStr> =
            ["change-prefix", "--dest-prefix", DEST, "--db"].iter().map(OsStr::new).collect();
        arguments.extend([source.as_os_str(), OsStr::new("--output"), other.as_os_str()]);
        stdout(arguments.into_iter().chain(extra.iter().map(OsStr::new)))?;
        assert!(fs::read(&other)? == expected, "{extra:?} gives other bytes");
    }
    Ok(())
}

/// A running server's database is refused; a dead one's is a snapshot without trailer.
#[test]
fn the_database_of_a_server() -> Result<()> {
    for version in Version::ALL {
        let folder = TempDir::new()?;
        let snapshot = folder.path().join("snapshot.db");
        scenario::history(version, &snapshot)?;
        let server = EtcdServer::restored(version, &snapshot)?;
        let database = server.database();
        let refused = in_place(&database, &["--skip-hash-check"])?;
        assert_eq!(refused.status.code(), Some(6), "{}", said(&refused));

        let stopped = server.kill();
        let before = fs::read(&database)?;
        let path = database.to_str().context("the path is UTF-8")?;
        let checked: Value = serde_json::from_str(&stdout(["check", path, "-w", "json"])?)?;
        // It has grown ahead of its pages, and nothing follows them.
        assert_eq!(checked["totals"], serde_json::json!({"trailer_missing": 1}), "{checked}");
        let refused = in_place(&database, &[])?;
        assert_eq!(refused.status.code(), Some(7), "{}", said(&refused));
        assert!(fs::read(&database)? == before, "the refused file was touched");
        let done = in_place(&database, &["--skip-hash-check"])?;
        assert_eq!(done.status.code(), Some(0), "{}", said(&done));
        // It has a trailer now, so the restore's hash check is on.
        EtcdServer::restored(version, &database)?;
        assert!(Bolt::open(&database)?.unreachable_pages().is_empty());
        drop(stopped);
    }
    Ok(())
}

fn in_place(db: &Path, extra: &[&str]) -> Result<std::process::Output> {
    let head = ["change-prefix", "--dest-prefix", DEST, "--db"].map(OsStr::new);
    run(head.into_iter().chain([db.as_os_str()]).chain(extra.iter().map(OsStr::new)))
}
