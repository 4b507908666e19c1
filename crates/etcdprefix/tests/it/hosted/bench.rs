//! A management cluster with one hosted cluster, its etcd, a store, and the command.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use etcdprefix_testkit::cluster::{ClusterOptions, EtcdCluster, Security};
use etcdprefix_testkit::kubernetes::{Apiserver, Await, Credentials, Kubectl, Provider, Setup};
use etcdprefix_testkit::proxy::Proxy;
use etcdprefix_testkit::stores::{Act, BUCKET, Front, Rule, S3Server};
use etcdprefix_testkit::{EtcdServer, Version, block_on};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::operator::Operator;
use super::run::{Run, Running};
use crate::support::{PROGRAM, said};

pub const CONTROL_PLANE: &str = "clusters-mine";
pub const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/clusters-mine/deployments";
pub const HOSTED: &str = "/apis/hypershift.openshift.io/v1beta1/namespaces/clusters/hostedclusters";
pub const WRITERS: [(&str, i64); 3] =
    [("kube-apiserver", 3), ("openshift-apiserver", 1), ("openshift-oauth-apiserver", 0)];

/// In the Secret that the HostedCluster names.
pub const KEY: &str = "c2VjcmV0LWtleS1vZi10aGUtaG9zdGVkLWNsdXN0ZXI=";

/// Nothing here takes so long on a loaded machine.
pub const LIMIT: Duration = Duration::from_secs(120);

/// All of it, ended in this order.
pub struct Bench<'a> {
    pub operator: Operator,
    pub kubectl: &'a Kubectl,
    /// Between the command and the management API.
    pub api: Proxy,
    pub etcd: EtcdCluster,
    pub front: RefCell<Front>,
    store: S3Server,
    folder: TempDir,
}

/// Starts everything for the time of `test`.
pub fn with(test: impl FnOnce(&Bench<'_>) -> Result<()>) -> Result<()> {
    with_members(1, test)
}

/// The same with so many members of the hosted etcd.
pub fn with_members(members: usize, test: impl FnOnce(&Bench<'_>) -> Result<()>) -> Result<()> {
    let credentials = Credentials::new()?;
    let own = EtcdServer::start(Version::V3_4_23, &[])?;
    let setup = Setup { prefix: "/registry", secrets: Provider::Identity, flags: &[] };
    let server = Apiserver::start(&own, &credentials, setup, Await::Ready)?;
    let kubectl = server.kubectl();
    let kubeconfig = credentials.kubeconfig_for(kubectl)?;
    let options =
        ClusterOptions { members, security: Security::MutualTls, ..ClusterOptions::default() };
    let etcd = EtcdCluster::start(Version::V3_5_16, options)?;
    block_on(fill(&etcd))?;
    make_objects(kubectl, &etcd)?;
    let store = S3Server::start(&[])?;
    let folder = TempDir::new()?;
    let api = Proxy::start(kubectl.server())?;
    let text = fs::read_to_string(&kubeconfig)?.replace(kubectl.server(), &api.endpoint());
    fs::write(folder.path().join("kubeconfig"), text)?;
    let front = RefCell::new(Front::start(store.address())?);
    let operator = Operator::start(&kubeconfig)?;
    let bench = Bench { operator, kubectl, api, etcd, front, store, folder };
    bench.settle()?;
    test(&bench)
}

/// Some history below the prefix of a hosted API server.
async fn fill(etcd: &EtcdCluster) -> Result<()> {
    let mut client = etcd.client(0).await?;
    for number in 0..200 {
        let key = format!("/kubernetes.io/configmaps/default/map-{:03}", number % 150);
        client.put(key, format!("value {number}"), None).await?;
    }
    client.delete("/kubernetes.io/configmaps/default/map-007", None).await?;
    Ok(())
}

fn make_objects(kubectl: &Kubectl, etcd: &EtcdCluster) -> Result<()> {
    kubectl.feed(&["create"], include_str!("crd.yaml"))?;
    for kind in ["hostedclusters", "hostedcontrolplanes"] {
        let name = format!("crd/{kind}.hypershift.openshift.io");
        kubectl.run(&["wait", "--for=condition=established", "--timeout=60s", &name])?;
    }
    let meta = |namespace: &str, name: &str| json!({"namespace": namespace, "name": name});
    let client = etcd.client_certificate();
    let file = |path: &Path| anyhow::Ok(STANDARD.encode(fs::read(path)?));
    let mut items = vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "clusters"}}),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": CONTROL_PLANE}}),
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": meta("clusters", "mine-etcd-encryption-key"),
            "data": {"key": KEY},
        }),
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": meta(CONTROL_PLANE, "etcd-client-tls"),
            "data": {
                "etcd-client.crt": file(client.certificate())?,
                "etcd-client.key": file(client.key())?,
            },
        }),
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": meta(CONTROL_PLANE, "etcd-ca"),
            "data": {"ca.crt": fs::read_to_string(etcd.authority().certificate())?},
        }),
        hosted(),
        json!({
            "apiVersion": "hypershift.openshift.io/v1beta1", "kind": "HostedControlPlane",
            "metadata": meta(CONTROL_PLANE, "mine"), "spec": {"of": "mine"},
        }),
    ];
    items.extend(WRITERS.map(|(name, replicas)| deployment(name, replicas)));
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    kubectl.feed(&["create"], &list.to_string()).map(drop)
}

/// The hosted cluster as it is made.
pub fn hosted() -> Value {
    json!({
        "apiVersion": "hypershift.openshift.io/v1beta1", "kind": "HostedCluster",
        "metadata": {"namespace": "clusters", "name": "mine"},
        "spec": {
            "dns": {"baseDomain": "example.com"},
            "etcd": {
                "managementType": "Managed",
                "managed": {"storage": {
                    "type": "PersistentVolume", "persistentVolume": {"size": "8Gi"},
                }},
            },
            "secretEncryption": {"type": "aescbc", "aescbc": {"activeKey": {"name": "mine-etcd-encryption-key"}}},
        },
    })
}

pub fn deployment(name: &str, replicas: i64) -> Value {
    let labels = json!({"app": name});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": CONTROL_PLANE},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": name, "image": "none"}]},
            },
        },
    })
}

impl Bench<'_> {
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `etcdprefix migrate hosted`, its words split at spaces.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(["migrate", "hosted"]).args(line.split_whitespace());
        if !line.contains("--hosted-cluster") {
            command.args(["--hosted-cluster", "clusters/mine"]);
        }
        if !line.contains("--folder") {
            command.arg("--folder").arg(self.path("folder"));
        }
        if !line.contains("--kubeconfig") {
            command.arg("--kubeconfig").arg(self.path("kubeconfig"));
        }
        if line.starts_with("run") {
            if !line.contains("--etcd-endpoints") {
                command.args(["--etcd-endpoints", self.etcd.endpoint(0)]);
            }
            command.args(["--store", &format!("s3://{BUCKET}/hosted/")]);
        }
        if !line.starts_with("status") {
            let front = format!("http://{}", self.front.borrow().address());
            command.args(["--store-endpoint", &front, "--region", S3Server::REGION]);
            command.arg("--store-path-style");
        }
        let key = self.store.key();
        command.env_clear().env("AWS_ACCESS_KEY_ID", &key.id);
        command.env("AWS_SECRET_ACCESS_KEY", &key.secret).env("HOME", self.path("home"));
        command.env("RUST_LOG", "trace").env("TMPDIR", self.folder.path());
        command.stdin(Stdio::null()).current_dir(self.folder.path());
        command
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn hosted(&self, line: &str) -> Run {
        self.begin(line).end()
    }

    /// Starts it.
    #[track_caller]
    pub fn begin(&self, line: &str) -> Running<'_> {
        Running::start(self, line)
    }

    /// The next upload waits until the front is told to release it.
    pub fn hold_upload(&self) -> Result<()> {
        self.next_upload(Act::Hold)
    }

    /// What is done to the next upload.
    pub fn next_upload(&self, act: Act) -> Result<()> {
        let front = Front::start(self.store.address())?;
        front.rule(Rule { method: "PUT", holds: "clusters_mine", skip: 0, times: 1, act });
        *self.front.borrow_mut() = front;
        Ok(())
    }

    /// The journal in a folder, if there is one.
    pub fn journal(&self, folder: &str) -> Option<Value> {
        let text = fs::read_to_string(self.path(folder).join("journal.json")).ok()?;
        Some(serde_json::from_str(&text).expect("it is always whole"))
    }

    pub fn raw_hosted(&self) -> Result<Value> {
        // In the version that is served in any case.
        self.kubectl.raw(&format!("{}/mine", HOSTED.replace("v1beta1", "v1alpha1")))
    }

    /// Everything that is to be as before.
    pub fn state(&self) -> Result<BTreeMap<String, Value>> {
        let mut state = BTreeMap::new();
        for path in [HOSTED, DEPLOYMENTS] {
            let list = self.kubectl.raw(path)?;
            for item in list["items"].as_array().context("no list")? {
                let mut item = item.clone();
                let members = item.as_object_mut().context("no object")?;
                members.remove("status");
                let meta = members["metadata"].as_object_mut().context("no metadata")?;
                for name in ["resourceVersion", "managedFields", "generation"] {
                    meta.remove(name);
                }
                state.insert(format!("{path}/{}", item["metadata"]["name"]), item);
            }
        }
        Ok(state)
    }

    /// Until the operator has done all that it has to.
    pub fn settle(&self) -> Result<()> {
        let start = Instant::now();
        while !self.is_settled()? {
            ensure!(start.elapsed() < LIMIT, "the operator does not come to its end");
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn is_settled(&self) -> Result<bool> {
        let list = self.kubectl.raw(DEPLOYMENTS)?;
        let mut items = list["items"].as_array().context("no list")?.iter();
        Ok(items.all(|it| {
            let replicas = it["status"]["replicas"].as_i64().unwrap_or_default();
            it["status"]["observedGeneration"] == it["metadata"]["generation"]
                && it["spec"]["replicas"] == replicas
        }))
    }

    /// The keys of all that is in the store.
    pub fn stored(&self) -> Result<Vec<String>> {
        let mut command = Command::new(PROGRAM);
        command.args(["store", "ls", &format!("s3://{BUCKET}/"), "-w", "json"]);
        command.args(["--endpoint", &format!("http://{}", self.store.address())]);
        command.args(["--region", S3Server::REGION, "--addressing", "path"]);
        let key = self.store.key();
        command.env_clear().env("AWS_ACCESS_KEY_ID", &key.id);
        let output = command.env("AWS_SECRET_ACCESS_KEY", &key.secret).output()?;
        ensure!(output.status.success(), "{}", said(&output));
        let listed: Value = serde_json::from_slice(&output.stdout)?;
        let objects = listed["objects"].as_array().context("no list")?;
        Ok(objects.iter().map(|object| object["key"].to_string()).collect())
    }

    /// Writes as an API server that nobody has stopped.
    pub fn write(&self) -> Result<()> {
        block_on(async {
            let mut client = self.etcd.client(0).await?;
            client.put("/kubernetes.io/configmaps/default/late", "x", None).await?;
            Ok(())
        })
    }
}
