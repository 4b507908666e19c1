//! Nobody comes back to hosts that sleep.

use std::fs;

use anyhow::Result;
use etcdprefix_testkit::hosts::{HostsOptions, TestHost};
use serde_json::{Value, json};

use super::Migration;
use super::bench::STATE;
use super::moved::{bundle, fetched, is_the_cluster};

/// What the timer of a host waits for is now.
pub fn let_fire(host: &TestHost) -> Result<()> {
    let path = host.path(STATE).join("timer.json");
    let mut timer: Value = serde_json::from_slice(&fs::read(&path)?)?;
    timer["deadline"]["boot_ms"] = 0.into();
    let fresh = path.with_extension("fresh");
    fs::write(&fresh, timer.to_string())?;
    Ok(fs::rename(fresh, path)?)
}

#[test]
fn hosts_wake_by_themselves_and_whoever_comes_back_begins_anew() -> Result<()> {
    let moving = Migration::start(HostsOptions::default())?;
    let mut run = moving.begin("run --skip-rehearsal");
    run.marked(|line| line["mark"] == "snapshot")?;
    assert!(run.kill().was_killed());
    for host in moving.hosts.all() {
        let_fire(host)?;
        host.wait_for("kube-apiserver", true)?;
    }
    moving.before.check(&moving.hosts)?;
    let status = moving.status();
    let host = &status["hosts"][0]["status"];
    assert!(host["fired"].as_str().unwrap().contains("the timer woke this host"), "{host}");
    assert_eq!((&host["asleep"], &host["timer"]), (&json!(null), &json!(null)));
    moving.hosts.all().iter().try_for_each(TestHost::wait_for_writes)?;
    // What was saved before is void: the API servers have written since.
    let ended = moving.migrate("resume -w json");
    ended.succeeded();
    moving.is_handed_out();
    let snapshots = moving.journal().into_iter().filter(|line| line["mark"] == "snapshot");
    let revisions: Vec<i64> = snapshots.map(|line| line["revision"].as_i64().unwrap()).collect();
    assert!(revisions.len() == 2 && revisions[0] < revisions[1], "{revisions:?}");
    let url = bundle(&moving)?["oss_url"].as_str().unwrap().to_owned();
    is_the_cluster(&moving, &fetched(&moving, &url)?, revisions[1])
}
