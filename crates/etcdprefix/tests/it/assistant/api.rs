use std::time::Duration;

use anyhow::Result;
use etcdprefix_testkit::hosts::HostsOptions;
use etcdprefix_testkit::openapi::Fault;
use etcdprefix_testkit::proxy::Proxy;
use etcdprefix_testkit::stores::{Act, Key, Rule};

use super::Cloud;
use crate::migrate::bench::object_put;
use crate::migrate::moved::bundle;

/// The API's, in the middle of the outage.
const AWAY: Duration = Duration::from_secs(5);

#[test]
fn a_wrong_secret_and_a_missing_right_are_told_before_anything_begins() -> Result<()> {
    let cloud = Cloud::one()?;
    cloud.use_key(&Key::new(&cloud.api.key().id, "wrong-s3cr3t-wrong"));
    cloud.migrate("rehearse").failed(41, &["SignatureDoesNotMatch", "the secret"]);
    cloud.use_key(&Key::new("LTAInobody", "any-s3cr3t-any"));
    cloud.migrate("run --skip-rehearsal").failed(41, &["InvalidAccessKeyId", "try: "]);
    cloud.use_key(cloud.api.key());
    cloud.api.allow(cloud.api.key(), &["RunCommand"])?;
    let run = cloud.migrate("run --skip-rehearsal");
    run.failed(41, &["ecs:i-1: RunCommand: ", "least rights"]);
    cloud.by_tags()?;
    cloud.api.allow(cloud.api.key(), &["DescribeInstances"])?;
    cloud.migrate("rehearse").failed(41, &["DescribeInstances: "]);
    cloud.migrate("rehearse --assistant-profile nobody").failed(41, &["no credentials"]);
    assert!(!cloud.journal().iter().any(|line| line["step"] == "sleep"));
    cloud.before.check(&cloud.hosts)
}

/// Nothing is ended and nothing is done twice: as if connections broke.
#[test]
fn throttled_lost_and_broken_answers_are_asked_for_again() -> Result<()> {
    let cloud = Cloud::start(HostsOptions::default())?;
    cloud.front.rule(Rule { act: Act::Hold, ..object_put() });
    cloud.api.fault("RunCommand", Fault::Lost, 2)?;
    cloud.api.fault("DescribeInvocationResults", Fault::Throttle, 2)?;
    let puts = || cloud.store.as_oss().log().get(&("PutObject".into(), 200)).copied();
    let before = puts().unwrap_or(0);
    let mut run = cloud.begin("run --skip-rehearsal -w json");
    run.until(|| cloud.front.done() == 1)?;
    cloud.api.fault("DescribeInvocationResults", Fault::Lost, 4)?;
    cloud.api.fault("DescribeInvocationResults", Fault::Busy, 6)?;
    cloud.api.fault("RunCommand", Fault::Lost, 3)?;
    cloud.api.fault("RunCommand", Fault::Throttle, 2)?;
    cloud.front.release();
    let run = run.end();
    run.succeeded();
    cloud.is_handed_out();
    let outcomes = cloud.api.calls();
    let seen = |outcome: &str| outcomes.iter().filter(|call| call.outcome == outcome).count();
    assert_eq!((seen("Lost"), seen("Throttling.User")), (9, 4), "{outcomes:?}");
    // One probe of each host, and the snapshot.
    assert_eq!(puts(), Some(before + 4), "{run}");
    Ok(())
}

/// Steps that are under way go on meanwhile, and are not asked for again.
#[test]
fn an_api_that_is_away_in_the_outage_is_waited_for() -> Result<()> {
    let cloud = Cloud::start(HostsOptions { hosts: 2, ..HostsOptions::default() })?;
    let proxy = Proxy::start(&cloud.api.endpoint())?;
    cloud.configure(|config| {
        config["assistant"]["endpoint"] = proxy.endpoint().into();
        Ok(())
    })?;
    cloud.front.rule(Rule { act: Act::Hold, ..object_put() });
    let mut run = cloud.begin("run --skip-rehearsal -w json");
    run.until(|| cloud.front.done() == 1)?;
    proxy.cut_after(0);
    cloud.front.release();
    std::thread::sleep(AWAY);
    let before = cloud.calls("RunCommand");
    cloud.api.fault("DescribeInvocationResults", Fault::BlackHole, 1)?;
    proxy.heal();
    run.end().succeeded();
    let holes = cloud.api.calls().iter().filter(|call| call.outcome == "Hole").count();
    // To come are a bundle, two fences, quiet, and renewals.
    assert!(holes == 1 && cloud.calls("RunCommand") < before + 10, "{:?}", cloud.api.calls());
    cloud.is_handed_out();
    bundle(&cloud)?;
    let snapshots = cloud.journal().iter().filter(|line| line["mark"] == "snapshot").count();
    assert_eq!((snapshots, cloud.stored()?.len()), (1, 1));
    // Before anything sleeps it is not.
    proxy.cut_after(0);
    cloud.migrate("status").failed(29, &["ecs:i-1: ", "and 1 more"]);
    Ok(())
}

/// Every output is shorter than a reply; then shorter than any answer.
#[test]
fn outputs_that_are_cut_off_are_fetched_in_pieces_or_refused() -> Result<()> {
    let cloud = Cloud::one()?;
    cloud.api.set("i-1", "output_limit_bytes", 2500)?;
    cloud.migrate("rehearse").succeeded();
    let before = cloud.calls("RunCommand");
    cloud.migrate("run").succeeded();
    cloud.is_handed_out();
    bundle(&cloud)?;
    assert!(cloud.calls("RunCommand") > before + 15);
    cloud.api.set("i-1", "output_limit_bytes", 200)?;
    let status = cloud.migrate("status");
    status.failed(29, &["ecs:i-1", "cut off or changed"]);
    Ok(())
}
