use anyhow::Result;
use etcdprefix_testkit::hosts::HostsOptions;
use serde_json::Value;

use super::bench::Cloud;
use crate::migrate::moved::check_bundle;

const WAIT: &str = "touch /run/seen; while [ ! -e /run/go ]; do sleep 0.1; done";

/// A task of a host's waits until the leader has moved.
fn moved_at(cloud: &Cloud, task: &str) -> Result<super::bench::Ended> {
    let etcd = cloud.moving.hosts.etcd();
    let (leader, other) = if etcd.leader()? == 1 { (1, 2) } else { (2, 1) };
    let on = format!("[ $(hostname) != m{leader} ] || {{ {WAIT}; }}");
    cloud.prepend(task, &on);
    let running = cloud.begin(&cloud.parameters("migrate"))?;
    running.until_seen(leader)?;
    etcd.move_leader(other)?;
    cloud.host(leader).shell("touch /run/go")?;
    let ended = running.end()?;
    cloud.host(leader).shell("rm /run/go /run/seen")?;
    cloud.restore()?;
    Ok(ended)
}

/// A learner, which the cloud's own template takes for a leader, is there all the time.
#[test]
fn a_leader_that_moves_hands_out_one_bundle_or_none() -> Result<()> {
    let cloud = Cloud::start(HostsOptions { voters: Some(2), ..HostsOptions::default() })?;
    cloud.moving.hosts.etcd().add_learner(3)?;
    // Between findLeader and what goes by it.
    let late = moved_at(&cloud, "etcdCheckout")?;
    late.failed_in("etcdCheckout", "does not lead");
    cloud.is_undone()?;
    // While hosts are asked one after the other: none, two or one of them say so.
    let early = moved_at(&cloud, "findLeader")?;
    let named = early.outputs["findLeaderOutputs"].as_array().unwrap();
    let count = named.iter().filter(|output| *output != "").count();
    match count {
        1 => drop(check_bundle(&cloud.moving, &early.bundle())?),
        _ => early.failed_in(if count == 0 { "fence" } else { "etcdCheckout" }, "not one"),
    }
    if count == 1 {
        cloud.is_handed_out()?;
        assert_eq!(cloud.roll_back("yes")?.status(), "Success");
    }
    cloud.is_undone()?;
    // After the snapshot it does not matter: nobody has written.
    let after = moved_at(&cloud, "fence")?;
    check_bundle(&cloud.moving, &after.bundle())?;
    cloud.is_handed_out()
}

#[test]
fn no_leader_or_two_end_without_a_bundle() -> Result<()> {
    let cloud = Cloud::start(HostsOptions { hosts: 2, ..HostsOptions::default() })?;
    // As if etcd had none, or each of two believed to be it.
    cloud.edit(|text| {
        text.replace("found=$(\"$program\" node leader --quiet --print \"$instance\")", "found=")
    });
    let none = cloud.migrate()?;
    none.failed_in("fence", "not one instance leads etcd");
    assert_eq!(none.outputs["etcdCheckoutOutputs"], Value::Array(Vec::new()));
    cloud.is_undone()?;
    cloud.restore()?;
    cloud.edit(|text| {
        text.replace(
            "found=$(\"$program\" node leader --quiet --print \"$instance\")",
            "found=$instance",
        )
    });
    cloud.migrate()?.failed_in("etcdCheckout", "not one instance leads etcd");
    cloud.is_undone()?;
    cloud.restore()?;
    // No target at all.
    let mut parameters = cloud.parameters("migrate");
    parameters["targets"] =
        serde_json::json!({"Type": "Tags", "Tags": [{"Key": "a", "Value": "b"}]});
    let nobody = cloud.run(&parameters)?;
    assert_eq!(nobody.status(), "Failed", "{nobody}");
    assert_eq!(nobody.ran(), ["getInstance Success", "checkTargets Failed"]);
    // etcd without a quorum: the leader's host alone is asked, and answers nothing.
    cloud.moving.hosts.etcd().kill(2)?;
    parameters = cloud.parameters("migrate");
    parameters["failedChecks"] = "report".into();
    let quorumless = cloud.run(&parameters)?;
    assert_eq!(quorumless.status(), "Failed", "{quorumless}");
    cloud.moving.hosts.etcd().restart(2)?;
    cloud.is_undone()
}
