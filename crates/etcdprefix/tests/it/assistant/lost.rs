//! What becomes of commands that the cloud loses sight of.

use anyhow::Result;
use etcdprefix_testkit::openapi::Fault;
use rustix::process::Signal;

use super::Cloud;
use crate::migrate::moved::bundle;

/// The agent's machine starts anew, or the agent forgets what it ran: what was begun is found, and done once.
#[test]
fn commands_that_are_interrupted_or_never_reported_are_asked_for_again() -> Result<()> {
    let cloud = Cloud::one()?;
    let hold = cloud.hold(1, "renew")?;
    let mut run = cloud.begin("run --skip-rehearsal -w json");
    run.until(|| hold.is_waiting())?;
    // The snapshot, then the snapshot again.
    cloud.api.fault("RunCommand", Fault::Interrupted(0.2), 1)?;
    cloud.api.fault("RunCommand", Fault::Unreported, 1)?;
    hold.release();
    run.end().succeeded();
    cloud.is_handed_out();
    bundle(&cloud)?;
    let snapshots = cloud.journal().iter().filter(|line| line["mark"] == "snapshot").count();
    assert_eq!((snapshots, cloud.stored()?.len()), (1, 1));
    Ok(())
}

/// A key that ends in the outage may be mended, and until then nothing is given up.
#[test]
fn a_key_that_is_refused_for_a_while_in_the_outage_is_tried_again() -> Result<()> {
    let cloud = Cloud::one()?;
    let hold = cloud.hold(1, "snapshot")?;
    let mut run = cloud.begin("run --skip-rehearsal");
    run.until(|| hold.is_waiting())?;
    for action in ["RunCommand", "DescribeInvocationResults"] {
        cloud.api.fault(action, Fault::Refuse(403, "InvalidSecurityToken.Expired"), 2)?;
    }
    hold.release();
    run.end().succeeded();
    cloud.is_handed_out();
    Ok(())
}

/// Ctrl-C while the lock waits for its agent: it is not taken later.
#[test]
fn nothing_is_delivered_that_nobody_waits_for() -> Result<()> {
    let cloud = Cloud::one()?;
    let mut run = cloud.begin("run --skip-rehearsal");
    run.until(|| cloud.calls("RunCommand") == 1)?;
    cloud.api.fault("RunCommand", Fault::Pending(20.0), 1)?;
    run.until(|| cloud.calls("RunCommand") == 2)?;
    run.signal(Signal::INT)?;
    run.end().failed(130, &["interrupted"]);
    let stops = cloud.api.calls_of("StopInvocation");
    assert!(stops.iter().any(|call| call.outcome == "OK"), "{stops:?}");
    cloud.is_as_before()
}
