//! The program against live members: certificates, users, and whether all members hold the same.

// Whose certificates are believed, theirs and ours.
mod certificates;
// Certificates with a common name only, and pins.
mod nameless;
// Users and the root role.
mod users;
// `endpoint status`: roles, alarms, who does not answer.
mod status;
// One cluster a version: HashKV of its members, and snapshots proved by it.
mod members;
// A member with other data is found, and what is done about it.
mod corrupt;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use etcdprefix_testkit::cluster::{ClusterOptions, EtcdCluster, READER, ROOT};
use etcdprefix_testkit::{Version, block_on};
use serde_json::Value;

use crate::support::PROGRAM;

/// No run takes as long; `timeout` ends with this code what does.
const LIMIT_SECONDS: &str = "120";

/// What nobody may ever read.
const SECRETS: [&str; 3] = [ROOT.1, READER.1, WRONG_PASSWORD];

const WRONG_PASSWORD: &str = "a wrong guess";

/// How a run of the program ended.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Runs the program with nothing in its environment but what it is given.
fn run_in(environment: &[(&str, &str)], words: &[&str]) -> Result<Run> {
    let mut command = Command::new("timeout");
    command.args([LIMIT_SECONDS, PROGRAM]).args(words);
    command.env_clear().envs(environment.iter().copied());
    let path = std::env::var_os("PATH").context("no PATH")?;
    let output = command.env("PATH", path).output().context("cannot start the program")?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    let leaked = SECRETS.iter().any(|secret| out.contains(secret) || err.contains(secret));
    ensure!(!leaked, "{words:?} tells a password: {out}{err}");
    Ok(Run { code: output.status.code(), out, err })
}

fn run(words: &[&str]) -> Result<Run> {
    run_in(&[], words)
}

impl Run {
    /// Ended with that code, and its last line on stderr has all of these.
    #[track_caller]
    fn fails(&self, code: i32, says: &[&str]) -> &Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        let line = self.err.lines().last().unwrap_or_default();
        assert!(line.starts_with("etcdprefix: "), "{self:?}");
        for text in says {
            assert!(line.contains(text), "no {text:?} in {self:?}");
        }
        self
    }

    #[track_caller]
    fn succeeds(&self) -> &Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.out).with_context(|| format!("{self:?}"))
    }
}

/// `endpoint status`, which needs no user: whether there can be a connection.
fn status(endpoint: &str, flags: &[&str]) -> Result<Run> {
    run(&[&["endpoint", "status", "--endpoints", endpoint], flags].concat())
}

/// `endpoint hashkv` of these.
fn hashkv(endpoints: &str, flags: &[&str]) -> Result<Run> {
    run(&[&["endpoint", "hashkv", "-w", "json", "--endpoints", endpoints], flags].concat())
}

/// `snapshot save` from the best of these.
fn save(endpoints: &str, to: &Path, flags: &[&str]) -> Result<Run> {
    let head = ["snapshot", "save", text(to), "-w", "json", "--endpoints", endpoints];
    run(&[&head, flags].concat())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the paths of tests are UTF-8")
}

fn one(version: Version, options: ClusterOptions) -> Result<EtcdCluster> {
    EtcdCluster::start(version, options)
}

fn three(version: Version, flags: &'static [&'static str]) -> Result<EtcdCluster> {
    EtcdCluster::start(version, ClusterOptions { members: 3, flags, ..ClusterOptions::default() })
}

/// Puts through a member; the revision afterwards.
fn put(cluster: &EtcdCluster, member: usize, key: &str, value: impl Into<Vec<u8>>) -> Result<i64> {
    block_on(async {
        let put = cluster.client(member).await?.put(key, value, None).await?;
        Ok(put.header().context("no header")?.revision())
    })
}
