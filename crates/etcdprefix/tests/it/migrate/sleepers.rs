use anyhow::Result;
use etcdprefix_testkit::hosts::{HostsOptions, Knob};
use serde_json::json;

use super::Migration;
use super::moved::check_bundle;

/// A host whose kubelet doesn't stop what it should: it puts itself back, or is ended in the middle.
#[test]
fn a_host_that_does_not_fall_asleep_wakes_all() -> Result<()> {
    let moving = Migration::start(HostsOptions::default())?;
    let slow = moving.hosts.host(2);
    for (change, code, words) in [
        (json!({"request": {"wait_seconds": 2}}), 33, "there is still: "),
        (json!({"limit_seconds": 2}), 34, "ended at its limit of 2 s"),
    ] {
        slow.set(Knob::NeverStops, "kube-scheduler")?;
        let _change = moving.change(2, "sleep", &change)?;
        let run = moving.migrate("run --skip-rehearsal");
        run.failed(code, &["m2: ", words, "every host is awake again, as before"]);
        slow.unset(Knob::NeverStops)?;
        moving.is_as_before()?;
        slow.wait_for("kube-scheduler", true)?;
    }
    Ok(())
}

/// One after the other, and no more are begun once one has failed.
#[test]
fn no_more_hosts_are_put_to_sleep_than_may_fail() -> Result<()> {
    let moving = Migration::start(HostsOptions::default())?;
    moving.hosts.host(1).set(Knob::NeverStops, "kube-scheduler")?;
    let _change = moving.change(1, "sleep", &json!({"request": {"wait_seconds": 1}}))?;
    let rate = r#"{"Mode":"Concurrency","MaxErrors":0,"Concurrency":1}"#;
    let run = moving.migrate(&format!("run --skip-rehearsal --rate-control {rate}"));
    run.failed(33, &["m1: ", "every host is awake again"]);
    let lines = moving.journal();
    let begun = lines.iter().filter(|it| it["mark"] == "begin" && it["step"] == "sleep");
    assert_eq!(begun.map(|line| &line["host"]).collect::<Vec<_>>(), ["m1"]);
    moving.hosts.host(1).unset(Knob::NeverStops)?;
    moving.is_as_before()
}

/// What `--no-rollback` leaves is there to be looked at, and goes on.
#[test]
fn a_failure_may_be_looked_at() -> Result<()> {
    let moving = Migration::one()?;
    let slow = moving.hosts.host(1);
    slow.set(Knob::ContainerStays, "kube-apiserver")?;
    let change = moving.change(1, "sleep", &json!({"limit_seconds": 2}))?;
    let run = moving.migrate("run --skip-rehearsal --no-rollback");
    run.failed(34, &["left as they are", "migrate resume", "migrate rollback"]);
    let host = &moving.status()["hosts"][0]["status"];
    assert_eq!((&host["api_server_runs"], &host["timer"]["alive"]), (&json!(true), &json!(true)));
    assert_eq!(host["asleep"]["moved"].as_array().unwrap().len(), 4);
    slow.unset(Knob::ContainerStays)?;
    drop(change);
    let run = moving.migrate("resume --print-bundle");
    check_bundle(&moving, run.succeeded())?;
    moving.is_handed_out();
    Ok(())
}
