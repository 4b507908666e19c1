//! `verify` on output that others made or laid out anew.

use std::fs;
use std::path::Path;
use std::process::Output;

use anyhow::{Context, Result};
use etcdprefix_testkit::{EtcdServer, Version, save, scenario, tamper, tools};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{DEST, change, fixture, number, run, said};

fn verify(source: &Path, output: &Path, dest: &str, extra: &[&str]) -> Result<Output> {
    let path = |path: &Path| Ok::<_, anyhow::Error>(path.to_str().context("UTF-8")?.to_owned());
    let (source, output) = (path(source)?, path(output)?);
    let head = ["verify", &source, &output, "--dest-prefix", dest, "-w", "json"];
    run(head.iter().chain(extra))
}

fn proved(output: &Output) -> Result<Value> {
    assert_eq!(output.status.code(), Some(0), "{}", said(output));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// A second writer: the test kit renames in place, each record or all but one.
#[test]
fn a_rename_in_place_is_proved_and_each_forgotten_record_is_named() -> Result<()> {
    let folder = TempDir::new()?;
    let (source, output) = (fixture("k8s120-3.4.23.db"), folder.path().join("out.db"));
    let bytes = fs::read(&source)?;
    let (renamed, matched) = tamper::rename_in_place(&bytes, ["/registry", "/c1234567"], None)?;
    fs::write(&output, renamed)?;
    let result = proved(&verify(&source, &output, "/c1234567", &[])?)?;
    assert_eq!(number(&result, "renamed"), matched as u64, "{result}");
    assert_eq!(result["verification"], "inverse_hash");
    for forgotten in 0..matched {
        let prefixes = ["/registry", "/c1234567"];
        fs::write(&output, tamper::rename_in_place(&bytes, prefixes, Some(forgotten))?.0)?;
        let refused = verify(&source, &output, "/c1234567", &["--quiet"])?;
        assert_eq!(refused.status.code(), Some(20), "{}", said(&refused));
        let error = String::from_utf8(refused.stderr)?;
        assert!(error.contains("bucket key: record "), "{error}");
        assert!(error.contains(" has another key than the rule gives"), "{error}");
    }
    Ok(())
}

/// A defragmentation changes every page and no pair.
#[test]
fn a_defragmented_database_is_proved() -> Result<()> {
    for version in Version::ALL {
        let folder = TempDir::new()?;
        let (source, output) = (folder.path().join("source.db"), folder.path().join("out.db"));
        scenario::compacted(version, &source)?;
        change(&source, &output, ["/registry", DEST], &[])?;
        let ours = proved(&verify(&source, &output, DEST, &[])?)?;
        let data = folder.path().join("data");
        let database = data.join("member/snap/db");
        fs::create_dir_all(data.join("member/snap"))?;
        fs::copy(&output, &database)?;
        tools::defrag(version, &data)?;
        let refused = verify(&source, &database, DEST, &[])?;
        assert_eq!(refused.status.code(), Some(7), "{}", said(&refused));
        let theirs = proved(&verify(&source, &database, DEST, &["--skip-hash-check"])?)?;
        assert_eq!(theirs["output"]["status_hash"], ours["output"]["status_hash"], "{version}");
        assert_eq!(theirs["output"]["hashkv"], ours["output"]["hashkv"], "{version}");
        assert!(fs::read(&database)? != fs::read(&output)?, "{version} changed nothing");
    }
    Ok(())
}

/// A restore writes the cluster's own buckets anew, which is told as such; the records stay.
#[test]
fn a_restored_snapshot_differs_beside_its_records() -> Result<()> {
    for version in Version::ALL {
        let folder = TempDir::new()?;
        let [source, output, again] =
            ["source.db", "out.db", "again.db"].map(|name| folder.path().join(name));
        scenario::history(version, &source)?;
        change(&source, &output, ["/registry", DEST], &[])?;
        save::snapshot(&EtcdServer::restored(version, &output)?, &again)?;
        let refused = verify(&source, &again, DEST, &[])?;
        assert_eq!(refused.status.code(), Some(20), "{}", said(&refused));
        let error = String::from_utf8(refused.stderr)?;
        let beside = ["cluster", "members", "meta"];
        let named = beside.iter().any(|name| error.contains(&format!(": bucket {name}")));
        assert!(named, "{version}: {error}");
    }
    Ok(())
}
