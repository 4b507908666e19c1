use anyhow::Result;
use etcdprefix_testkit::hosts::HostsOptions;
use etcdprefix_testkit::openapi::Fault;
use rustix::process::Signal;

use super::Cloud;
use crate::migrate::bench::object_put;
use crate::migrate::timers::let_fire;

/// Nothing sleeps anywhere.
#[test]
fn a_host_whose_agent_is_away_is_named_before_anything_sleeps() -> Result<()> {
    let cloud = Cloud::start(HostsOptions { hosts: 2, ..HostsOptions::default() })?;
    cloud.api.set("i-2", "agent", false)?;
    for line in ["rehearse", "run --skip-rehearsal"] {
        let run = cloud.migrate(line);
        run.failed(29, &["ecs:i-2: ", "ClientNotRunning", "systemctl status aliyun.service"]);
    }
    cloud.api.set("i-2", "agent", true)?;
    cloud.api.set("i-2", "status", "Stopped")?;
    cloud
        .migrate("rehearse")
        .failed(29, &["ecs:i-2: ", "InstanceNotRunning", "start the instance"]);
    assert!(!cloud.journal().iter().any(|line| line["step"] == "sleep"));
    cloud.migrate("status --host ecs:i-1 --host ecs:i-7").failed(29, &["ecs:i-7: ", "region"]);
    cloud.before.check(&cloud.hosts)
}

/// In the outage one that comes back is waited for; one that doesn't wakes by itself.
#[test]
fn a_host_whose_agent_goes_away_in_the_outage_is_waited_for() -> Result<()> {
    let cloud = Cloud::start(HostsOptions { hosts: 2, ..HostsOptions::default() })?;
    cloud.front.rule(object_put());
    let mut run = cloud.begin("run --skip-rehearsal");
    run.until(|| cloud.front.done() == 1)?;
    cloud.api.set("i-1", "agent", false)?;
    cloud.api.set("i-2", "agent", false)?;
    cloud.front.release();
    run.step("begin", "bundle", "")?;
    cloud.api.set("i-1", "agent", true)?;
    cloud.api.set("i-2", "agent", true)?;
    run.end().succeeded();
    cloud.is_handed_out();
    cloud.migrate("rollback --managed-side-never-started").succeeded();
    cloud.is_as_before()?;

    let leader = cloud.hosts.etcd().leader()?;
    let lost = format!("i-{}", leader % 2 + 1);
    let hold = cloud.hold(leader, "snapshot")?;
    let mut run = cloud.begin("run --skip-rehearsal");
    run.until(|| hold.is_waiting())?;
    cloud.api.set(&lost, "agent", false)?;
    run.signal(Signal::INT)?;
    drop(hold);
    run.step("done", "wake", &format!("ecs:i-{leader}"))?;
    // That can't be waited for any more.
    cloud.api.fault("RunCommand", Fault::Refuse(404, "InvalidInstance.NotFound"), 1)?;
    let run = run.end();
    run.failed(40, &["interrupted", &format!("ecs:{lost}: "), "migrate rollback"]);
    assert!(run.stderr().contains("InvalidInstance.NotFound"), "{run}");
    let host = cloud.hosts.host(leader % 2 + 1);
    let_fire(host)?;
    host.wait_for("kube-apiserver", true)?;
    cloud.before.check(&cloud.hosts)?;
    cloud.api.set(&lost, "agent", true)?;
    cloud.migrate("rollback").succeeded();
    cloud.is_as_before()
}

#[test]
fn a_binary_that_is_another_or_not_there_is_never_run() -> Result<()> {
    let cloud = Cloud::one()?;
    let wrong = "ab".repeat(32);
    let run = cloud.migrate(&format!("rehearse --binary-sha256 {wrong}"));
    run.failed(29, &["ecs:i-1: ", "has SHA-256", &wrong, "--binary-sha256 of that very file"]);
    let run = cloud.migrate(&format!("rehearse --binary-url {}", cloud.files.url("nothing")));
    run.failed(29, &["/nothing can not be fetched", "without signing in"]);
    let run = cloud.migrate("rehearse --binary-url https://h/e?Signature=s");
    run.failed(2, &["a query or a user"]);
    let state = cloud.hosts.host(1).path("/var/lib/etcdprefix/bin");
    assert_eq!(std::fs::read_dir(state)?.count(), 0);
    cloud.migrate("rehearse").succeeded();
    cloud.is_as_before()
}
