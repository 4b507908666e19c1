//! What goes wrong on hosts ends as it does over SSH: everybody is awake again.

use std::time::Duration;

use anyhow::Result;
use etcdprefix_testkit::hosts::{HostsOptions, Knob};
use serde_json::json;

use super::Cloud;
use crate::migrate::bench::STATE;
use crate::migrate::locks::silence;
use crate::migrate::moved::{bundle, fetched, is_the_cluster};
use crate::migrate::timers::let_fire;

const AWAKE: &str = "every host is awake again, as before";

#[test]
fn a_host_that_does_not_fall_asleep_wakes_all() -> Result<()> {
    let cloud = Cloud::start(HostsOptions { hosts: 2, ..HostsOptions::default() })?;
    let slow = cloud.hosts.host(2);
    for (change, code, words) in [
        (json!({"request": {"wait_seconds": 2}}), 33, "there is still: "),
        (json!({"limit_seconds": 2}), 34, "ended at its limit of 2 s"),
    ] {
        slow.set(Knob::NeverStops, "kube-scheduler")?;
        let _change = cloud.change(2, "sleep", &change)?;
        let run = cloud.migrate("run --skip-rehearsal");
        run.failed(code, &["ecs:i-2: ", words, AWAKE]);
        slow.unset(Knob::NeverStops)?;
        cloud.is_as_before()?;
        slow.wait_for("kube-scheduler", true)?;
    }
    Ok(())
}

#[test]
fn a_writer_and_a_store_that_refuses_wake_the_host() -> Result<()> {
    let cloud = Cloud::one()?;
    let writer = cloud.hosts.etcd().writer(1, Duration::from_millis(20));
    writer.wait_for(1)?;
    let run = cloud.migrate("run --skip-rehearsal");
    run.failed(25, &["somebody wrote after revision", "/registry/writer/", "awake again"]);
    writer.stop()?;
    cloud.is_as_before()?;
    let hold = cloud.hold(1, "snapshot")?;
    let mut run = cloud.begin("run --skip-rehearsal");
    run.until(|| hold.is_waiting())?;
    let role = etcdprefix_testkit::stores::Key::new("STS.role", "role-s3cr3t-role");
    let role = role.with_token("t0ken/+=");
    cloud.store.as_oss().allow(&role, &["PutObject", "InitiateMultipartUpload"])?;
    hold.release();
    run.end().failed(26, &["access is denied", AWAKE]);
    cloud.is_as_before()
}

#[test]
fn the_snapshot_follows_the_leader() -> Result<()> {
    let cloud = Cloud::start(HostsOptions::default())?;
    let leader = cloud.hosts.etcd().leader()?;
    let other = leader % 3 + 1;
    let hold = cloud.hold(leader, "snapshot")?;
    let mut run = cloud.begin("run --skip-rehearsal -w json");
    run.until(|| hold.is_waiting())?;
    cloud.hosts.etcd().move_leader(other)?;
    hold.release();
    let run = run.end();
    run.succeeded();
    let ended = run.json();
    assert_eq!(ended["snapshot_host"], format!("ecs:i-{other}"), "{run}");
    let url = bundle(&cloud)?["oss_url"].as_str().unwrap().to_owned();
    let revision = ended["snapshot"]["revision"].as_i64().unwrap();
    is_the_cluster(&cloud, &fetched(&cloud, &url)?, revision)
}

/// Waking must not need any room, nor its answer.
#[test]
fn a_disk_that_fills_up_wakes_the_host() -> Result<()> {
    let cloud = Cloud::one()?;
    let host = cloud.hosts.host(1);
    host.mount_small(STATE, 160 << 20)?;
    host.shell(&format!("chmod 700 {STATE}"))?;
    for left_bytes in [0, 64 << 10] {
        let hold = cloud.hold(1, "snapshot")?;
        let mut run = cloud.begin("run --skip-rehearsal");
        run.until(|| hold.is_waiting())?;
        host.shell(&format!("cd {STATE}; cat /dev/zero > fill; truncate -s -{left_bytes} fill"))?;
        hold.release();
        run.end().failed(4, &["No space left on device", AWAKE]);
        cloud.before.check(&cloud.hosts)?;
        host.wait_for("kube-apiserver", true)?;
        host.wait_for("etcdprefix", false)?;
        let left =
            host.shell(&format!("cd {STATE}; rm fill; ls -A . work 2> /dev/null || true"))?;
        let words: Vec<&str> = left.split_whitespace().collect();
        assert!(words.iter().all(|word| [".:", "bin", "work", "work:"].contains(word)), "{left}");
    }
    host.unmount(STATE)
}

/// Nobody comes back to them, and then somebody does.
#[test]
fn hosts_wake_by_themselves_and_a_run_is_begun_anew() -> Result<()> {
    let cloud = Cloud::one()?;
    let mut run = cloud.begin("run --skip-rehearsal");
    run.marked(|line| line["mark"] == "snapshot")?;
    assert!(run.kill().was_killed());
    let host = cloud.hosts.host(1);
    let_fire(host)?;
    host.wait_for("kube-apiserver", true)?;
    cloud.before.check(&cloud.hosts)?;
    host.wait_for_writes()?;
    cloud.migrate("resume").succeeded();
    cloud.is_handed_out();
    let marked = |mark: &str| cloud.journal().iter().filter(|line| line["mark"] == mark).count();
    assert_eq!(marked("snapshot"), 2);
    Ok(())
}

/// The wait is over; whatever goes on there, the host can be asked again.
#[test]
fn a_host_that_does_not_answer_in_time_is_named() -> Result<()> {
    let cloud = Cloud::one()?;
    cloud.migrate("status").succeeded();
    let hold = cloud.hold(1, "status")?;
    cloud.migrate("status").failed(29, &["ecs:i-1: no answer within 30 s"]);
    hold.release();
    cloud.migrate("status").succeeded();
    cloud.is_as_before()
}

/// The machine that migrated is lost with its journal: whoever has the rights finds the hosts by their tags.
#[test]
fn hosts_of_a_silent_run_are_taken_over_and_woken() -> Result<()> {
    let cloud = Cloud::one()?;
    cloud.by_tags()?;
    let mut run = cloud.begin("run --skip-rehearsal");
    run.marked(|line| line["mark"] == "snapshot")?;
    assert!(run.kill().was_killed());
    let elsewhere = format!("--folder {}", cloud.path("elsewhere").display());
    cloud.migrate(&format!("rollback --take-over {elsewhere}")).failed(40, &["holds this host"]);
    silence(cloud.hosts.host(1))?;
    cloud.migrate(&format!("rollback --take-over {elsewhere}")).succeeded();
    cloud.is_as_before()
}

/// One migration at a time, whichever way it comes.
#[test]
fn a_second_migration_is_refused_while_one_runs() -> Result<()> {
    let cloud = Cloud::one()?;
    let hold = cloud.hold(1, "snapshot")?;
    let mut run = cloud.begin("run --skip-rehearsal");
    run.until(|| hold.is_waiting())?;
    let elsewhere = format!("--folder {}", cloud.path("elsewhere").display());
    for (line, code) in [("rehearse", 30), ("run --skip-rehearsal", 30), ("rollback", 40)] {
        cloud.migrate(&format!("{line} {elsewhere}")).failed(code, &["holds this host"]);
    }
    hold.release();
    run.end().succeeded();
    cloud.is_handed_out();
    Ok(())
}
