use std::fs;

use anyhow::Result;
use etcdprefix_testkit::hosts::{HostsOptions, TestHost};
use serde_json::Value;

use super::Migration;
use super::bench::STATE;

/// One migration of a cluster at a time, from wherever.
#[test]
fn a_second_migration_is_refused_while_one_runs() -> Result<()> {
    let moving = Migration::one()?;
    let hold = moving.hold(1, "snapshot")?;
    let mut run = moving.begin("run --skip-rehearsal");
    run.until(|| hold.is_waiting())?;
    let elsewhere = format!("--folder {}", moving.path("elsewhere").display());
    for line in ["rehearse", "run --skip-rehearsal", "rollback", "rollback --take-over"] {
        moving.migrate(line).failed(30, &["another etcdprefix migrates here"]);
        let run = moving.migrate(&format!("{line} {elsewhere}"));
        run.failed(if line.starts_with("rollback") { 40 } else { 30 }, &["holds this host"]);
    }
    let status = moving.status();
    assert_eq!(status["phase"], "running");
    assert_eq!(status["hosts"][0]["status"]["timer"]["alive"], true, "{status}");
    hold.release();
    run.end().succeeded();
    moving.is_handed_out();
    // Fences are stronger than locks.
    moving.migrate("finish").succeeded();
    for line in ["rehearse", "run --skip-rehearsal", "rollback", "rollback --take-over"] {
        moving.migrate(line).failed(37, &[]);
        moving.migrate(&format!("{line} {elsewhere}")).failed(37, &[]);
    }
    Ok(())
}

/// Somebody else holds one of the hosts, or it can't be reached: nothing sleeps anywhere.
#[test]
fn all_hosts_are_held_or_none() -> Result<()> {
    let moving = Migration::start(HostsOptions::default())?;
    let busy = moving.hosts.host(2);
    busy.shell("/opt/etcdprefix node sleep --cluster-id c9 --run other")?;
    for line in ["rehearse", "run --skip-rehearsal"] {
        let run = moving.migrate(line);
        run.failed(30, &["m2: migration other of c9 holds this host", "by hand"]);
    }
    for host in [1, 3].map(|host| moving.hosts.host(host)) {
        assert!(moving.left_on(host)?.is_empty() && host.runs("kube-apiserver")?);
    }
    busy.shell("/opt/etcdprefix node wake --cluster-id c9 --run other")?;
    moving.before.check(&moving.hosts)?;
    moving.hosts.host(3).kill_sshd()?;
    for line in ["rehearse", "run --skip-rehearsal"] {
        moving.migrate(line).failed(29, &["m3: ", "Connection refused"]);
    }
    assert!(!moving.journal().iter().any(|line| line["step"] == "sleep"));
    moving.before.check(&moving.hosts)
}

/// The machine that migrated is lost, with its journal.
#[test]
fn hosts_of_a_silent_run_are_taken_over_and_woken() -> Result<()> {
    let moving = Migration::start(HostsOptions::default())?;
    let mut run = moving.begin("run --skip-rehearsal");
    run.marked(|line| line["mark"] == "snapshot")?;
    assert!(run.kill().was_killed());
    let elsewhere = format!("--folder {}", moving.path("elsewhere").display());
    for line in ["rollback", "rollback --take-over"] {
        let run = moving.migrate(&format!("{line} {elsewhere}"));
        run.failed(40, &["holds this host", "m1: ", "m2: ", "m3: "]);
    }
    moving.hosts.all().iter().try_for_each(silence)?;
    moving.migrate(&format!("rollback {elsewhere}")).failed(40, &["holds this host"]);
    moving.migrate(&format!("rollback --take-over {elsewhere}")).succeeded();
    moving.is_as_before()?;
    // Whoever finds the journal again finds the object.
    assert_eq!(moving.stored()?.len(), 1);
    moving.migrate("resume").code(0);
    moving.is_handed_out();
    Ok(())
}

/// Its holder was last heard of when the machine started.
pub fn silence(host: &TestHost) -> Result<()> {
    let path = host.path(STATE).join("lock.json");
    let mut lock: Value = serde_json::from_slice(&fs::read(&path)?)?;
    lock["seen"]["boot_ms"] = 0.into();
    Ok(fs::write(path, lock.to_string())?)
}
