//! The cluster before: three apiservers after another, each with another way to seal Secrets.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use etcdprefix_testkit::kubernetes::{
    Apiserver, Await, Credentials, Kubectl, Objects, Provider, Setup, stored,
};
use etcdprefix_testkit::{EtcdServer, Version, save};
use serde_json::Value;

/// Long enough for a loaded machine; events come within milliseconds.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Seconds that the last event lives: more than from its writing to the snapshot.
pub const SHORT: &str = "--event-ttl=20s";

/// The watch cache of an apiserver just started knows no old revision, whatever the prefix: its
/// clients are told to list anew. Without it watches go to etcd, which knows.
pub const UNCACHED: &str = "--watch-cache=false";

/// The collections that are watched. Events are last.
pub const WATCHED: [&str; 5] = [
    "/api/v1/namespaces/shop/configmaps",
    "/api/v1/namespaces/shop/secrets",
    "/api/v1/namespaces/shop/pods",
    "/apis/example.com/v1/namespaces/shop/widgets",
    "/api/v1/namespaces/shop/events",
];

/// Ways to seal Secrets that survive a change of the prefix, in the order of use.
pub const SEALED_BY: [Provider; 3] = [Provider::Identity, Provider::Aescbc, Provider::Secretbox];

/// What is to be found again.
pub struct Source {
    pub credentials: Credentials,
    pub objects: Objects,
    /// A resourceVersion with much history after it.
    pub mark: u64,
    /// What came of each watch since the mark.
    pub events: Vec<Vec<Value>>,
}

impl Source {
    /// Fills a new cluster and saves its snapshot.
    pub fn make(version: Version, snapshot: &Path) -> Result<Self> {
        let credentials = Credentials::new()?;
        let etcd = EtcdServer::start(version, &[])?;
        let start = |secrets, flags: &[&str]| {
            let setup = Setup { prefix: "/registry", secrets, flags };
            Apiserver::start(&etcd, &credentials, setup, Await::Ready)
        };
        {
            // Ends long before the mark, which must not be compacted away.
            let server = start(Provider::Identity, &["--etcd-compaction-interval=2s"])?;
            many_kinds(server.kubectl()).context("objects of many kinds")?;
            compacted(&etcd)?;
        }
        {
            let server = start(Provider::Aescbc, &[])?;
            secret(server.kubectl(), "by-aescbc")?;
            secret(server.kubectl(), "rotated")?;
        }
        let server = start(Provider::Secretbox, &[UNCACHED, SHORT])?;
        let kubectl = server.kubectl();
        secret(kubectl, "by-secretbox")?;
        let mark = history(kubectl).context("history")?;
        kubectl.run(&["create", "-f", &manifest("last.yaml")])?;
        let events = since(kubectl, mark)?;
        save::snapshot(&etcd, snapshot)?;
        assert_sealed(&etcd, "/registry")?;
        let objects = kubectl.objects()?;
        drop(server);
        Ok(Self { credentials, objects, mark, events })
    }

    /// The objects were listed after the snapshot; that nothing was written in between makes them
    /// the snapshot's.
    pub fn assert_unchanged_since(&self, revision: u64) -> Result<()> {
        for (path, object) in self.objects.iter().filter(|(path, _)| !volatile(path)) {
            let written = resource_version(&serde_json::from_str(object)?)?;
            ensure!(written <= revision, "{path} was written at {written}, after {revision}");
        }
        ensure!(self.mark < revision, "no history after {}", self.mark);
        let kinds = self.objects.keys().filter_map(|path| path.rsplitn(3, '/').nth(2));
        let kinds: std::collections::BTreeSet<&str> = kinds.collect();
        ensure!(kinds.len() >= 40, "only {} kinds have objects: {kinds:?}", kinds.len());
        Ok(())
    }
}

/// What an apiserver changes by itself at every start, whatever the prefix, or what expires.
pub fn volatile(path: &str) -> bool {
    path == "/apis/apiregistration.k8s.io/v1/apiservices//v1.example.com"
        || path.ends_with("/events/shop/last")
}

fn manifest(name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/kubernetes");
    folder.join(name).display().to_string()
}

pub fn secret(kubectl: &Kubectl, name: &str) -> Result<()> {
    let value = format!("--from-literal=password={name}");
    kubectl.run(&["create", "secret", "generic", name, "-n", "shop", &value]).map(drop)
}

fn many_kinds(kubectl: &Kubectl) -> Result<()> {
    kubectl.run(&["create", "-f", &manifest("objects.yaml")])?;
    let established = ["wait", "--for=condition=Established", "crd", "--all"];
    kubectl.run(&established)?;
    // Established is written a moment before the server has the custom resource's handler.
    let served = || kubectl.answers("/apis/example.com/v1/planets");
    let start = Instant::now();
    while !served()? {
        ensure!(start.elapsed() < PATIENCE, "the custom resources are not served");
    }
    kubectl.run(&["create", "-f", &manifest("history.yaml")])?;
    secret(kubectl, "by-identity")
}

/// Waits until the apiserver has compacted: the second write of its key goes with the first
/// compaction.
fn compacted(etcd: &EtcdServer) -> Result<()> {
    let start = Instant::now();
    while stored(etcd)?.get("compact_rev_key").is_none_or(|key| key.version < 2) {
        ensure!(start.elapsed() < PATIENCE, "the apiserver does not compact");
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// Updates and deletes of every watched kind but events; returns the resourceVersion before them.
fn history(kubectl: &Kubectl) -> Result<u64> {
    let mark = resource_version(&kubectl.raw("/api/v1/namespaces/shop/secrets/by-secretbox")?)?;
    for round in ["1", "2"] {
        let data = format!("{{\"data\":{{\"round\":\"{round}\"}}}}");
        kubectl.run(&["patch", "configmap", "settings", "-n", "shop", "-p", &data])?;
        let spec = format!("{{\"spec\":{{\"size\":1{round}}}}}");
        let widget = ["patch", "widget", "round", "-n", "shop", "--type=merge", "-p", &spec];
        kubectl.run(&widget)?;
    }
    let stopped = "{\"stringData\":{\"password\":\"new\"}}";
    kubectl.run(&["patch", "secret", "rotated", "-n", "shop", "-p", stopped])?;
    kubectl.run(&["label", "pod", "web-0", "-n", "shop", "seen=yes"])?;
    kubectl.run(&["delete", "pod,widget", "doomed", "-n", "shop"])?;
    Ok(mark)
}

/// The events of every watched collection from the mark to the last write.
fn since(kubectl: &Kubectl, mark: u64) -> Result<Vec<Vec<Value>>> {
    let of = |path: &&str| kubectl.watch(path, mark)?.until(PATIENCE, is_last);
    WATCHED.iter().map(of).collect()
}

pub fn is_last(event: &Value) -> bool {
    event["object"]["metadata"]["name"] == "last"
}

pub fn resource_version(object: &Value) -> Result<u64> {
    let text = object["metadata"]["resourceVersion"].as_str();
    Ok(text.with_context(|| format!("no resourceVersion: {object}"))?.parse()?)
}

/// Each Secret is in etcd as the provider of its time writes it.
pub fn assert_sealed(etcd: &EtcdServer, prefix: &str) -> Result<()> {
    let stored = stored(etcd)?;
    for provider in SEALED_BY {
        let key = format!("{prefix}/secrets/shop/by-{}", provider.name());
        let value = &stored.get(&key).with_context(|| format!("no {key}"))?.value;
        let head = value[..value.len().min(30)].escape_ascii();
        ensure!(value.starts_with(provider.mark().as_bytes()), "{key} begins with {head}");
    }
    Ok(())
}
