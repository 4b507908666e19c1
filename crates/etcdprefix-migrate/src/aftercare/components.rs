//! What a dedicated cluster has installed and the managed one brings itself, or wants switched on.

use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};

use super::{Action, Step};
use crate::error::Result;
use crate::kubernetes::{Cluster, Kind, Object, SYSTEM};

/// The controller that makes load balancers of ingresses.
pub(crate) const ALB: &str = "alb-ingress-controller";
/// The one that runs pods as container instances.
pub(crate) const VIRTUAL_NODE: &str = "ack-virtual-node-controller";
/// The one that gives pods addresses and security groups of their own.
pub(crate) const TERWAY: &str = "terway-controlplane";

const ADD_ONS: &str = "the ACK console: the cluster, Operations > Add-ons";

pub(super) async fn actions(cluster: &Cluster) -> Result<Vec<Action>> {
    let mut actions = alb(cluster).await?;
    actions.extend(virtual_node(cluster).await?);
    actions.push(terway(cluster).await?);
    Ok(actions)
}

async fn alb(cluster: &Cluster) -> Result<Vec<Action>> {
    let why = "the old ALB Ingress controller belongs to the dedicated cluster; the managed one \
               runs beside the control plane";
    let old = [Object::new(Kind::Deployment, SYSTEM, ALB)];
    anew(cluster, "alb_ingress", "ALB Ingress Controller", why, &old).await
}

async fn virtual_node(cluster: &Cluster) -> Result<Vec<Action>> {
    let why = "the old ack-virtual-node belongs to the dedicated cluster; pods on virtual nodes go \
               on only if the managed one takes over from it";
    let old = [
        Object::new(Kind::Service, SYSTEM, "vk-webhook"),
        Object::new(Kind::Deployment, SYSTEM, VIRTUAL_NODE),
        Object::new(Kind::ClusterRoleBinding, "", "virtual-kubelet"),
        Object::new(Kind::ServiceAccount, SYSTEM, "virtual-kubelet"),
    ];
    anew(cluster, "virtual_node", "ACK Virtual Node", why, &old).await
}

/// Installed anew in the console, then what is old is deleted, in this order.
async fn anew(
    cluster: &Cluster,
    name: &str,
    title: &str,
    why: &str,
    old: &[Object],
) -> Result<Vec<Action>> {
    let mut there = Vec::new();
    for object in old {
        if cluster.get::<Value>(object).await?.is_some() {
            there.push(object.clone());
        }
    }
    if there.is_empty() {
        let what = format!("nothing of an old {title} is there");
        return Ok(vec![Action::new(&format!("delete_{name}"), what, why)]);
    }
    let installed = format!("install {title} anew");
    let install = Action::new(&format!("reinstall_{name}"), &installed, why).by_hand(ADD_ONS);
    let after = format!("{title} is installed anew");
    let deletions = there.into_iter().map(|object| {
        let action = Action::new(&format!("delete_{name}"), format!("delete {object}"), why);
        action.todo(object.kubectl("delete"), Step::Delete(object)).after(&after)
    });
    Ok([install].into_iter().chain(deletions).collect())
}

async fn terway(cluster: &Cluster) -> Result<Action> {
    let why = "it was stopped for the migration; without it pods with addresses, vSwitches or \
               security groups of their own do not start";
    let name = "enable_terway_controlplane";
    let deployment = Object::new(Kind::Deployment, SYSTEM, TERWAY);
    let found: Option<Deployment> = cluster.get(&deployment).await?;
    let Some(found) = found else {
        return Ok(Action::new(name, format!("there is no {TERWAY}"), why));
    };
    if replicas(&found) > 0 {
        return Ok(Action::new(name, format!("{TERWAY} is switched on"), why));
    }
    let command = format!("{} --replicas=1", deployment.kubectl("scale"));
    let what = format!("switch {TERWAY} on again: one replica, more if it had more");
    Ok(Action::new(name, what, why).todo(command, Step::Scale { deployment, replicas: 1 }))
}

/// As many as it is to have; one if it does not say.
pub(crate) fn replicas(deployment: &Deployment) -> i32 {
    deployment.spec.replicas.unwrap_or(1)
}

/// Whether anything changed: one that has replicas keeps them.
pub(super) async fn scale(cluster: &Cluster, deployment: &Object, count: u32) -> Result<bool> {
    let found: Option<Deployment> = cluster.get(deployment).await?;
    if found.as_ref().is_none_or(|found| replicas(found) > 0) {
        return Ok(false);
    }
    cluster.merge(deployment, &json!({"spec": {"replicas": count}})).await?;
    Ok(true)
}
