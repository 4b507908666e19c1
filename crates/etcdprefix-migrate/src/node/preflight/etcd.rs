//! The members of etcd, all of them.

use std::collections::BTreeSet;

use etcdprefix_etcd::members::Survey;

use super::topic::{Topic, listed};
use super::{Check, Standing};
use crate::node::members;
use crate::protocol::MemberFacts;

const HEALTH: Topic = Topic::new(
    "etcd_health",
    "the snapshot is proved against all members, and a master whose member is down can't be trusted \
     to go to sleep and wake up",
);
const LEADER: Topic =
    Topic::new("etcd_leader", "the snapshot is taken from the leader, which has all writes");
const ALARMS: Topic = Topic::new(
    "etcd_alarms",
    "under NOSPACE nobody can write, under CORRUPT members hold different data; alarms move along",
);
const LEARNER: Topic =
    Topic::new("etcd_learner", "a learner may lag behind, and the snapshot is never taken from it");
const VERSIONS: Topic = Topic::new(
    "etcd_version",
    "members of one version agree on hashes, by which the snapshot is proved",
);
const REVISIONS: Topic =
    Topic::new("etcd_revisions", "a member that lags far behind is overloaded or cut off");

/// Members are asked one after the other while the cluster works.
const REVISIONS_APART: i64 = 1_000;

/// Versions that this tool was tried on or reads the format of.
const KNOWN: [&str; 5] = ["3.3.", "3.4.", "3.5.", "3.6.", "3.7."];

/// What a survey told.
#[derive(Clone, Debug, Default)]
pub(super) struct Members {
    /// Those that answered, each once.
    pub(super) facts: Vec<MemberFacts>,
    /// For each endpoint without an answer, why.
    pub(super) failures: Vec<String>,
    /// Members of the list that none of the endpoints leads to.
    pub(super) unasked: Vec<String>,
    /// Ids of leaders that members follow, in hexadecimal.
    pub(super) leaders: BTreeSet<String>,
    /// Members that see none.
    pub(super) leaderless: Vec<String>,
}

impl Members {
    pub(super) fn of(survey: &Survey) -> Self {
        let mut this = Self {
            failures: survey.failures().collect(),
            unasked: survey.unasked(),
            ..Self::default()
        };
        for status in survey.connections().into_iter().map(|(status, _)| status) {
            match status.leader_id {
                Some(leader) => drop(this.leaders.insert(format!("{leader:x}"))),
                None => this.leaderless.push(status.title()),
            }
            this.facts.push(members::facts(status));
        }
        this
    }

    /// The largest file of etcd.
    pub(super) fn db_size_bytes(&self) -> Option<u64> {
        self.facts.iter().map(|member| member.db_size_bytes).max()
    }
}

/// That nobody could be asked.
pub(super) fn unasked(why: &str, hint: Option<&str>) -> Vec<Check> {
    vec![HEALTH.fail(why, hint.unwrap_or("etcd's endpoints and certificates in the configuration"))]
}

pub(super) fn checks(members: &Members) -> Vec<Check> {
    if members.facts.is_empty() {
        return unasked(&listed(&members.failures, "no member answers"), None);
    }
    vec![
        health(members),
        leader(members),
        alarms(members),
        learner(members),
        versions(members),
        revisions(members),
    ]
}

fn title(member: &MemberFacts) -> String {
    match member.name.as_deref() {
        Some(name) if !name.is_empty() => format!("{name} ({})", member.endpoint),
        _ => member.endpoint.clone(),
    }
}

fn health(members: &Members) -> Check {
    let count = members.facts.len();
    let titles: Vec<String> = members.facts.iter().map(title).collect();
    if !members.unasked.is_empty() {
        let silent = members.unasked.join(", ");
        let found = listed(&members.failures, format!("nobody leads to {silent}"));
        return HEALTH.fail(
            format!("no answer from {silent}: {found}"),
            "to repair or remove that member first (etcdctl member list), or to name endpoints that \
             lead to it",
        );
    }
    if members.failures.is_empty() {
        return HEALTH.ok(format!("{count} of {count} answer: {}", titles.join(", ")));
    }
    HEALTH.warn(
        format!("all {count} members answer, but not everywhere: {}", members.failures.join("; ")),
        "nothing, if that address is not meant for this host",
    )
}

fn leader(members: &Members) -> Check {
    let leading: Vec<String> = members.facts.iter().filter(|it| it.is_leader).map(title).collect();
    let agreed = members.leaders.len() == 1 && members.leaderless.is_empty();
    match leading.as_slice() {
        [one] if agreed => LEADER.ok(one.as_str()),
        _ if members.leaders.is_empty() => {
            LEADER.fail("no member sees a leader", "to repair etcd first: it has no quorum")
        }
        [] if agreed => LEADER.warn(
            format!(
                "the leader {} was not reached",
                members.leaders.iter().cloned().collect::<String>()
            ),
            "endpoints of all members",
        ),
        _ => LEADER.fail(
            format!("members disagree; without leader: {}", listed(&members.leaderless, "none")),
            "to wait until an election is over, or to repair the network between the members",
        ),
    }
}

fn alarms(members: &Members) -> Check {
    let alarmed = members.facts.iter().filter(|member| !member.alarms.is_empty());
    let raised: Vec<String> =
        alarmed.map(|member| format!("{}: {}", title(member), member.alarms.join(", "))).collect();
    match raised.is_empty() {
        true => ALARMS.ok("none"),
        false => ALARMS.fail(
            raised.join("; "),
            "NOSPACE: compact, defragment, then etcdctl alarm disarm. CORRUPT: find the member that \
             is wrong (etcdprefix endpoint hashkv), and replace it",
        ),
    }
}

fn learner(members: &Members) -> Check {
    let learners = members.facts.iter().filter(|member| member.is_learner);
    let learners: Vec<String> = learners.map(title).collect();
    match learners.is_empty() {
        true => LEARNER.ok("all members vote"),
        false => LEARNER.warn(
            learners.join(", "),
            "etcdctl member promote once it has caught up, or member remove; or leave it: another \
             member serves",
        ),
    }
}

fn versions(members: &Members) -> Check {
    let versions: BTreeSet<&str> = members.facts.iter().map(|it| it.version.as_str()).collect();
    let all = versions.iter().copied().collect::<Vec<_>>().join(", ");
    let is_known = |version: &&str| KNOWN.iter().any(|known| version.starts_with(known));
    match versions.len() {
        1 if versions.iter().all(is_known) => VERSIONS.ok(all),
        1 => VERSIONS.warn(
            format!("{all}, which this tool was not tried on"),
            "a rehearsal, which reads, rewrites and proves the whole snapshot",
        ),
        _ => VERSIONS.warn(
            format!("members of different versions: {all}"),
            "to finish the upgrade first: hashes of different versions may differ for equal data",
        ),
    }
}

fn revisions(members: &Members) -> Check {
    let revisions = members.facts.iter().map(|member| member.revision);
    let least = revisions.clone().min().unwrap_or_default();
    let most = revisions.max().unwrap_or_default();
    let standing = match most - least {
        0..=REVISIONS_APART => Standing::Ok,
        _ => Standing::Warn,
    };
    let advice = match standing {
        Standing::Ok => "",
        _ => "to see what slows that member down (disk, network) before the migration",
    };
    REVISIONS.check(standing, format!("{least} to {most}"), advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, revision: i64) -> MemberFacts {
        MemberFacts {
            endpoint: format!("https://{name}:2379"),
            member_id: name.into(),
            cluster_id: "c".into(),
            name: Some(name.into()),
            version: "3.5.1".into(),
            is_leader: name == "a",
            is_learner: false,
            db_size_bytes: 4096,
            db_in_use_bytes: 4096,
            revision,
            alarms: Vec::new(),
        }
    }

    fn three() -> Members {
        Members {
            facts: ["a", "b", "d"].map(|name| member(name, 7)).into(),
            leaders: ["a".to_owned()].into(),
            ..Members::default()
        }
    }

    #[track_caller]
    fn stands(members: &Members, name: &str, standing: Standing) -> Check {
        let all = checks(members);
        let check = all.iter().find(|check| check.name == name).unwrap();
        assert_eq!(check.standing, standing, "{check:?}");
        assert_eq!(check.advice.is_empty(), standing == Standing::Ok, "{check:?}");
        check.clone()
    }

    #[test]
    fn three_healthy_members_are_well() {
        let all = checks(&three());
        assert_eq!(all.len(), 6);
        assert!(all.iter().all(|check| check.standing == Standing::Ok), "{all:?}");
        assert_eq!(three().db_size_bytes(), Some(4096));
    }

    #[test]
    fn versions_and_revisions_may_differ_a_little() {
        let mut members = three();
        members.facts[1].version = "3.4.23".into();
        stands(&members, "etcd_version", Standing::Warn);
        members.facts.iter_mut().for_each(|member| member.version = "4.0.0".into());
        stands(&members, "etcd_version", Standing::Warn);
        members.facts[1].revision = 1_007;
        stands(&members, "etcd_revisions", Standing::Ok);
        members.facts[1].revision = 1_008;
        stands(&members, "etcd_revisions", Standing::Warn);
    }

    #[test]
    fn a_leader_that_some_do_not_see_is_none() {
        let leaderless = Members { leaderless: vec!["d".into()], ..three() };
        stands(&leaderless, "etcd_leader", Standing::Fail);
        let two = Members { leaders: ["a".to_owned(), "b".to_owned()].into(), ..three() };
        stands(&two, "etcd_leader", Standing::Fail);
        let mut elsewhere = three();
        elsewhere.facts.remove(0);
        stands(&elsewhere, "etcd_leader", Standing::Warn);
    }

    #[test]
    fn an_address_that_fails_is_no_member_that_fails() {
        let failures = vec!["https://x:1: cannot connect".to_owned()];
        let elsewhere = Members { failures: failures.clone(), ..three() };
        stands(&elsewhere, "etcd_health", Standing::Warn);
        let silent = Members { failures, unasked: vec!["e".into()], ..three() };
        let check = stands(&silent, "etcd_health", Standing::Fail);
        assert!(check.found.contains("no answer from e: https://x:1"), "{check:?}");
    }
}
