//! What a run will need once everything sleeps, tried before.

use std::sync::Arc;
use std::time::Duration;

use etcdprefix_store::{CheckOptions, check};
use serde_json::{Value, json};

use super::objects::WRITERS;
use super::{RunOptions, Setup};
use crate::error::{Error, NodeError, Result};
use crate::node::reach;
use crate::node::snapshot::Stop;

/// That the API would take each change. Who may not ask that finds out later.
///
/// # Errors
/// [`Error::Kubernetes`] names the first that it would not.
pub async fn rights(setup: &Setup) -> Result<()> {
    let (hosted, plane) = (&setup.name, setup.control_plane.as_str());
    let group = "hypershift.openshift.io";
    may(setup, group, "hostedclusters", "", &hosted.namespace, &hosted.name).await?;
    may(setup, "apps", "deployments", "scale", plane, WRITERS[0]).await?;
    // To make a late request void, whose answer was lost.
    may(setup, "apps", "deployments", "", plane, WRITERS[0]).await
}

async fn may(
    setup: &Setup,
    group: &str,
    resource: &str,
    subresource: &str,
    namespace: &str,
    name: &str,
) -> Result<()> {
    let asked = json!({
        "verb": "patch", "group": group, "resource": resource, "subresource": subresource,
        "namespace": namespace, "name": name,
    });
    let body = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked},
    });
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let answer: Value = setup.cluster.post("a review of one's own rights", path, &body).await?;
    if answer["status"]["allowed"] == true {
        return Ok(());
    }
    let slash = if subresource.is_empty() { "" } else { "/" };
    Err(Error::Kubernetes(format!(
        "the API of {} would refuse to patch {resource}{slash}{subresource} {namespace}/{name} (HTTP \
         403); try: the kubeconfig of an administrator, or the rights that \
         docs/hosted-control-planes.md names",
        setup.cluster.server()
    )))
}

/// That the store takes an object beside the snapshot's, and signs a URL that lives as long as is asked for.
/// What is odd is told.
///
/// # Errors
/// [`Error::Step`].
pub async fn store(setup: &Setup, options: &RunOptions, run: &str) -> Result<Vec<String>> {
    let failed = |error: NodeError| Error::Step { host: "the store".into(), error };
    let (store, location) = reach::store(&options.store, &setup.environment).map_err(failed)?;
    let lifetime = Some(Duration::from_secs(options.presign_seconds));
    let wanted = CheckOptions { lifetime, shorter_ok: false };
    let place = match location.key.trim_end_matches('/') {
        "" => String::new(),
        place => format!("{place}/"),
    };
    let stop = Arc::new(Stop(Arc::clone(&setup.interrupted)));
    let checked = check(&store, &format!("{place}{run}_"), &wanted, stop).await;
    let checked = checked.map_err(|error| failed(error.into()))?;
    let mut warnings = checked.warnings;
    if checked.probe_left {
        warnings.push(format!("{} is left in the store", checked.probe));
    }
    if options.store.cacert.is_some() {
        warnings.push(
            "the store is trusted by --store-cacert: the new cluster fetches the snapshot with the \
             authorities of its own image, which may not trust it"
                .into(),
        );
    }
    match checked.failure {
        Some(error) => Err(failed(error.into())),
        None => Ok(warnings),
    }
}
