//! Three members: who leads, who learns, who is gone, who is silent.

use std::net::TcpStream;
use std::time::Duration;

use anyhow::Result;
use etcdprefix_testkit::cluster::{ClusterOptions, EtcdCluster, Security};
use etcdprefix_testkit::load::{self, Load, Mix};
use etcdprefix_testkit::{Version, block_on};

use super::{fails, succeeds};

fn three(version: Version, security: Security) -> Result<EtcdCluster> {
    EtcdCluster::start(version, ClusterOptions { members: 3, security, ..Default::default() })
}

async fn members(cluster: &EtcdCluster, asked: usize) -> Result<Vec<(u64, bool)>> {
    let list = cluster.client(asked).await?.member_list().await?;
    Ok(list.members().iter().map(|member| (member.id(), member.is_learner())).collect())
}

#[test]
fn a_leader_moves_and_falls_on_each_version() -> Result<()> {
    for version in Version::ALL {
        let mut cluster = three(version, Security::Plain)?;
        let next = (cluster.leader()? + 1) % 3;
        cluster.move_leader(next)?;
        cluster.kill(next)?;
        let heir = cluster.leader()?;
        assert_ne!(heir, next);
        succeeds(&mut cluster.etcdctl(heir)?, &["put", "key", "two of three"])?;
        fails(&mut cluster.etcdctl(next)?, &["get", "key"])?;
        let listed = block_on(members(&cluster, heir))?;
        assert!(listed.contains(&(cluster.member_id(next), false)), "{listed:?}");
        assert_eq!(cluster.endpoints().len(), 3);
    }
    Ok(())
}

#[test]
fn a_learner_has_what_was_written_on_each_version() -> Result<()> {
    for version in Version::ALL {
        let mut cluster = three(version, Security::MutualTls)?;
        let load = Load { records: 3_000, value_bytes: 100, mix: Mix::Kubernetes, seed: 1 };
        let learner = block_on(async { load::fill(&mut cluster.client(0).await?, &load).await })
            .and_then(|()| cluster.add_learner())?;
        assert_eq!(learner, 3);
        let listed = block_on(members(&cluster, 0))?;
        assert!(listed.contains(&(cluster.member_id(learner), true)), "{listed:?}");
        assert_eq!(listed.iter().filter(|(_, learns)| *learns).count(), 1);
        let count = ["get", "/registry/", "--prefix", "--keys-only", "--consistency=s"];
        let known = succeeds(&mut cluster.etcdctl(0)?, &count)?;
        assert!(known.len() > 100_000, "{} bytes", known.len());
        assert_eq!(succeeds(&mut cluster.etcdctl(learner)?, &count)?, known);
        assert_ne!(cluster.leader()?, learner);
    }
    Ok(())
}

#[test]
fn a_stopped_member_is_silent_until_it_goes_on() -> Result<()> {
    let mut cluster = three(Version::V3_5_16, Security::Tls)?;
    let stopped = cluster.leader()?;
    cluster.stop(stopped)?;
    let status = ["endpoint", "status"];
    let silence = fails(&mut cluster.etcdctl(stopped)?, &status)?;
    assert!(silence.contains("deadline exceeded"), "{silence}");
    let heir = cluster.leader()?;
    assert_ne!(heir, stopped);
    cluster.resume(stopped)?;
    assert_ne!(cluster.leader()?, stopped, "it sees that it was replaced");
    succeeds(&mut cluster.etcdctl(stopped)?, &status)?;
    cluster.stop(stopped)?;
    let address = cluster.endpoint(stopped).trim_start_matches("https://").to_owned();
    assert!(TcpStream::connect(&address).is_ok(), "the kernel accepts for a stopped process");
    drop(cluster);
    assert!(TcpStream::connect(&address).is_err(), "a stopped process ends too");
    Ok(())
}

#[test]
fn a_writer_goes_on_when_a_leader_falls() -> Result<()> {
    let mut cluster = three(Version::V3_5_1, Security::Plain)?;
    let leader = cluster.leader()?;
    let writer = cluster.writer((leader + 1) % 3, Duration::ZERO);
    writer.wait_for(20)?;
    cluster.kill(leader)?;
    writer.wait_for(20)?;
    let written = writer.stop()?;
    assert!(written.puts >= 40 && written.revision > 40, "{written:?}");
    Ok(())
}
