use anyhow::Result;
use etcdprefix_testkit::hosts::HostsOptions;

use super::bench::Cloud;
use crate::migrate::moved::check_bundle;

/// On one host of two the command fails, at each task in turn.
#[test]
fn what_fails_on_a_host_is_undone_on_all() -> Result<()> {
    let cloud = Cloud::start(HostsOptions { hosts: 2, ..HostsOptions::default() })?;
    for task in ["prepare", "sleepOrWakeupControlPlane", "findLeader", "fence"] {
        cloud.prepend(task, "[ $(hostname) != m2 ] || { echo broken; exit 9; }");
        cloud.migrate()?.failed_in(task, "broken");
        cloud.is_undone()?;
        cloud.restore()?;
    }
    for task in ["etcdCheckout", "readSign"] {
        cloud.prepend(task, "echo broken; exit 9");
        cloud.migrate()?.failed_in(task, "broken");
        cloud.is_undone()?;
        cloud.restore()?;
    }
    // Even a rate control that bears failures does not hand out what is not fenced.
    cloud.prepend("sleepOrWakeupControlPlane", "[ $(hostname) != m2 ] || exit 9");
    let mut parameters = cloud.parameters("migrate");
    parameters["rateControl"] =
        serde_json::json!({"Mode": "Concurrency", "MaxErrors": 1, "Concurrency": "100%"});
    let borne = cloud.run(&parameters)?;
    // Either its API server writes, or the fence finds it awake.
    let by = if borne.said("fence").is_empty() { "etcdCheckout" } else { "fence" };
    borne.failed_in(by, "");
    cloud.is_undone()?;
    // And again, without faults.
    cloud.restore()?;
    check_bundle(&cloud.moving, &cloud.migrate()?.bundle())?;
    cloud.is_handed_out()
}

/// The command goes on after its limit no more; the store refuses; the URL is out already.
#[test]
fn limits_and_stores_that_refuse_are_undone_too() -> Result<()> {
    let cloud = Cloud::one()?;
    cloud.prepend("etcdCheckout", "sleep 300");
    cloud.edit(|text| text.replace("timeout: 600", "timeout: 1"));
    cloud.migrate()?.failed_in("etcdCheckout", "Timeout");
    cloud.is_undone()?;
    cloud.restore()?;

    let oss = cloud.moving.store.as_oss();
    oss.allow(&cloud.role, &["PutObject", "InitiateMultipartUpload"])?;
    cloud.migrate()?.failed_in("prepare", "oss:PutObject missing");
    cloud.is_undone()?;
    let mut parameters = cloud.parameters("migrate");
    parameters["failedChecks"] = "report".into();
    cloud.run(&parameters)?.failed_in("etcdCheckout", "access is denied");
    cloud.is_undone()?;
    oss.allow(&cloud.role, &[])?;

    // A bundle that was printed and then lost: its URL must be dead before anything wakes.
    cloud.edit(|text| {
        text.replace("--print-bundle --quiet \"$@\")", "--print-bundle --quiet \"$@\"); exit 9")
    });
    let lost = cloud.migrate()?;
    lost.failed_in("readSign", "exit code 9");
    assert!(lost.ran().contains(&"unpublish Success".to_owned()), "{lost}");
    cloud.is_undone()?;

    // And if it can't be made dead, nothing wakes until a person says so.
    cloud.edit(|text| text.replace("node unpublish", "node no-such-step"));
    let stuck = cloud.migrate()?;
    stuck.failed_in("readSign", "exit code 9");
    assert!(stuck.ran().contains(&"rollback Failed".to_owned()), "{stuck}");
    cloud.is_handed_out()?;
    cloud.restore()?;
    assert_eq!(cloud.roll_back("yes")?.status(), "Success");
    cloud.is_undone()
}

/// The engine is gone for a while, or for good: what was not fenced wakes by itself.
#[test]
fn hosts_that_nobody_comes_back_to_wake_by_their_timers() -> Result<()> {
    let cloud = Cloud::one()?;
    cloud.prepend("findLeader", "touch /run/seen; while [ ! -e /run/go ]; do sleep 0.1; done");
    let running = cloud.begin(&cloud.parameters("migrate"))?;
    running.until_seen(1)?;
    let status = cloud.status(1)?;
    assert_eq!((&status["timer"]["alive"], &status["fence"]), (&true.into(), &().into()));
    assert!(status["timer"]["left_seconds"].as_u64() > Some(2400), "{status}");
    // As if its time were over.
    let timer = "/var/lib/etcdprefix/timer.json";
    cloud.host(1).shell(&format!("sed -i 's/_ms\":[0-9]*/_ms\":1/g' {timer}"))?;
    cloud.host(1).wait_for("kube-apiserver", true)?;
    cloud.moving.before.check(&cloud.moving.hosts)?;
    // Whoever comes back then hands out nothing.
    cloud.host(1).shell("touch /run/go")?;
    let late = running.end()?;
    let by = if late.said("fence").is_empty() { "etcdCheckout" } else { "fence" };
    late.failed_in(by, "");
    cloud.is_undone()?;
    // And who cancels it in time needs no word to roll back: nothing is out.
    cloud.host(1).shell("rm /run/go /run/seen")?;
    let running = cloud.begin(&cloud.parameters("migrate"))?;
    running.until_seen(1)?;
    running.cancel()?;
    cloud.host(1).shell("touch /run/go")?;
    assert_eq!(running.end()?.status(), "Cancelled");
    assert_eq!(cloud.roll_back("no")?.status(), "Success");
    cloud.is_undone()
}
