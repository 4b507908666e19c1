//! What preflight finds of real members.

use anyhow::Result;
use etcdprefix_migrate::NodeErrorKind;
use etcdprefix_migrate::node::preflight::Standing::{Fail, Ok as Well, Warn};
use etcdprefix_migrate::node::{members, preflight};
use etcdprefix_migrate::protocol::{EtcdAccess, PreflightRequest};
use etcdprefix_testkit::cluster::{ClusterOptions, EtcdCluster, Security};
use etcdprefix_testkit::{Version, block_on};

use crate::master::Master;

fn access(endpoints: &[&str]) -> EtcdAccess {
    let endpoints = endpoints.iter().map(|endpoint| (*endpoint).to_owned()).collect();
    EtcdAccess { endpoints, ..EtcdAccess::default() }
}

fn three() -> Result<EtcdCluster> {
    let options = ClusterOptions { members: 3, ..ClusterOptions::default() };
    EtcdCluster::start(Version::V3_5_16, options)
}

#[test]
fn all_members_are_found_by_one() -> Result<()> {
    let cluster = three()?;
    let master = Master::new()?;
    master.api_server(&[&format!("--etcd-servers={}", cluster.endpoint(1))])?;
    let found = master.look(&master.request())?;
    for name in [
        "etcd_servers",
        "etcd_health",
        "etcd_leader",
        "etcd_alarms",
        "etcd_learner",
        "etcd_version",
        "etcd_revisions",
        "working_folder",
    ] {
        found.stands(name, Well, "");
    }
    let facts = &found.0.facts;
    assert_eq!(facts.members.len(), 3);
    assert_eq!(facts.members.iter().filter(|member| member.is_leader).count(), 1);
    assert_eq!(facts.own_member, Some(format!("{:x}", cluster.member_id(1))));
    assert!(facts.members.iter().all(|member| member.version == "3.5.16"), "{facts:?}");

    let same = preflight::across(&[("m1".into(), found.0.clone())]);
    let leader = same.iter().find(|check| check.name == "leader_host").unwrap();
    assert!(matches!(leader.standing, Well | Warn), "{leader:?}");
    Ok(())
}

#[test]
fn members_are_asked_as_they_want_it() -> Result<()> {
    let options = ClusterOptions { security: Security::MutualTls, ..ClusterOptions::default() };
    let cluster = EtcdCluster::start(Version::V3_4_23, options)?;
    let client = cluster.client_certificate();
    let access = EtcdAccess {
        cacert: Some(cluster.authority().certificate().to_owned()),
        cert: Some(client.certificate().to_owned()),
        key: Some(client.key().to_owned()),
        ..access(&[cluster.endpoint(0)])
    };
    let told = members::run(&access)?;
    assert_eq!(told.len(), 1);
    assert!(told[0].is_leader && told[0].version == "3.4.23", "{told:?}");

    let bare = EtcdAccess { cert: None, key: None, ..access };
    let refused = members::run(&bare).unwrap_err();
    assert_eq!(refused.kind, NodeErrorKind::Etcd, "{refused:?}");
    assert!(refused.hint.is_some(), "{refused:?}");
    Ok(())
}

#[test]
fn learners_alarms_and_silent_members_are_told() -> Result<()> {
    let mut cluster = three()?;
    let master = Master::new()?;
    let etcd = Some(access(&cluster.endpoints()));
    let request = PreflightRequest { etcd, ..master.request() };
    cluster.add_learner()?;
    let found = master.look(&request)?;
    found.stands("etcd_learner", Warn, "member-3");
    found.stands("etcd_health", Well, "4 of 4");

    let leader = found.0.facts.members.iter().position(|member| member.is_leader).unwrap();
    let follower = (0..3).find(|member| *member != leader).unwrap();
    cluster.kill(follower)?;
    let found = master.look(&request)?;
    found.stands("etcd_health", Fail, &format!("no answer from member-{follower}"));
    found.stands("etcd_leader", Well, "");

    let other = (0..3).find(|member| ![leader, follower].contains(member)).unwrap();
    cluster.kill(other)?;
    let found = master.look(&request)?;
    assert_eq!(found.check("etcd_health").standing, Fail);
    Ok(())
}

#[test]
fn a_full_etcd_speaks_against_it() -> Result<()> {
    let options =
        ClusterOptions { flags: &["--quota-backend-bytes", "200000"], ..ClusterOptions::default() };
    let cluster = EtcdCluster::start(Version::V3_5_16, options)?;
    block_on(async {
        let mut client = cluster.client(0).await?;
        // The size is looked at only after what was written is committed, some 100 ms later.
        let mut number = 0;
        while client.put(format!("k{number}"), vec![0; 50_000], None).await.is_ok() {
            number += 1;
            assert!(number < 10_000, "the quota is ignored");
        }
        anyhow::Ok(())
    })?;
    let master = Master::new()?;
    master.api_server(&[&format!("--etcd-servers={}", cluster.endpoint(0))])?;
    let found = master.look(&master.request())?;
    found.stands("etcd_alarms", Fail, "NOSPACE");
    Ok(())
}

#[test]
fn another_cluster_than_the_api_servers_is_refused() -> Result<()> {
    let (own, other) = (three()?, EtcdCluster::start(Version::V3_4_23, ClusterOptions::default())?);
    let master = Master::new()?;
    master.api_server(&[&format!("--etcd-servers={}", own.endpoint(0))])?;
    let ask =
        |endpoint: &str| PreflightRequest { etcd: Some(access(&[endpoint])), ..master.request() };
    master.look(&ask(own.endpoint(2)))?.stands("same_etcd", Well, "cluster ");
    let found = master.look(&ask(other.endpoint(0)))?;
    found.stands("same_etcd", Fail, "the endpoints given are of ");
    master.api_server(&["--etcd-servers=http://127.0.0.1:1"])?;
    master.look(&ask(own.endpoint(0)))?.stands("same_etcd", Warn, "do not answer");

    let both = [own.endpoint(0), other.endpoint(0)];
    let two = PreflightRequest { etcd: Some(access(&both)), ..master.request() };
    master.look(&two)?.stands("etcd_health", Fail, "different clusters");
    Ok(())
}
