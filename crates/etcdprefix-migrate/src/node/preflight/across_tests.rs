use super::*;
use crate::protocol::MemberFacts;

fn member(id: &str) -> MemberFacts {
    MemberFacts {
        endpoint: format!("https://{id}:2379"),
        member_id: id.into(),
        cluster_id: "cafe".into(),
        name: None,
        version: "3.5.1".into(),
        is_leader: id == "1",
        is_learner: false,
        db_size_bytes: 0,
        db_in_use_bytes: 0,
        revision: 1,
        alarms: Vec::new(),
    }
}

fn hosts() -> Vec<(String, Preflight)> {
    let host = |id: &str| {
        let keys = [("sapub", "aa"), ("frontcrt", "bb")];
        let facts = Facts {
            version: "0.1.0".into(),
            clock_offset_ms: Some(100),
            etcd_prefix: "/registry".into(),
            members: ["1", "2", "3"].map(member).into(),
            own_member: Some(id.into()),
            kubernetes_version: Some("v1.20.2".into()),
            time_zone: Some("Asia/Shanghai".into()),
            public_keys: keys.map(|(name, digest)| (name.into(), digest.into())).into(),
            ..Facts::default()
        };
        (format!("m{id}"), Preflight { checks: Vec::new(), facts })
    };
    ["1", "2", "3"].map(host).into()
}

/// What becomes of healthy hosts whose last one is changed.
#[track_caller]
fn changed(name: &str, change: impl FnOnce(&mut Facts), standing: Standing, words: &str) {
    let mut hosts = hosts();
    change(&mut hosts[2].1.facts);
    let checks = across(&hosts);
    let check = checks.iter().find(|check| check.name == name).unwrap();
    assert_eq!(check.standing, standing, "{check:?}");
    assert!(check.found.contains(words), "{check:?}");
    assert_eq!(check.advice.is_empty(), standing == Standing::Ok, "{check:?}");
}

#[test]
fn hosts_of_one_cluster_are_well() {
    let checks = across(&hosts());
    let names: Vec<&str> = checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "same_cluster",
            "same_version",
            "same_prefix",
            "same_time_zone",
            "same_keys",
            "same_clock",
            "leader_host",
            "own_members",
            "same_binary",
        ]
    );
    assert!(checks.iter().all(|check| check.standing == Standing::Ok), "{checks:?}");
    assert_eq!(checks[6].found, "m1");
    assert!(across(&[]).iter().all(|check| check.standing != Standing::Fail));
}

#[test]
fn what_differs_is_told_with_its_hosts() {
    let fail = Standing::Fail;
    let other = |facts: &mut Facts| facts.members[0].cluster_id = "beef".into();
    changed("same_cluster", other, fail, "beef on m3; cafe on m1, m2");
    changed("same_cluster", |it| it.members.clear(), Standing::Warn, "not known on m3");
    let newer = |facts: &mut Facts| facts.kubernetes_version = Some("v1.22.0".into());
    changed("same_version", newer, fail, "v1.22.0 on m3");
    changed("same_prefix", |it| it.etcd_prefix = "/other".into(), fail, "/other on m3");
    changed("same_time_zone", |it| it.time_zone = Some("UTC".into()), fail, "UTC on m3");
    changed("same_time_zone", |it| it.time_zone = None, Standing::Warn, "not known on m3");
    let key = |facts: &mut Facts| drop(facts.public_keys.insert("sapub".into(), "cc".into()));
    changed("same_keys", key, fail, "sapub differs: m1, m2 / m3");
    let lost = |facts: &mut Facts| drop(facts.public_keys.remove("frontcrt"));
    changed("same_keys", lost, fail, "frontcrt differs");
    changed("same_binary", |it| it.version = "0.2.0".into(), fail, "0.2.0 on m3");
}

#[test]
fn clocks_may_differ_a_little() {
    for (offset_ms, standing) in [
        (5_100, Standing::Ok),
        (5_101, Standing::Warn),
        (-59_900, Standing::Warn),
        (-59_901, Standing::Fail),
        (i64::MAX, Standing::Fail),
    ] {
        let skewed = |facts: &mut Facts| facts.clock_offset_ms = Some(offset_ms);
        changed("same_clock", skewed, standing, " s apart at most");
    }
}

#[test]
fn the_leader_should_be_on_a_host_and_each_host_have_a_member() {
    let warn = Standing::Warn;
    let mut two = hosts();
    two.remove(0);
    let checks = across(&two);
    let leader = checks.iter().find(|check| check.name == "leader_host").unwrap();
    assert_eq!(
        (leader.standing, leader.found.as_str()),
        (warn, "the leader 1 is on none of these hosts")
    );
    let members = checks.iter().find(|check| check.name == "own_members").unwrap();
    assert_eq!(
        (members.standing, members.found.as_str()),
        (warn, "members on none of these hosts: 1")
    );
    let against = not_found(&two).unwrap();
    assert_eq!(
        (against.standing, against.found.as_str()),
        (Standing::Fail, members.found.as_str())
    );
    assert!(not_found(&hosts()).is_none());
    // Nobody's member is on a host: etcd is elsewhere.
    two.iter_mut().for_each(|(_, found)| found.facts.own_member = None);
    assert!(not_found(&two).is_none());

    changed("leader_host", |it| it.members[1].is_leader = true, warn, "2 leaders");
    changed("own_members", |it| it.own_member = None, warn, "no member of its own: m3");
    let same = |facts: &mut Facts| facts.own_member = Some("2".into());
    changed("own_members", same, Standing::Fail, "m2, m3 all say that 2 is theirs");
}
