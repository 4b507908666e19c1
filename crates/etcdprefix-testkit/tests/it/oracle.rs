//! The structure check that every output is judged by does see damage that hides well.

use std::fs;
use std::path::Path;

use etcdprefix_testkit::tools::{self, RestoreOptions};
use etcdprefix_testkit::{Version, scenario, tamper};
use tempfile::TempDir;

/// Refused by the judge's status, though 3.5.1 restores it with its hash checked: nothing but
/// the structure is wrong with it.
fn refused_for_its_structure(folder: &Path, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let bad = folder.join(name);
    fs::write(&bad, bytes)?;
    let said = tools::status_output(Version::JUDGE, &bad, None)?;
    assert!(!said.status.success(), "{name} was accepted: {said:?}");
    let data = folder.join(format!("{name}.data"));
    tools::restore(Version::V3_5_1, &bad, &data, RestoreOptions::default())
}

#[test]
fn the_judge_refuses_disorder_and_leaks() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let good = folder.path().join("good.db");
    scenario::history(Version::V3_5_16, &good)?;
    tools::status(Version::JUDGE, &good, None)?;
    let disorder = tamper::disorder(&fs::read(&good)?)?;
    refused_for_its_structure(folder.path(), "disorder.db", &disorder)?;

    let listed = tamper::with_freelist(&fs::read(&good)?)?;
    fs::write(&good, &listed)?;
    tools::status(Version::JUDGE, &good, None)?;
    refused_for_its_structure(folder.path(), "leak.db", &tamper::leak(&listed)?)
}
