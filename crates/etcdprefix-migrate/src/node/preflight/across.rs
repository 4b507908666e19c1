//! What only several hosts together tell.

use std::collections::{BTreeMap, BTreeSet};

use super::topic::Topic;
use super::{Check, Facts, Preflight, Standing};

const CLUSTER: Topic = Topic::new(
    "same_cluster",
    "all masters must be of one cluster: what is put to sleep and what is saved belong together",
);
const VERSION: Topic = Topic::new(
    "same_version",
    "the managed side runs one version; masters of several are in the middle of an upgrade",
);
const PREFIX: Topic =
    Topic::new("same_prefix", "API servers of one cluster keep their objects under one prefix");
const ZONE: Topic = Topic::new(
    "same_time_zone",
    "CronJobs start by the controller manager's time zone, whichever master leads",
);
const KEYS: Topic = Topic::new(
    "same_keys",
    "the bundle has the keys of one master; tokens and certificates of others must fit them",
);
const CLOCKS: Topic =
    Topic::new("same_clock", "timers, leases and presigned URLs go by the hosts' clocks");
const LEADER: Topic = Topic::new(
    "leader_host",
    "the snapshot is taken on the host whose member leads, without a way over the network",
);
const MEMBERS: Topic = Topic::new(
    "own_members",
    "each master has a member of its own, so that one host's fault is one",
);
const FOUND: Topic = Topic::new(
    "all_found",
    "tags and resource groups have to lead to all masters: one that is left out goes on writing",
);
const BINARY: Topic =
    Topic::new("same_binary", "all hosts must understand each step in the same way");

/// Clocks that differ more are worth a look.
const SKEW_WARN_MS: u64 = 5_000;
/// Signatures and leases do not bear more.
const SKEW_FAIL_MS: u64 = 60_000;

/// How clocks stand that are so far apart.
pub(super) fn standing_of_skew(apart_ms: u64) -> Standing {
    if apart_ms > SKEW_FAIL_MS {
        Standing::Fail
    } else if apart_ms > SKEW_WARN_MS {
        Standing::Warn
    } else {
        Standing::Ok
    }
}

/// Holds all hosts' findings against each other.
pub fn across(hosts: &[(String, Preflight)]) -> Vec<Check> {
    let all = Hosts(hosts);
    vec![
        all.cluster(),
        all.same(&VERSION, "an upgrade that is finished first", |it| it.kubernetes_version.clone()),
        all.same(&PREFIX, "the same --etcd-prefix on all masters", |it| {
            Some(it.etcd_prefix.clone()).filter(|prefix| !prefix.is_empty())
        }),
        all.same(&ZONE, "timedatectl set-timezone, the same on all masters", |it| {
            it.time_zone.clone()
        }),
        all.keys(),
        all.clocks(),
        all.leader(),
        all.members(),
        all.same(&BINARY, "the same etcdprefix on all hosts", |it| Some(it.version.clone())),
    ]
}

/// What speaks against it if the hosts were looked up rather than named: a master that was not found goes on
/// writing. With etcd outside of all masters, nothing tells.
pub fn not_found(hosts: &[(String, Preflight)]) -> Option<Check> {
    let (owned, elsewhere) = Hosts(hosts).owned_and_elsewhere();
    let found = format!("members on none of these hosts: {}", elsewhere.join(", "));
    let is_against = !owned.is_empty() && !elsewhere.is_empty();
    is_against.then(|| {
        FOUND.fail(found, "the tags or the resource group on all masters, or `hosts` by their ids")
    })
}

struct Hosts<'a>(&'a [(String, Preflight)]);

impl<'a> Hosts<'a> {
    fn facts(&self) -> impl Iterator<Item = (&'a str, &'a Facts)> {
        self.0.iter().map(|(host, found)| (host.as_str(), &found.facts))
    }

    /// Values, each with the hosts that have it.
    fn values(&self, of: impl Fn(&Facts) -> Option<String>) -> BTreeMap<String, Vec<&'a str>> {
        let mut values: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (host, facts) in self.facts() {
            values.entry(of(facts).unwrap_or_else(|| "not known".into())).or_default().push(host);
        }
        values
    }

    fn same(&self, topic: &Topic, advice: &str, of: impl Fn(&Facts) -> Option<String>) -> Check {
        let values = self.values(of);
        let told: Vec<String> = values
            .iter()
            .map(|(value, hosts)| format!("{value} on {}", hosts.join(", ")))
            .collect();
        match values.len() {
            0 | 1 => topic.ok(values.into_keys().next().unwrap_or_default()),
            // What one host does not tell is no difference.
            2 if values.contains_key("not known") => topic.warn(told.join("; "), advice),
            _ => topic.fail(told.join("; "), advice),
        }
    }

    fn cluster(&self) -> Check {
        let advice = "the hosts of one cluster in the configuration, and all of them";
        self.same(&CLUSTER, advice, |facts| {
            facts.members.first().map(|member| member.cluster_id.clone())
        })
    }

    fn keys(&self) -> Check {
        let names: BTreeSet<&String> =
            self.facts().flat_map(|(_, it)| it.public_keys.keys()).collect();
        let differing = names.iter().find(|name| {
            let values = self.values(|facts| facts.public_keys.get(name.as_str()).cloned());
            values.len() > 1
        });
        match differing {
            Some(name) => {
                let values = self.values(|facts| facts.public_keys.get(name.as_str()).cloned());
                let hosts = values.into_values().map(|hosts| hosts.join(", "));
                let found = format!("{name} differs: {}", hosts.collect::<Vec<_>>().join(" / "));
                KEYS.fail(found, "the same keys in /etc/kubernetes/pki of all masters first")
            }
            None if names.is_empty() => {
                KEYS.warn("no host has told its keys", "see its own checks")
            }
            None => KEYS.ok("the same on all hosts"),
        }
    }

    fn clocks(&self) -> Check {
        let offsets = || self.facts().filter_map(|(_, facts)| facts.clock_offset_ms);
        let (Some(least), Some(most)) = (offsets().min(), offsets().max()) else {
            return CLOCKS.warn("not compared", "chronyc tracking on each host");
        };
        let apart_ms = most.abs_diff(least);
        let found = format!("{:.1} s apart at most", apart_ms as f64 / 1000.0);
        let advice = "chronyc makestep (or ntpd -gq) on all masters";
        match standing_of_skew(apart_ms) {
            Standing::Ok => CLOCKS.ok(found),
            standing => CLOCKS.check(standing, found, advice),
        }
    }

    fn leader(&self) -> Check {
        let members = self.facts().flat_map(|(_, facts)| &facts.members);
        let leading: BTreeSet<&str> =
            members.filter(|member| member.is_leader).map(|it| it.member_id.as_str()).collect();
        let Some(leader) = leading.iter().next().filter(|_| leading.len() == 1) else {
            let found = match leading.len() {
                0 => "nobody told of a leader".to_owned(),
                more => format!("{more} leaders: it changed while the hosts were asked"),
            };
            return LEADER.warn(found, "again, once etcd has rested for a minute");
        };
        let mut own = self.facts().filter(|(_, facts)| facts.own_member.as_deref() == Some(leader));
        match own.next() {
            Some((host, _)) => LEADER.ok(host),
            None => LEADER.warn(
                format!("the leader {leader} is on none of these hosts"),
                "nothing if that is meant: the snapshot is then taken over the network from the \
                 first host, whose endpoints must lead to the leader",
            ),
        }
    }

    fn members(&self) -> Check {
        let mut owners: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (host, facts) in self.facts() {
            if let Some(member) = &facts.own_member {
                owners.entry(member.as_str()).or_default().push(host);
            }
        }
        if let Some((member, hosts)) = owners.iter().find(|(_, hosts)| hosts.len() > 1) {
            let found = format!("{} all say that {member} is theirs", hosts.join(", "));
            return MEMBERS
                .fail(found, "each host once in the configuration, not by several names");
        }
        let apart = self.members_apart();
        match apart.is_empty() {
            true => MEMBERS.ok(format!("{} hosts, {} members", self.0.len(), owners.len())),
            false => MEMBERS.warn(
                apart.join("; "),
                "nothing if etcd is outside the masters; else all masters in the configuration: \
                 one that is left out keeps its API server, which goes on writing",
            ),
        }
    }

    /// Hosts without a member, and members without a host.
    fn members_apart(&self) -> Vec<String> {
        let without = self.facts().filter(|(_, facts)| facts.own_member.is_none());
        let without: Vec<&str> = without.map(|(host, _)| host).collect();
        let (_, elsewhere) = self.owned_and_elsewhere();
        let told =
            [("no member of its own", without), ("members on none of these hosts", elsewhere)];
        let told = told.into_iter().filter(|(_, names)| !names.is_empty());
        told.map(|(what, names)| format!("{what}: {}", names.join(", "))).collect()
    }

    /// Members that are some host's own, and the others.
    fn owned_and_elsewhere(&self) -> (BTreeSet<&'a str>, Vec<&'a str>) {
        let owned: BTreeSet<&str> =
            self.facts().filter_map(|(_, facts)| facts.own_member.as_deref()).collect();
        let all = self.facts().flat_map(|(_, facts)| &facts.members);
        let all: BTreeSet<&str> = all.map(|member| member.member_id.as_str()).collect();
        let elsewhere = all.difference(&owned).copied().collect();
        (owned, elsewhere)
    }
}

#[cfg(test)]
#[path = "across_tests.rs"]
mod tests;
