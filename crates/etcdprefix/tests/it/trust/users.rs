use std::fs;
use std::path::Path;

use anyhow::Result;
use etcdprefix_testkit::Version;
use etcdprefix_testkit::cluster::{ClusterOptions, READER, ROOT};
use tempfile::TempDir;

use super::{Run, WRONG_PASSWORD, one, put, run_in, status, text, three};

const ROOT_ROLE: &str = "root role";

/// Runs a command as a user that only the environment names.
fn as_user(user: Option<(&str, &str)>, words: &[&str]) -> Result<Run> {
    let user = user.map(|(name, word)| [("ETCDCTL_USER", name), ("ETCDCTL_PASSWORD", word)]);
    run_in(user.as_ref().map_or(&[], |user| &user[..]), words)
}

#[test]
fn snapshots_and_hashes_are_for_root() -> Result<()> {
    let folder = TempDir::new()?;
    let target = folder.path().join("s.db");
    for version in Version::ALL {
        let mut cluster = one(version, ClusterOptions::default())?;
        put(&cluster, 0, "key", "value")?;
        let endpoint = cluster.endpoint(0).to_owned();
        let at = ["--endpoints", &endpoint];
        let save = [&["snapshot", "save", text(&target), "--verify-members"][..], &at].concat();
        let hash = [&["endpoint", "hashkv"][..], &at].concat();
        // A line that is written for a cluster with users goes on to work without.
        as_user(Some(ROOT), &save)?.succeeds();
        fs::remove_file(&target)?;

        cluster.enable_auth()?;
        status(&endpoint, &[])?.succeeds();
        for words in [&hash, &save] {
            for_root(words, &endpoint, &target)?;
        }
        as_user(Some((ROOT.0, WRONG_PASSWORD)), &[&["endpoint", "status"][..], &at].concat())?
            .succeeds();
        fs::remove_file(&target)?;
    }
    Ok(())
}

fn for_root(words: &[&str], endpoint: &str, target: &Path) -> Result<()> {
    as_user(None, words)?.fails(22, &[endpoint, "; try: --user", ROOT_ROLE]);
    // An empty variable is none.
    as_user(Some(("", "")), words)?.fails(22, &[endpoint, "; try: --user"]);
    as_user(Some(READER), words)?.fails(22, &[endpoint, "; try: --user", ROOT_ROLE]);
    for wrong in [ROOT.0, "nobody"] {
        let wrong = as_user(Some((wrong, WRONG_PASSWORD)), words)?;
        wrong.fails(22, &[endpoint, "authentication failed", "ETCDCTL_PASSWORD"]);
    }
    assert!(!target.exists());
    as_user(Some(ROOT), words)?.succeeds();
    let both = format!("--user={}:{}", ROOT.0, ROOT.1);
    as_user(None, &[words, &[&both]].concat())?.succeeds();
    as_user(None, &[words, &["--user", ROOT.0, "--password", ROOT.1]].concat())?.succeeds();
    Ok(())
}

/// Without quorum nobody can prove a password, but every member still tells its status.
#[test]
fn a_cluster_without_quorum_ends_no_run_in_waiting() -> Result<()> {
    let folder = TempDir::new()?;
    let target = folder.path().join("s.db");
    let mut cluster = three(Version::V3_5_1, &[])?;
    cluster.enable_auth()?;
    let leader = cluster.leader()?;
    let [left, dead, other] = [(leader + 1) % 3, leader, (leader + 2) % 3];
    cluster.kill(dead)?;
    cluster.kill(other)?;
    let endpoints = cluster.endpoints().join(",");
    let json = status(&endpoints, &["-w", "json"])?;
    let json = json.fails(21, &["no answer from", "and 1 more"]).json()?;
    assert_eq!(json["members"][0]["endpoint"], cluster.endpoint(left));
    let save = ["snapshot", "save", text(&target), "--endpoints", &endpoints];
    as_user(Some(ROOT), &save)?.fails(21, &["it sees no leader", "; try:", "--from"]);
    let from = [&save[..], &["--from", cluster.endpoint(left), "--retries", "0"]].concat();
    as_user(Some(ROOT), &from)?.fails(23, &[cluster.endpoint(left), "no answer within"]);
    let alone = ["endpoint", "hashkv", "--endpoints", cluster.endpoint(left)];
    as_user(Some(ROOT), &alone)?.fails(21, &["no answer"]);
    assert_eq!(fs::read_dir(folder.path())?.count(), 0);
    Ok(())
}

#[test]
fn a_password_in_an_endpoint_is_not_repeated() -> Result<()> {
    let endpoint = format!("http://root:{}@127.0.0.1:2379", ROOT.1);
    status(&endpoint, &[])?.fails(2, &["--user"]);
    Ok(())
}
