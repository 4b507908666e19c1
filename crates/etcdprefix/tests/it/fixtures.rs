//! What real etcd makes of the rewritten snapshots of testdata.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use etcdprefix_testkit::{Version, tamper};
use tempfile::TempDir;

use crate::support::{
    DEST, fixture, fixtures, number, rewrite_and_judge, run, said, serve_and_compare,
};

/// The snapshot that holds a Secret sealed with aesgcm, which the command refuses unless told.
const SEALED: &str = "k8s-3.5.1.db";

fn is_kubernetes(fixture: &Path) -> bool {
    fixture.file_name().is_some_and(|name| name.to_string_lossy().starts_with("k8s"))
}

fn each_is_served_by(version: Version) -> Result<()> {
    let folder = TempDir::new()?;
    for source in fixtures()? {
        let output = folder.path().join(source.file_name().expect("a file"));
        let extra: &[&str] =
            if source.ends_with(SEALED) { &["--allow-undecryptable"] } else { &[] };
        let result = rewrite_and_judge(&source, &output, extra)?;
        let seen = serve_and_compare(version, &source, &output)?;
        let unmoved = seen.keys - seen.moved;
        if is_kubernetes(&source) {
            // Only kube-apiserver 1.20 had compacted before the snapshot was saved.
            let kept = usize::from(!source.ends_with(SEALED));
            assert_eq!(number(&result["known"], "compact_rev_key") > 0, kept == 1, "{result}");
            assert!(seen.moved > 100 && unmoved == kept, "{seen:?}");
        } else {
            assert_eq!((seen.keys, unmoved, seen.leases), (41, 1, 1), "{seen:?}");
            assert_eq!(number(&result, "records"), 73, "{result}");
        }
        assert_eq!(number(&result, "live_keys"), seen.keys as u64, "{result}");
        assert_eq!(number(&result, "revision"), u64::try_from(seen.revision)?, "{result}");
        assert!(seen.hashes > 0 && seen.events > 0 && seen.revisions_read > 0, "{seen:?}");
    }
    Ok(())
}

#[test]
fn the_manifest_names_every_snapshot() -> Result<()> {
    let manifest = fs::read_to_string(fixture("../MANIFEST.md"))?;
    for path in fixtures()? {
        let name = path.file_name().expect("a file").to_string_lossy();
        let hash = tamper::sha256_hex(&fs::read(&path)?);
        let row = format!("| `snapshots/{name}` | `{hash}` |");
        assert!(manifest.contains(&row), "testdata/MANIFEST.md has no row \"{row}\"");
    }
    Ok(())
}

#[test]
fn sealed_values_are_refused() -> Result<()> {
    let folder = TempDir::new()?;
    let copy = folder.path().join("snap.db");
    fs::copy(fixture(SEALED), &copy)?;
    let path = copy.to_str().context("the path is UTF-8")?;
    let output = run(["change-prefix", "--db", path, "--dest-prefix", DEST])?;
    assert_eq!(output.status.code(), Some(14), "{}", said(&output));
    assert!(fs::read(&copy)? == fs::read(fixture(SEALED))?, "the refused file was touched");
    Ok(())
}

#[test]
fn each_is_served_by_3_4_23() -> Result<()> {
    each_is_served_by(Version::V3_4_23)
}

#[test]
fn each_is_served_by_3_5_1() -> Result<()> {
    each_is_served_by(Version::V3_5_1)
}

#[test]
fn each_is_served_by_3_5_16() -> Result<()> {
    each_is_served_by(Version::V3_5_16)
}
