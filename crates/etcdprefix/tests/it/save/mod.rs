//! `snapshot save` from real members: what is saved is right, and whatever breaks is told in one
//! line and leaves nothing behind.

// A saved file, against etcdctl's own and in every form; flags and variables.
mod saved;
// Saved and rewritten at once.
mod changed;
// Three members: which one is taken, and what is said of the others.
mod chosen;
// Streams that break, stall or lie, members that freeze, and what a second attempt makes of it.
mod streams;
// Signals and kills in the middle of a stream.
mod signals;
// Disks, folders and files that can't be written.
mod disks;
// Endpoints that are no members, or of another cluster.
mod strangers;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result};
use etcdprefix_testkit::cluster::{ClusterOptions, EtcdCluster};
use etcdprefix_testkit::load::{self, Load, Mix};
use etcdprefix_testkit::{Version, block_on};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{PROGRAM, said};

/// Nothing here takes so long, however busy the machine; `timeout` then ends the program with 124.
const HANG_SECONDS: &str = "150";

/// A fresh folder, and runs of `snapshot save` in it.
struct Folder(TempDir);

/// What a run left.
struct Run(Output);

impl Folder {
    fn new() -> Result<Self> {
        Ok(Self(TempDir::new()?))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The names in the folder, sorted.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    /// The program in this folder, `line` split at spaces, without variables of etcdctl.
    fn program(&self, line: &str) -> Command {
        self.prepared(Command::new(PROGRAM), line)
    }

    /// As [`Self::program`], ended if it hangs; signals would not reach the program itself.
    fn bounded(&self, line: &str) -> Command {
        let mut command = Command::new("timeout");
        command.args(["-k", "5", HANG_SECONDS, PROGRAM]);
        self.prepared(command, line)
    }

    fn prepared(&self, mut command: Command, line: &str) -> Command {
        command.args(line.split_whitespace()).current_dir(self.0.path()).stdin(Stdio::null());
        let variables = std::env::vars_os().map(|(name, _)| name);
        for name in variables.filter(|name| name.to_string_lossy().starts_with("ETCDCTL_")) {
            command.env_remove(name);
        }
        command
    }

    fn run(&self, line: &str) -> Run {
        Run(self.bounded(line).output().unwrap())
    }

    /// `snapshot save snap.db`, silent but for the result and the error.
    fn save(&self, endpoints: &str, more: &str) -> Run {
        self.run(&save_line(endpoints, more))
    }
}

fn save_line(endpoints: &str, more: &str) -> String {
    format!("snapshot save snap.db --quiet -w json --endpoints {endpoints} {more}")
}

impl Run {
    fn stdout(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    fn stderr(&self) -> String {
        String::from_utf8(self.0.stderr.clone()).unwrap()
    }

    /// It failed with that code, one line on stderr and nothing on stdout; the line is returned.
    #[track_caller]
    fn failed(&self, code: i32) -> String {
        assert_eq!(self.0.status.code(), Some(code), "{}", said(&self.0));
        assert_eq!(self.stdout(), "");
        let stderr = self.stderr();
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        stderr.trim_end().strip_prefix("etcdprefix: ").expect(&stderr).to_owned()
    }

    /// It failed with that code, says all these words, and what to try.
    #[track_caller]
    fn refused(&self, code: i32, words: &[&str]) {
        let error = self.failed(code);
        for word in words.iter().chain(&["; try: "]) {
            assert!(error.contains(word), "{word:?} is not in: {error}");
        }
    }

    /// It succeeded with nothing on stderr; its JSON is returned.
    #[track_caller]
    fn saved(&self) -> Value {
        assert!(self.0.status.success(), "{}", said(&self.0));
        assert_eq!(self.stderr(), "");
        serde_json::from_str(&self.stdout()).unwrap()
    }
}

/// The warnings of a result, one a line.
fn warnings(saved: &Value) -> String {
    let warnings = saved["warnings"].as_array().unwrap();
    let texts: Vec<&str> = warnings.iter().map(|text| text.as_str().unwrap()).collect();
    texts.join("\n")
}

/// A cluster with some megabytes, so that a stream can break in the middle.
fn filled(version: Version, options: ClusterOptions) -> Result<EtcdCluster> {
    let cluster = EtcdCluster::start(version, options)?;
    let load = Load { records: 4_000, value_bytes: 1_000, mix: Mix::Kubernetes, seed: 9 };
    block_on(async { load::fill(&mut cluster.client(0).await?, &load).await })?;
    Ok(cluster)
}

/// One member of the version that is deployed most, filled.
fn one() -> Result<EtcdCluster> {
    filled(Version::V3_5_1, ClusterOptions::default())
}

/// Three members, filled.
fn three(version: Version) -> Result<EtcdCluster> {
    filled(version, ClusterOptions { members: 3, ..ClusterOptions::default() })
}

/// The revision that a member has now.
fn revision(cluster: &EtcdCluster, member: usize) -> Result<i64> {
    block_on(async {
        let answer = cluster.client(member).await?.status().await?;
        Ok(answer.header().context("no header")?.revision())
    })
}

/// The status hash of a file, by our own tool, which tests/it/status.rs compares with etcd's.
fn status_hash(file: &Path) -> Result<String> {
    let path = file.to_str().context("the path is UTF-8")?;
    let text = crate::support::stdout(["snapshot", "status", "-w", "json", path])?;
    let status: Value = serde_json::from_str(&text)?;
    let hash = status["hash"].as_u64().context("no hash")?;
    Ok(format!("{hash:x}"))
}

/// The file is sound, its trailer right, nobody else can read it, and nothing lies beside it.
fn whole_and_alone(folder: &Folder) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(folder.names(), ["snap.db"]);
    let file = folder.path("snap.db");
    let checked = folder.run("check snap.db");
    assert!(checked.0.status.success(), "{}", said(&checked.0));
    assert_eq!(fs::metadata(&file)?.permissions().mode() & 0o7777, 0o600);
    Ok(())
}
