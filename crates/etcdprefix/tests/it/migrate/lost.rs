//! Connections break, and a host is off the network in the middle of the outage.

use std::fs;

use anyhow::Result;
use etcdprefix_testkit::hosts::HostsOptions;
use etcdprefix_testkit::stores::{Act, Rule};

use super::Migration;
use super::bench::object_put;
use super::timers::let_fire;

/// A host that leads, and one that doesn't.
fn leader_and_other(moving: &Migration) -> Result<(usize, usize)> {
    let leader = moving.hosts.etcd().leader()?;
    Ok((leader, leader % 3 + 1))
}

/// A run whose upload waits.
fn uploading(moving: &Migration) -> Result<super::run::Running<'_>> {
    moving.front.rule(object_put());
    let mut run = moving.begin("run --skip-rehearsal -w json");
    run.until(|| moving.front.done() == 1)?;
    Ok(run)
}

/// Nothing is ended and nothing is done twice: the answer is asked for again.
#[test]
fn broken_connections_are_made_anew_and_a_host_that_comes_back_is_waited_for() -> Result<()> {
    let moving = Migration::start(HostsOptions::default())?;
    let (leader, other) = leader_and_other(&moving)?;
    let mut run = uploading(&moving)?;
    let puts = || moving.store.as_oss().log().get(&("PutObject".into(), 200)).copied();
    let before = puts().unwrap_or(0);
    moving.hosts.host(other).cut()?;
    super::connections::cut();
    moving.front.release();
    run.step("done", "fence", &format!("m{leader}"))?;
    moving.hosts.host(other).heal()?;
    let run = run.end();
    run.succeeded();
    moving.is_handed_out();
    assert_eq!(puts(), Some(before + 1));
    Ok(())
}

/// The others wake at once; it is named, and wakes by its own timer.
#[test]
fn a_host_that_does_not_come_back_is_named_and_wakes_by_itself() -> Result<()> {
    let moving = Migration::start(HostsOptions::default())?;
    let (leader, other) = leader_and_other(&moving)?;
    let lost = moving.hosts.host(other);
    let act = Act::Refuse { status: 403, code: "AccessDenied", message: "no" };
    moving.front.rule(Rule { act, times: 9, ..object_put() });
    let hold = moving.hold(leader, "snapshot")?;
    let mut run = moving.begin("run --skip-rehearsal");
    run.until(|| hold.is_waiting())?;
    lost.cut()?;
    super::connections::cut();
    hold.release();
    for host in moving.hosts.all().iter().filter(|host| host.number() != other) {
        run.step("done", "wake", &host.name())?;
        host.wait_for("kube-apiserver", true)?;
    }
    assert!(!lost.runs("kube-apiserver")?);
    // It is there again, but as another machine: that can't be waited for any more.
    let known = moving.hosts.ssh().known_hosts();
    let right = fs::read_to_string(&known)?;
    let name = format!("m{other},");
    let others = right.split_inclusive('\n').filter(|line| !line.starts_with(&name));
    fs::write(&known, others.collect::<String>())?;
    lost.heal()?;
    let run = run.end();
    run.failed(40, &["access is denied", &format!("m{other}: "), "migrate rollback"]);
    assert!(run.stderr().contains("Host key verification failed"), "{run}");
    let_fire(lost)?;
    lost.wait_for("kube-apiserver", true)?;
    moving.before.check(&moving.hosts)?;
    fs::write(&known, right)?;
    moving.migrate("rollback").succeeded();
    moving.is_as_before()
}
