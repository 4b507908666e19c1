use std::time::Duration;

use anyhow::{Result, ensure};
use etcd_client::PutOptions;
use etcdprefix_testkit::block_on;
use etcdprefix_testkit::hosts::{Hosts, HostsOptions};
use etcdprefix_testkit::stores::{Act, Rule};

use super::Migration;
use super::bench::object_put;

fn put(hosts: &Hosts, key: &str) -> Result<()> {
    block_on(async { anyhow::Ok(hosts.etcd().client(1).await?.put(key, "v", None).await?) })?;
    Ok(())
}

/// A key that goes away five seconds after its lease was last kept alive.
fn leased(hosts: &Hosts) -> Result<i64> {
    let granted = async {
        let mut client = hosts.etcd().client(1).await?;
        let lease = client.lease_grant(5, None).await?.id();
        let options = PutOptions::new().with_lease(lease);
        client.put("/registry/events/leased", "v", Some(options)).await?;
        anyhow::Ok(lease)
    };
    block_on(granted)
}

fn keep_alive(hosts: &Hosts, lease: i64) -> Result<()> {
    block_on(async {
        let mut client = hosts.etcd().client(1).await?;
        let (mut keeper, mut answers) = client.lease_keep_alive(lease).await?;
        keeper.keep_alive().await?;
        ensure!(answers.message().await?.is_some_and(|it| it.ttl() > 0), "the lease has ended");
        Ok(())
    })
}

fn is_there(hosts: &Hosts, key: &str) -> Result<bool> {
    let found = async { anyhow::Ok(hosts.etcd().client(1).await?.get(key, None).await?) };
    Ok(!block_on(found)?.kvs().is_empty())
}

/// Something that no sleep has reached writes: first all the time, then once, when all was uploaded.
#[test]
fn whoever_still_writes_stops_the_migration() -> Result<()> {
    let moving = Migration::start(HostsOptions::default())?;
    let writer = moving.hosts.etcd().writer(1, Duration::from_millis(20));
    writer.wait_for(1)?;
    let run = moving.migrate("run --skip-rehearsal");
    run.failed(25, &["somebody wrote after revision", "/registry/writer/", "awake again"]);
    writer.stop()?;
    moving.is_as_before()?;

    let holds = (1..=3).map(|host| moving.hold(host, "bundle")).collect::<Result<Vec<_>>>()?;
    let mut run = moving.begin("run --skip-rehearsal");
    run.marked(|line| line["mark"] == "snapshot")?;
    run.until(|| holds.iter().any(|hold| hold.is_waiting()))?;
    assert_eq!(moving.stored()?.len(), 1);
    put(&moving.hosts, "/registry/late")?;
    drop(holds);
    run.end().failed(25, &["somebody wrote after revision", "to /registry/late", "awake again"]);
    moving.is_as_before()?;
    // What was uploaded is gone.
    assert_eq!(moving.stored()?, [""; 0]);
    Ok(())
}

/// Leases end while nobody renews them, and a cluster may vote: both are no writes.
#[test]
fn leases_that_end_and_a_leader_that_changes_during_the_upload_are_no_fault() -> Result<()> {
    let moving = Migration::start(HostsOptions::default())?;
    moving.front.rule(Rule { act: Act::Hold, ..object_put() });
    let lease = leased(&moving.hosts)?;
    let mut run = moving.begin("run --skip-rehearsal -w json");
    run.until(|| keep_alive(&moving.hosts, lease).is_ok() && moving.front.done() == 1)?;
    let other = moving.hosts.etcd().leader()? % 3 + 1;
    moving.hosts.etcd().move_leader(other)?;
    while is_there(&moving.hosts, "/registry/events/leased")? {
        std::thread::sleep(Duration::from_millis(20));
    }
    moving.front.release();
    let run = run.end();
    run.succeeded();
    let quiet = &run.json()["snapshot"]["quiet"];
    assert!(quiet["expiries"].as_u64().unwrap() > 0, "{quiet}");
    moving.is_handed_out();
    Ok(())
}
