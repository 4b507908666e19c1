use anyhow::Result;
use etcdprefix_testkit::hosts::HostsOptions;

use super::Migration;
use super::moved::{bundle, fetched, is_the_cluster};

/// The member that leads dies with the snapshot under way.
#[test]
fn a_member_that_dies_wakes_all_hosts() -> Result<()> {
    let moving = Migration::start(HostsOptions::default())?;
    let leader = moving.hosts.etcd().leader()?;
    let hold = moving.hold(leader, "snapshot")?;
    let mut run = moving.begin("run --skip-rehearsal");
    run.until(|| hold.is_waiting())?;
    moving.hosts.etcd().kill(leader)?;
    hold.release();
    run.end().failed(21, &[&format!("m{leader}: "), "every host is awake again, as before"]);
    moving.hosts.etcd().restart(leader)?;
    moving.is_as_before()?;
    moving.hosts.all().iter().try_for_each(|host| host.wait_for_writes())
}

/// The leader is on another host by the time at which the first is to save; a learner, which the
/// template takes for a leader, is there all the time.
#[test]
fn the_snapshot_follows_the_leader_and_no_learner() -> Result<()> {
    let moving = Migration::start(HostsOptions { voters: Some(2), ..HostsOptions::default() })?;
    let etcd = moving.hosts.etcd();
    etcd.add_learner(3)?;
    let (leader, other) = if etcd.leader()? == 1 { (1, 2) } else { (2, 1) };
    let hold = moving.hold(leader, "snapshot")?;
    let mut run = moving.begin("run --skip-rehearsal -w json");
    run.until(|| hold.is_waiting())?;
    etcd.move_leader(other)?;
    hold.release();
    let run = run.end();
    run.succeeded();
    let ended = run.json();
    assert_eq!(ended["snapshot_host"], format!("m{other}"), "{run}");
    let member = ended["snapshot"]["member"].as_str().unwrap();
    assert!(member.starts_with(&format!("m{other} ")), "{member}");
    let warning = ended["warnings"][0].as_str().unwrap();
    assert!(warning.contains("the leader of etcd is on another host now"), "{warning}");
    let url = bundle(&moving)?["oss_url"].as_str().unwrap().to_owned();
    let revision = ended["snapshot"]["revision"].as_i64().unwrap();
    is_the_cluster(&moving, &fetched(&moving, &url)?, revision)
}
