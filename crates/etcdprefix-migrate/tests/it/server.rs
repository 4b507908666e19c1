//! A real kube-apiserver, one for each test, and objects for it.

use std::path::Path;

use anyhow::Result;
use etcdprefix_testkit::kubernetes::{Apiserver, Await, Credentials, Kubectl, Provider, Setup};
use etcdprefix_testkit::{EtcdServer, Version};
use serde_json::{Value, json};

/// What a test has of it.
pub struct Server<'a> {
    pub kubectl: &'a Kubectl,
    pub kubeconfig: &'a Path,
}

/// Starts one for the time of `test`.
pub fn with<T>(test: impl FnOnce(Server<'_>) -> Result<T>) -> Result<T> {
    let credentials = Credentials::new()?;
    let etcd = EtcdServer::start(Version::V3_4_23, &[])?;
    let setup = Setup { prefix: "/registry", secrets: Provider::Identity, flags: &[] };
    let server = Apiserver::start(&etcd, &credentials, setup, Await::Ready)?;
    let kubeconfig = credentials.kubeconfig_for(server.kubectl())?;
    test(Server { kubectl: server.kubectl(), kubeconfig: &kubeconfig })
}

impl Server<'_> {
    /// Makes an object, its status too: that no controller or kubelet does here.
    pub fn feed(&self, object: &Value) -> Result<()> {
        self.kubectl.feed(&["create"], &object.to_string())?;
        if object.get("status").is_none() {
            return Ok(());
        }
        self.set_status(object)
    }

    /// Replaces an object's status by the one that it has here.
    pub fn set_status(&self, object: &Value) -> Result<()> {
        let path = format!("{}/status", path(object));
        let mut fresh = self.kubectl.raw(&path)?;
        fresh["status"] = object["status"].clone();
        self.kubectl.feed(&["replace", "--raw", &path], &fresh.to_string()).map(drop)
    }
}

fn path(object: &Value) -> String {
    let name = object["metadata"]["name"].as_str().unwrap();
    match (object["kind"].as_str().unwrap(), object["metadata"]["namespace"].as_str()) {
        ("Node", _) => format!("/api/v1/nodes/{name}"),
        ("Pod", Some(namespace)) => format!("/api/v1/namespaces/{namespace}/pods/{name}"),
        (kind, _) => panic!("no path of {kind}"),
    }
}

/// A node with this role, `control-plane`, `master` or `worker`.
pub fn node(name: &str, role: &str, ready: bool) -> Value {
    let status = if ready { "True" } else { "Unknown" };
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {format!("node-role.kubernetes.io/{role}"): ""}},
        "spec": {"providerID": format!("cn-hangzhou.i-{name}")},
        "status": {
            "conditions": [{"type": "Ready", "status": status}],
            "nodeInfo": {
                "kubeletVersion": "v1.20.2", "machineID": "", "systemUUID": "", "bootID": "",
                "kernelVersion": "", "osImage": "", "containerRuntimeVersion": "",
                "kubeProxyVersion": "v1.20.2", "operatingSystem": "linux", "architecture": "amd64",
            },
            "images": [{"names": ["registry.example/acs/pause:3.5"], "sizeBytes": 1}],
        },
    })
}

/// A deployment in `kube-system` whose container has these environment variables.
pub fn deployment(name: &str, replicas: u32, env: &Value) -> Value {
    let labels = json!({"app": name});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": "kube-system"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": name, "image": "none", "env": env}]},
            },
        },
    })
}
