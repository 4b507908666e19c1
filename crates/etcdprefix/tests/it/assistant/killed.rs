use anyhow::{Context, Result};
use etcdprefix_testkit::hosts::{HostsOptions, Knob};
use etcdprefix_testkit::openapi::Fault;
use etcdprefix_testkit::stores::{Act, Rule};
use rustix::process::Signal;
use serde_json::json;

use super::Cloud;
use crate::migrate::bench::object_put;
use crate::migrate::killed::die;
use crate::migrate::moved::{bundle, fetched, is_the_cluster};

const POINTS: [(&str, &str); 6] = [
    ("done", "lock"),
    ("begin", "sleep"),
    ("done", "sleep"),
    ("begin", "snapshot"),
    ("snapshot", ""),
    ("begin", "fence"),
];

/// Replies are sealed to a key that dies with its process: the next one asks again, and nothing is done twice.
#[test]
fn killed_again_and_again_it_is_resumed_with_the_hosts_it_was_begun_with() -> Result<()> {
    let cloud = Cloud::start(HostsOptions::default())?;
    cloud.by_tags()?;
    let mut line = "run --skip-rehearsal";
    for point in POINTS {
        let is_past = |it: &serde_json::Value| it["mark"] == "snapshot";
        if point != ("snapshot", "") || !cloud.journal().iter().any(is_past) {
            die(cloud.begin(line), &cloud, point).with_context(|| format!("{point:?}"))?;
        }
        line = "resume";
        cloud.api.set("i-2", "tags", json!({"role": "other"}))?;
    }
    let ended = cloud.migrate("resume -w json");
    ended.succeeded();
    cloud.is_handed_out();
    let url = bundle(&cloud)?["oss_url"].as_str().unwrap().to_owned();
    let revision = ended.json()["snapshot"]["revision"].as_i64().unwrap();
    is_the_cluster(&cloud, &fetched(&cloud, &url)?, revision)?;
    let marked = |mark: &str| cloud.journal().iter().filter(|line| line["mark"] == mark).count();
    assert_eq!((marked("run"), marked("snapshot")), (1, 1));
    Ok(())
}

#[test]
fn killed_it_is_rolled_back() -> Result<()> {
    let cloud = Cloud::one()?;
    for point in
        [("begin", "sleep"), ("begin", "snapshot"), ("begin", "bundle"), ("begin", "fence")]
    {
        let context = || format!("killed at {point:?}");
        die(cloud.begin("run --skip-rehearsal"), &cloud, point).with_context(context)?;
        cloud.migrate("rollback").succeeded();
        cloud.is_as_before().with_context(context)?;
    }
    assert_eq!(cloud.stored()?, [""; 0]);
    Ok(())
}

#[test]
fn a_signal_wakes_all_hosts() -> Result<()> {
    let cloud = Cloud::one()?;
    let host = cloud.hosts.host(1);
    host.set(Knob::NeverStops, "kube-scheduler")?;
    let mut run = cloud.begin("run --skip-rehearsal");
    run.step("begin", "sleep", "ecs:i-1")?;
    run.until(|| host.runs("kube-apiserver").is_ok_and(|runs| !runs))?;
    run.signal(Signal::INT)?;
    run.end().failed(130, &["interrupted", "every host is awake again, as before"]);
    host.unset(Knob::NeverStops)?;
    cloud.is_as_before()?;
    cloud.front.rule(Rule { act: Act::Stall, ..object_put() });
    let mut run = cloud.begin("run --skip-rehearsal");
    run.until(|| cloud.front.done() == 1)?;
    run.signal(Signal::TERM)?;
    run.end().failed(130, &["every host is awake again, as before"]);
    cloud.is_as_before()?;
    assert_eq!(cloud.stored()?, [""; 0]);
    Ok(())
}

/// What fetches the binary is ended on the host, however long the cloud takes to do it.
#[test]
fn a_signal_ends_an_installation() -> Result<()> {
    let cloud = Cloud::one()?;
    let url = cloud.files.url("slow");
    let mut run = cloud.begin(&format!("rehearse --binary-url {url}"));
    let fetches =
        || cloud.hosts.host(1).shell("pgrep -x curl || true").is_ok_and(|it| !it.is_empty());
    run.until(fetches)?;
    cloud.api.fault("StopInvocation", Fault::Late(2.0), 1)?;
    run.signal(Signal::INT)?;
    run.end().failed(130, &["interrupted"]);
    assert!(cloud.calls("StopInvocation") > 0);
    assert!(!fetches());
    cloud.is_as_before()
}
