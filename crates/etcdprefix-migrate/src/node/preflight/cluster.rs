//! What is the same from every host: the Kubernetes API.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{EnvVar, Node};

use super::Check;
use super::address::is_public;
use super::topic::Topic;
use super::version::Version;
use crate::aftercare::{ALB, TERWAY, VIRTUAL_NODE, is_ready, replicas};
use crate::error::{Error, Result};
use crate::kubernetes::{Cluster, Kind, Object, SYSTEM};

const API: Topic = Topic::new(
    "kubernetes_api",
    "nodes and components that the move affects are asked for there, and it must be well before it \
     is put to sleep",
);
const NODES: Topic = Topic::new(
    "node_versions",
    "nodes keep their version over the move; the managed side's API server takes kubelets up to two \
     minor versions older",
);
const READY: Topic =
    Topic::new("nodes_ready", "what was broken before can't be told from what the move broke");
const VIRTUAL: Topic = Topic::new(
    "virtual_node",
    "virtual nodes reach the API server by the addresses of the masters unless they are told its \
     internal endpoint, and are cut off when the masters sleep",
);
const TERWAY_TOPIC: Topic = Topic::new(
    "terway_controlplane",
    "a cluster with custom pod configuration can't be moved while terway-controlplane runs",
);
const ALB_TOPIC: Topic = Topic::new(
    "alb_ingress",
    "the ALB Ingress controller of a dedicated cluster has to be installed anew after the move",
);
const ADDRESS: Topic = Topic::new(
    "api_address",
    "the API keeps its address only if it is that of an EIP or of the internal load balancer: an \
     internet-facing SLB is not taken over",
);
const POLICY: Topic = Topic::new(
    "master_role_policy",
    "by the role of the masters' instances the snapshot is put into the bucket and fetched from it",
);
const REGION: Topic = Topic::new(
    "store_region",
    "the managed side fetches the snapshot from a bucket in the cluster's own region",
);

/// Components whose deployments are looked at.
const COMPONENTS: [&str; 3] = [VIRTUAL_NODE, TERWAY, ALB];
const REGION_LABELS: [&str; 2] =
    ["topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"];
/// What a virtual node needs.
const VARIABLES: [&str; 2] = ["KUBERNETES_APISERVER_HOST", "KUBERNETES_APISERVER_PORT"];

/// What the API told.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) server: String,
    pub(super) version: String,
    nodes: Vec<Node>,
    components: BTreeMap<&'static str, Deployment>,
}

/// Each answer has a limit; all of them must leave time for the rest of the step.
const LIMIT: Duration = Duration::from_secs(45);

/// Asks for all that is judged.
pub(super) async fn ask(kubeconfig: &Path) -> Result<Seen> {
    let answered = tokio::time::timeout(LIMIT, ask_all(kubeconfig)).await;
    let too_slow = || format!("no answers to all questions within {} s", LIMIT.as_secs());
    answered.unwrap_or_else(|_| Err(Error::Kubernetes(too_slow())))
}

async fn ask_all(kubeconfig: &Path) -> Result<Seen> {
    let cluster = Cluster::open(kubeconfig).await?;
    cluster.ready().await?;
    let (version, nodes) = (cluster.version().await?, cluster.nodes().await?);
    let mut components = BTreeMap::new();
    for name in COMPONENTS {
        let found = cluster.get(&Object::new(Kind::Deployment, SYSTEM, name)).await?;
        components.extend(found.map(|found| (name, found)));
    }
    Ok(Seen { server: cluster.server().to_owned(), version, nodes, components })
}

/// Nobody told.
pub(super) fn unasked(why: &str) -> Vec<Check> {
    vec![API.warn(
        format!("not asked: {why}"),
        "a kubeconfig of an administrator (kubeconfig in the configuration). Without it nobody \
         looked at virtual nodes, terway-controlplane, ALB Ingress and the API's address: look \
         yourself, as docs/migration.md tells",
    )]
}

pub(super) fn checks(seen: &Seen, store: Option<&super::store::Learnt>) -> Vec<Check> {
    let mut checks = vec![API.ok(format!("{} is ready", seen.server)), versions(seen)];
    checks.extend([ready(seen), virtual_node(seen), terway(seen), alb(seen), address(seen)]);
    checks.extend(policy(seen, store));
    checks.extend(region(seen, store));
    checks
}

fn versions(seen: &Seen) -> Check {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for version in seen.nodes.iter().filter_map(kubelet) {
        *counts.entry(version).or_default() += 1;
    }
    let told: Vec<String> =
        counts.iter().map(|(version, count)| format!("{count} with {version}")).collect();
    let own = Version::parse(&seen.version);
    let is_old = |version: &&&str| {
        own.zip(Version::parse(version)).is_some_and(|(own, kubelet)| kubelet.minor + 2 < own.minor)
    };
    let found = format!("{} nodes: {}", seen.nodes.len(), told.join(", "));
    match counts.keys().find(is_old) {
        None => NODES.ok(found),
        Some(old) => NODES.warn(
            found,
            format!("to upgrade the nodes with {old}: they are too old for {}", seen.version),
        ),
    }
}

fn ready(seen: &Seen) -> Check {
    let not: Vec<&str> = seen
        .nodes
        .iter()
        .filter(|node| !is_ready(node))
        .filter_map(|node| node.metadata.name.as_deref())
        .collect();
    match not.is_empty() {
        true => READY.ok(format!("all {} nodes are Ready", seen.nodes.len())),
        false => READY.warn(
            format!("not Ready: {}", not.join(", ")),
            "to repair or remove these nodes first",
        ),
    }
}

fn kubelet(node: &Node) -> Option<&str> {
    Some(node.status.as_ref()?.node_info.as_ref()?.kubelet_version.as_str())
}

fn virtual_node(seen: &Seen) -> Check {
    let Some(deployment) = seen.components.get(VIRTUAL_NODE) else {
        return VIRTUAL.ok(format!("there is no {VIRTUAL_NODE}"));
    };
    let env = environment(deployment);
    let is_set = |name: &&str| {
        let variable = env.iter().find(|variable| variable.name == *name);
        variable.is_some_and(|it| {
            it.value_from.is_some() || it.value.as_ref().is_some_and(|value| !value.is_empty())
        })
    };
    let missing: Vec<&str> = VARIABLES.into_iter().filter(|name| !is_set(name)).collect();
    let host = env.iter().find(|variable| variable.name == VARIABLES[0]);
    let host = host.and_then(|variable| variable.value.as_deref());
    let own = host.and_then(|host| seen.node_at(host));
    let fault = match own {
        Some(node) => format!("{} is the address of the node {node}", VARIABLES[0]),
        None => format!("{VIRTUAL_NODE} lacks {}", missing.join(" and ")),
    };
    if missing.is_empty() && own.is_none() {
        return VIRTUAL.ok(format!("{VIRTUAL_NODE} has {}", VARIABLES.join(" and ")));
    }
    VIRTUAL.fail(
        fault,
        format!(
            "kubectl -n {SYSTEM} set env deployment/{VIRTUAL_NODE} {}=PRIVATE_ADDRESS {}=6443, with \
             the internal endpoint of the API server (ACK console: cluster information)",
            VARIABLES[0], VARIABLES[1]
        ),
    )
}

fn environment(deployment: &Deployment) -> Vec<EnvVar> {
    let pod = deployment.spec.template.spec.as_ref();
    let first = pod.and_then(|pod| pod.containers.first());
    first.and_then(|container| container.env.clone()).unwrap_or_default()
}

fn terway(seen: &Seen) -> Check {
    let running = seen.components.get(TERWAY).map(replicas).unwrap_or_default();
    match running {
        0 => TERWAY_TOPIC.ok(match seen.components.contains_key(TERWAY) {
            true => format!("{TERWAY} is stopped: switch it on again after the move"),
            false => format!("there is no {TERWAY}"),
        }),
        running => TERWAY_TOPIC.fail(
            format!("{TERWAY} runs with {running} replicas"),
            format!(
                "kubectl -n {SYSTEM} scale deployment {TERWAY} --replicas=0 before the move, and \
                 back to {running} after it (etcdprefix migrate aftercare)"
            ),
        ),
    }
}

fn alb(seen: &Seen) -> Check {
    match seen.components.contains_key(ALB) {
        false => ALB_TOPIC.ok(format!("there is no {ALB}")),
        true => ALB_TOPIC.warn(
            format!("{ALB} is installed"),
            "after the move: install it anew in the console, then delete the old deployment \
             (etcdprefix migrate aftercare); until then changes of ingresses do nothing",
        ),
    }
}

fn address(seen: &Seen) -> Check {
    let host = host_of(&seen.server);
    let advice = "is the API server exposed by an internet-facing SLB? Then bind an EIP to its \
                  internal CLB first (ACK console: cluster information, change EIP), and use that";
    let at = seen.node_at(&host);
    match host.parse::<IpAddr>() {
        Ok(address) if is_public(address) => {
            ADDRESS.ask(format!("{host}, a public address"), advice)
        }
        Ok(address) if address.is_loopback() || at.is_some() => ADDRESS.ask(
            format!(
                "{host}, {}'s own; how others reach the API can't be seen here",
                at.unwrap_or("this host")
            ),
            advice,
        ),
        Ok(_) if seen.is_at_alibaba_cloud() => ADDRESS.ask(
            format!("{host}, a private address; whether there is a public one can't be seen here"),
            advice,
        ),
        Ok(_) => ADDRESS.ok(format!("{host}, a private address")),
        Err(_) => ADDRESS.ask(
            format!("{host}, a name"),
            "does the name lead to what the managed side takes over?",
        ),
    }
}

/// Without scheme, port and brackets.
fn host_of(server: &str) -> String {
    let url = server.parse::<http::Uri>().ok();
    let host = url.as_ref().and_then(http::Uri::host).unwrap_or(server);
    host.trim_start_matches('[').trim_end_matches(']').to_owned()
}

impl Seen {
    /// Instances are `cn-hangzhou.i-bp1…` there.
    fn is_at_alibaba_cloud(&self) -> bool {
        let ids = self.nodes.iter().filter_map(|node| node.spec.as_ref()?.provider_id.as_deref());
        ids.into_iter().any(|id| id.contains(".i-"))
    }

    /// The node that has this address.
    fn node_at(&self, host: &str) -> Option<&str> {
        let has = |node: &&Node| {
            let mut addresses = node.status.iter().flat_map(|it| it.addresses.iter().flatten());
            addresses.any(|address| address.address == host)
        };
        self.nodes.iter().find(has)?.metadata.name.as_deref()
    }

    fn region(&self) -> Option<&str> {
        let labels = self.nodes.iter().filter_map(|node| node.metadata.labels.as_ref());
        let mut regions = labels.flat_map(|labels| REGION_LABELS.map(|label| labels.get(label)));
        regions.find_map(|region| region.map(String::as_str))
    }
}

/// Only where there is such a policy.
fn policy(seen: &Seen, store: Option<&super::store::Learnt>) -> Option<Check> {
    if !seen.is_at_alibaba_cloud() {
        return None;
    }
    Some(match store {
        Some(store) if store.is_enough => POLICY.ok("the masters may put and get: see store"),
        Some(_) => POLICY.ask(
            "the masters may not put and get: see store",
            "does the policy k8sMasterRolePolicy… allow oss:PutObject and oss:GetObject for the bucket?",
        ),
        None => POLICY.ask(
            "no store was tried",
            "does the policy whose name begins with k8sMasterRolePolicy allow oss:PutObject and \
             oss:GetObject for the bucket (etcdprefix store policy --for ack-master)?",
        ),
    })
}

/// Other stores may be anywhere.
fn region(seen: &Seen, store: Option<&super::store::Learnt>) -> Option<Check> {
    let store = store.filter(|store| store.is_oss)?;
    Some(match (seen.region(), store.region.as_deref()) {
        (Some(own), Some(theirs)) if own == theirs => REGION.ok(own),
        (Some(own), Some(theirs)) => REGION.fail(
            format!("the bucket is in {theirs}, the cluster in {own}"),
            format!("a bucket in {own}"),
        ),
        (own, theirs) => REGION.ask(
            format!("bucket: {}; cluster: {}", known(theirs), known(own)),
            "is the bucket in the cluster's region?",
        ),
    })
}

fn known(region: Option<&str>) -> &str {
    region.unwrap_or("not told")
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;
