//! The objects of a hosted cluster, in the management cluster's API.

use serde_json::{Value, json};

use super::Setup;
use crate::error::{Error, Result};
use crate::kubernetes::Patched;

/// The Deployments of a control plane that write to its etcd.
pub const WRITERS: [&str; 3] =
    ["kube-apiserver", "openshift-apiserver", "openshift-oauth-apiserver"];

const GROUP: &str = "/apis/hypershift.openshift.io";
/// What is asked for wherever it is served.
const VERSION: &str = "v1beta1";

/// What is there of it.
pub struct Objects<'a> {
    setup: &'a Setup,
    /// Of HyperShift's API, as it is served.
    pub version: String,
}

impl<'a> Objects<'a> {
    /// # Errors
    /// [`Error::NotFit`] if the API is no HyperShift's.
    pub async fn open(setup: &'a Setup) -> Result<Self> {
        let group = setup.cluster.read("HyperShift's API", GROUP).await?.unwrap_or_default();
        let versions = group["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let others = versions.iter().filter_map(|served| served["version"].as_str());
        let others = others.filter(|version| *version != VERSION);
        for version in std::iter::once(VERSION).chain(others) {
            // A version of the group may be there for other kinds alone.
            let path = format!("{GROUP}/{version}");
            let list = setup.cluster.read("HyperShift's API", &path).await?.unwrap_or_default();
            let mut kinds = list["resources"].as_array().into_iter().flatten();
            if kinds.any(|kind| kind["name"] == "hostedclusters") {
                return Ok(Self { setup, version: version.to_owned() });
            }
        }
        Err(Error::NotFit(format!(
            "{} knows no HostedClusters; try: the kubeconfig of the management cluster",
            setup.cluster.server()
        )))
    }

    fn what(&self) -> String {
        format!("hostedcluster {}", self.setup.name)
    }

    fn hosted_path(&self) -> String {
        let (version, name) = (&self.version, &self.setup.name);
        format!("{GROUP}/{version}/namespaces/{}/hostedclusters/{}", name.namespace, name.name)
    }

    pub async fn find_hosted(&self) -> Result<Option<Value>> {
        self.setup.cluster.read(&self.what(), &self.hosted_path()).await
    }

    /// # Errors
    /// [`Error::NotFit`] if it isn't there.
    pub async fn hosted(&self) -> Result<Value> {
        self.find_hosted().await?.ok_or_else(|| {
            let name = &self.setup.name;
            Error::NotFit(format!(
                "there is no HostedCluster {name}; try: kubectl get hostedclusters -A"
            ))
        })
    }

    pub async fn patch_hosted(&self, change: &Value) -> Result<Patched> {
        self.setup.cluster.patch(&self.what(), &self.hosted_path(), change).await
    }

    /// What the operator makes of the HostedCluster, if it has.
    pub async fn control_plane(&self) -> Result<Option<Value>> {
        let Setup { control_plane, name, cluster, .. } = self.setup;
        let version = &self.version;
        let path = format!(
            "{GROUP}/{version}/namespaces/{control_plane}/hostedcontrolplanes/{}",
            name.name
        );
        let what = format!("hostedcontrolplane {control_plane}/{}", name.name);
        cluster.read(&what, &path).await
    }

    fn deployment_path(&self, name: &str) -> String {
        format!("/apis/apps/v1/namespaces/{}/deployments/{name}", self.setup.control_plane)
    }

    pub async fn deployment(&self, name: &str) -> Result<Option<Value>> {
        let what = format!("deployment {}/{name}", self.setup.control_plane);
        self.setup.cluster.read(&what, &self.deployment_path(name)).await
    }

    pub async fn patch_deployment(&self, name: &str, change: &Value) -> Result<Patched> {
        let what = format!("deployment {}/{name}", self.setup.control_plane);
        self.setup.cluster.patch(&what, &self.deployment_path(name), change).await
    }

    /// Only as long as it is at that resource version.
    pub async fn scale(&self, name: &str, version: &str, replicas: i64) -> Result<Patched> {
        let what = format!("the scale of deployment {}/{name}", self.setup.control_plane);
        let path = format!("{}/scale", self.deployment_path(name));
        let change =
            json!({"metadata": {"resourceVersion": version}, "spec": {"replicas": replicas}});
        self.setup.cluster.patch(&what, &path, &change).await
    }

    /// The names of the pods of a Deployment that run or may: also of those that are about to end, but not
    /// of those that have, which stay listed after an eviction.
    pub async fn pods(&self, deployment: &Value) -> Result<Vec<String>> {
        let namespace = &self.setup.control_plane;
        let selector = encoded(&selector(&deployment["spec"]["selector"]));
        let path = format!("/api/v1/namespaces/{namespace}/pods?labelSelector={selector}");
        let what = format!("pods of {namespace}");
        let list: Value = self.setup.cluster.read(&what, &path).await?.unwrap_or_default();
        let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        let over = [json!("Succeeded"), json!("Failed")];
        let pods = items.iter().filter(|pod| !over.contains(&pod["status"]["phase"]));
        let names = pods.filter_map(|pod| pod["metadata"]["name"].as_str());
        Ok(names.map(str::to_owned).collect())
    }

    pub async fn secret(&self, namespace: &str, name: &str) -> Result<Option<Value>> {
        let path = format!("/api/v1/namespaces/{namespace}/secrets/{name}");
        self.setup.cluster.read(&format!("secret {namespace}/{name}"), &path).await
    }

    pub async fn config_map(&self, namespace: &str, name: &str) -> Result<Option<Value>> {
        let path = format!("/api/v1/namespaces/{namespace}/configmaps/{name}");
        self.setup.cluster.read(&format!("configmap {namespace}/{name}"), &path).await
    }
}

/// `spec.replicas`, which the API server always has.
pub fn replicas(deployment: &Value) -> i64 {
    deployment["spec"]["replicas"].as_i64().unwrap_or(1)
}

/// Of its metadata, or empty.
pub fn meta<'a>(object: &'a Value, name: &str) -> &'a str {
    object["metadata"][name].as_str().unwrap_or_default()
}

/// As the API takes it in a query.
fn selector(selector: &Value) -> String {
    let labels = selector["matchLabels"].as_object();
    let equal = labels.into_iter().flatten();
    let equal = equal.map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()));
    let expressions = selector["matchExpressions"].as_array().into_iter().flatten();
    let terms: Vec<String> = equal.chain(expressions.map(term)).collect();
    terms.join(",")
}

fn term(expression: &Value) -> String {
    let key = expression["key"].as_str().unwrap_or_default();
    let values = expression["values"].as_array().into_iter().flatten();
    let values: Vec<&str> = values.filter_map(Value::as_str).collect();
    let values = values.join(",");
    match expression["operator"].as_str().unwrap_or_default() {
        "In" => format!("{key} in ({values})"),
        "NotIn" => format!("{key} notin ({values})"),
        "DoesNotExist" => format!("!{key}"),
        _ => key.to_owned(),
    }
}

fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => (byte as char).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_become_queries() {
        let asked = json!({
            "matchLabels": {"app": "kube-apiserver"},
            "matchExpressions": [
                {"key": "a/b", "operator": "In", "values": ["x", "y"]},
                {"key": "c", "operator": "DoesNotExist"},
            ],
        });
        assert_eq!(selector(&asked), "app=kube-apiserver,a/b in (x,y),!c");
        assert_eq!(encoded("a/b in (x)"), "a%2Fb%20in%20%28x%29");
    }
}
