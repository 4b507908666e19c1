use anyhow::Result;
use etcdprefix_testkit::hosts::{HostsOptions, Knob};
use etcdprefix_testkit::stores::{Act, Rule};
use rustix::process::Signal;

use super::Migration;
use super::bench::object_put;

/// Ctrl-C, and what a service manager sends: all is put back, and the exit code says so.
#[test]
fn a_signal_before_the_hand_out_wakes_all_hosts() -> Result<()> {
    let moving = Migration::start(HostsOptions::default())?;
    // While one host doesn't fall asleep.
    moving.hosts.host(2).set(Knob::NeverStops, "kube-scheduler")?;
    let mut run = moving.begin("run --skip-rehearsal");
    run.step("done", "sleep", "m1")?;
    run.signal(Signal::INT)?;
    // Whoever is impatient is told, and changes nothing.
    run.signal(Signal::INT)?;
    run.end().failed(130, &["interrupted", "every host is awake again, as before"]);
    moving.hosts.host(2).unset(Knob::NeverStops)?;
    moving.is_as_before()?;
    // While the snapshot is on its way to the store.
    moving.front.rule(Rule { act: Act::Stall, ..object_put() });
    let mut run = moving.begin("run --skip-rehearsal");
    run.until(|| moving.front.done() == 1)?;
    run.signal(Signal::TERM)?;
    run.end().failed(130, &["every host is awake again, as before"]);
    moving.is_as_before()?;
    assert_eq!(moving.stored()?, [""; 0]);
    assert_eq!(moving.status()["phase"], "rolled_back");
    Ok(())
}

#[test]
fn a_signal_after_the_hand_out_wakes_none() -> Result<()> {
    let moving = Migration::one()?;
    let mut run = moving.begin("run --skip-rehearsal");
    run.marked(|line| line["mark"] == "handing_out")?;
    run.signal(Signal::INT)?;
    run.end().succeeded();
    moving.is_handed_out();
    Ok(())
}
