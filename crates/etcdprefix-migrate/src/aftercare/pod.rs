//! A pod that shows whether the cluster starts pods.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::{Value, json};

use super::{Action, Step};
use crate::error::{Error, Result};
use crate::kubernetes::{Cluster, Kind, Object, Unchanged};

const NAME: &str = "etcdprefix-aftercare";
const LABEL: &str = "app.kubernetes.io/managed-by";
const OWNER: &str = "etcdprefix";
/// If no node tells of an image that it has.
const IMAGE: &str = "registry.k8s.io/pause:3.9";
/// A scheduler, a kubelet and perhaps a pull.
const LIMIT_SECONDS: u64 = 180;
const PAUSE: Duration = Duration::from_millis(500);

pub(super) fn action(nodes: &[Node], image: Option<&str>) -> Action {
    let image = image.map(str::to_owned).or_else(|| pause_image(nodes));
    let image = image.unwrap_or_else(|| IMAGE.to_owned());
    let why = "scheduler, controllers and kubelets must all work with the managed side for a pod \
               to run";
    let command = format!(
        "kubectl run {NAME} --image={image} --restart=Never && kubectl wait --for=condition=Ready \
         pod/{NAME} --timeout={LIMIT_SECONDS}s; kubectl delete pod {NAME}"
    );
    Action::new("test_pod", format!("start a pod of {image}, wait until it runs, delete it"), why)
        .todo(command, Step::TestPod { image, limit_seconds: LIMIT_SECONDS })
}

/// One that some node has already, so that none needs to be pulled.
fn pause_image(nodes: &[Node]) -> Option<String> {
    let statuses = nodes.iter().filter_map(|node| node.status.as_ref());
    let images = statuses.flat_map(|status| status.images.iter().flatten());
    let mut names = images.flat_map(|image| image.names.iter().flatten());
    names.find(|name| name.contains("/pause") && !name.contains('@')).cloned()
}

/// Always a change: it starts one and deletes it, whatever comes of it.
pub(super) async fn test(cluster: &Cluster, image: &str, limit: Duration) -> Result<bool> {
    let object = Object::new(Kind::Pod, "default", NAME);
    let start = Instant::now();
    remove_leftover(cluster, &object, start, limit).await?;
    cluster.create(&object, &body(image)).await?;
    let ran = until_it_runs(cluster, &object, start, limit).await;
    let deleted = cluster.delete(&object, &Unchanged::default()).await;
    ran.and(deleted).map(|_| true)
}

fn body(image: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": NAME, "labels": {LABEL: OWNER}},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": false,
            "containers": [{"name": "test", "image": image, "imagePullPolicy": "IfNotPresent"}],
        },
    })
}

/// One of an earlier try goes; one of somebody else's stays.
async fn remove_leftover(
    cluster: &Cluster,
    object: &Object,
    start: Instant,
    limit: Duration,
) -> Result<()> {
    while let Some(found) = cluster.get::<Pod>(object).await? {
        let labels = found.metadata.labels.unwrap_or_default();
        if labels.get(LABEL).is_none_or(|owner| owner != OWNER) {
            let why = format!("{object} is there already and is not ours");
            return Err(Error::Kubernetes(format!("{why}; try: to delete it by hand")));
        }
        if start.elapsed() > limit {
            return Err(Error::Kubernetes(format!("{object} of an earlier try does not go away")));
        }
        cluster.delete(object, &Unchanged::default()).await?;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

async fn until_it_runs(
    cluster: &Cluster,
    object: &Object,
    start: Instant,
    limit: Duration,
) -> Result<()> {
    loop {
        let found: Option<Pod> = cluster.get(object).await?;
        let Some(found) = found else {
            return Err(Error::Kubernetes(format!("somebody deleted {object}")));
        };
        let phase = found.status.as_ref().and_then(|status| status.phase.as_deref());
        if matches!(phase, Some("Running" | "Succeeded")) {
            return Ok(());
        }
        if phase == Some("Failed") || start.elapsed() + PAUSE > limit {
            return Err(Error::Kubernetes(stuck(object, &found)));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What it waits for, in the words of whoever knows.
fn stuck(object: &Object, pod: &Pod) -> String {
    let status = pod.status.clone().unwrap_or_default();
    let containers = status.container_statuses.unwrap_or_default();
    let waiting = containers.into_iter().filter_map(|it| it.state?.waiting?.message);
    let conditions = status.conditions.unwrap_or_default();
    let unmet = conditions.into_iter().filter(|it| it.status != "True").filter_map(|it| it.message);
    let why: Vec<String> = waiting.chain(unmet).collect();
    let phase = status.phase.unwrap_or_default();
    let why = if why.is_empty() { "nobody says why".to_owned() } else { why.join("; ") };
    format!(
        "{object} does not run, its phase is {phase}: {why}; try: kubectl describe, and whether \
         the managed side's scheduler sees ready nodes"
    )
}
