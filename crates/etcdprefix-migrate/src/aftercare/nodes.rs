//! Masters that the managed side still has as nodes.

use k8s_openapi::api::core::v1::Node;
use serde::Serialize;

use super::{Action, Step};
use crate::error::{Error, Result};
use crate::kubernetes::{Cluster, Kind, Object, Unchanged};

/// Labels of masters; the second one until Kubernetes 1.24.
const ROLES: [&str; 2] =
    ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];

const WHY: &str = "its kubelet's API server is asleep for good: the node stays disconnected, and is \
                   billed until it is gone";

/// A master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Master {
    /// The node's name.
    pub name: String,
    /// Its condition `Ready`: `True`, `False` or `Unknown`.
    pub ready: String,
    /// Its instance, such as `i-bp1…`, if the cloud told.
    pub instance: Option<String>,
}

impl Master {
    fn is_ready(&self) -> bool {
        self.ready == "True"
    }
}

/// Nodes with the label of a master, or with one of these names or addresses.
pub(super) fn masters(nodes: &[Node], named: &[String]) -> Vec<Master> {
    let masters = nodes.iter().filter(|node| is_labelled(node) || is_named(node, named));
    masters.map(master).collect()
}

fn is_labelled(node: &Node) -> bool {
    let labels = node.metadata.labels.as_ref();
    labels.is_some_and(|labels| ROLES.iter().any(|role| labels.contains_key(*role)))
}

fn is_named(node: &Node, named: &[String]) -> bool {
    let addresses = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    let mut names = node.metadata.name.iter().chain(addresses.map(|address| &address.address));
    names.any(|name| named.contains(name))
}

fn master(node: &Node) -> Master {
    let provider = node.spec.as_ref().and_then(|spec| spec.provider_id.as_deref());
    // `cn-hangzhou.i-bp1…`
    let instance = provider.and_then(|id| id.rsplit(['.', '/']).next());
    let instance = instance.filter(|id| id.starts_with("i-")).map(str::to_owned);
    Master { name: node.metadata.name.clone().unwrap_or_default(), ready: ready(node), instance }
}

/// Whether its kubelet reports and finds it well.
pub(crate) fn is_ready(node: &Node) -> bool {
    ready(node) == "True"
}

fn ready(node: &Node) -> String {
    let mut conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let ready = conditions.rfind(|condition| condition.type_ == "Ready");
    ready.map_or_else(|| "Unknown".to_owned(), |condition| condition.status.clone())
}

pub(super) fn actions(masters: &[Master]) -> Vec<Action> {
    if masters.is_empty() {
        return vec![Action::new("delete_node", "no master is left as a node", WHY)];
    }
    masters.iter().map(action).collect()
}

fn action(master: &Master) -> Action {
    let name = &master.name;
    let command = Object::new(Kind::Node, "", name).kubectl("delete");
    if master.is_ready() {
        let what = format!("the master {name} is Ready, so it is not deleted");
        let why = "a master whose control plane sleeps is NotReady after a minute; one that is \
                   Ready may still serve, or run pods";
        let first = "see what it runs (kubectl get pods -A -o wide), wait until it is NotReady, \
                     look again";
        return Action::new("delete_node", what, why).by_hand(first);
    }
    let what = format!("delete the node {name} (Ready: {})", master.ready);
    Action::new("delete_node", what, WHY).todo(command, Step::DeleteNode(name.clone()))
}

/// What the API can't do.
pub(super) fn release(masters: &[Master]) -> Action {
    let known: Vec<&str> = masters.iter().filter_map(|it| it.instance.as_deref()).collect();
    let which = match known.is_empty() {
        true => String::new(),
        false => format!(": {}", known.join(", ")),
    };
    let why = "who deletes a master in the console has ACK release its pay-as-you-go instance and \
               data disks with it; subscription instances and their disks, and the machines of \
               nodes that were deleted through the API, stay and are billed";
    let command = "the console of ECS: release the instances of the masters and their disks, once \
                   nothing of them is needed any more";
    Action::new("release_instances", format!("release what the masters ran on{which}"), why)
        .by_hand(command)
}

/// Whether it was there; only if it is not ready at that moment.
pub(super) async fn delete(cluster: &Cluster, name: &str) -> Result<bool> {
    let object = Object::new(Kind::Node, "", name);
    let Some(node) = cluster.get::<Node>(&object).await? else { return Ok(false) };
    if master(&node).is_ready() {
        let why = format!("the node {name} is Ready now, so it was not deleted");
        return Err(Error::Kubernetes(format!("{why}; try: to look again what it runs")));
    }
    // Whoever becomes ready meanwhile has another version of its object.
    let unchanged =
        Unchanged { uid: node.metadata.uid, resource_version: node.metadata.resource_version };
    cluster.delete(&object, &unchanged).await
}
