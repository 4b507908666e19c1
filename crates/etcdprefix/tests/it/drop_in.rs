//! The names and arguments of the programs that this one replaces, as the template calls them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result};
use etcdprefix_testkit::tools::{self, RestoreOptions};
use etcdprefix_testkit::{EtcdServer, PrefixMap, Version, compare};
use tempfile::TempDir;

use crate::support::{DEST, PROGRAM, fixture, said};

/// A folder as on the template's machine: the program under its old name, the snapshot in `dir`.
fn machine(name: &str, install: fn(&Path, &Path) -> std::io::Result<()>) -> Result<TempDir> {
    let folder = TempDir::new()?;
    fs::create_dir(folder.path().join("dir"))?;
    fs::copy(fixture("k8s120-3.4.23.db"), folder.path().join("dir/snap"))?;
    install(Path::new(PROGRAM), &folder.path().join(name))?;
    Ok(folder)
}

fn called(folder: &Path, line: &str) -> Result<Output> {
    let mut words = line.split(' ').filter(|word| !word.is_empty());
    let name = words.next().context("an empty line")?;
    Ok(Command::new(folder.join(name)).args(words).current_dir(folder).output()?)
}

fn restored_and_served(folder: &Path) -> Result<()> {
    let snapshot = folder.join("dir/snap");
    for version in Version::ALL {
        let data = folder.join(format!("data-{version}"));
        tools::restore(version, &snapshot, &data, RestoreOptions::default())?;
    }
    let (source, map) = (fixture("k8s120-3.4.23.db"), PrefixMap::new("/registry", DEST));
    let original = EtcdServer::restored(Version::V3_5_1, &source)?;
    let rewritten = EtcdServer::restored(Version::V3_5_1, &snapshot)?;
    let seen = compare::compare(&original, &rewritten, &map, &source)?;
    assert!(seen.moved > 100, "{seen:?}");
    assert_eq!(fs::read_dir(folder.join("dir"))?.count(), 1, "something was left behind");
    Ok(())
}

#[test]
fn modify_prefix_v2() -> Result<()> {
    let copy = |from: &Path, to: &Path| fs::copy(from, to).map(drop);
    let folder = machine("modify-prefix-v2", copy)?;
    let line = format!("modify-prefix-v2 change-prefix --db=dir/snap  --dest-prefix={DEST}");
    let output = called(folder.path(), &line)?;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    restored_and_served(folder.path())
}

#[test]
fn modify_prefix() -> Result<()> {
    let folder = machine("modify-prefix", |from, to| symlink(from, to))?;
    let line = format!(
        "modify-prefix modify-prefix --db=dir/snap --src-prefix=/registry --dest-prefix={DEST} \
         --bucket=key"
    );
    let output = called(folder.path(), &line)?;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    restored_and_served(folder.path())
}

/// The orchestration reads nothing but the exit status.
#[test]
fn failures_are_told_by_the_exit_status() -> Result<()> {
    let folder = machine("modify-prefix-v2", |from, to| symlink(from, to))?;
    let before = fs::read(folder.path().join("dir/snap"))?;
    for line in [
        "modify-prefix-v2 change-prefix --db=dir/missing --dest-prefix=/c1",
        "modify-prefix-v2 change-prefix --db=dir/snap --dest-prefix=/registry",
        "modify-prefix-v2 change-prefix --db=dir/snap",
        "modify-prefix-v2 change-prefix --db=dir/snap --dest-prefix=/c1 --bucket=lease",
    ] {
        let output = called(folder.path(), line)?;
        assert!(output.status.code().is_some_and(|code| code != 0), "{line}: {}", said(&output));
        assert!(output.stdout.is_empty(), "{line}: {}", said(&output));
    }
    assert!(fs::read(folder.path().join("dir/snap"))? == before, "the snapshot was touched");
    Ok(())
}
