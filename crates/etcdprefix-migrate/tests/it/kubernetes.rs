//! The client of the Kubernetes API, on a real kube-apiserver.

use std::fs;

use anyhow::Result;
use etcdprefix_migrate::kubernetes::{Cluster, Kind, Object, SYSTEM, Unchanged};
use etcdprefix_testkit::block_on;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use serde_json::json;
use tempfile::TempDir;

use crate::server::{self, node};

#[test]
fn objects_are_read_changed_and_deleted() -> Result<()> {
    server::with(|server| {
        for name in ["a", "b"] {
            server.feed(&node(name, "worker", true))?;
        }
        block_on(async {
            let cluster = Cluster::open(server.kubeconfig).await?;
            assert!(cluster.server().starts_with("https://127.0.0.1:"), "{}", cluster.server());
            // Debian's source is built here without the tag of its version.
            assert!(cluster.version().await?.starts_with("v0.0.0-master"));
            cluster.ready().await?;
            assert_eq!(cluster.nodes().await?.len(), 2);

            let map = Object::new(Kind::ConfigMap, SYSTEM, "map");
            assert!(cluster.get::<ConfigMap>(&map).await?.is_none());
            cluster.create(&map, &json!({"metadata": {"name": "map"}, "data": {"a": "b"}})).await?;
            cluster.merge(&map, &json!({"data": {"c": "d"}})).await?;
            let found: ConfigMap = cluster.get(&map).await?.unwrap();
            assert_eq!(found.data.unwrap().len(), 2);

            let old = Unchanged { resource_version: Some("1".into()), ..Unchanged::default() };
            let refused = cluster.delete(&map, &old).await.unwrap_err().to_string();
            assert!(refused.contains("try: again: the object changed"), "{refused}");
            assert!(cluster.delete(&map, &Unchanged::default()).await?);
            assert!(!cluster.delete(&map, &Unchanged::default()).await?);
            let own = Object::new(Kind::Service, "default", "kubernetes");
            assert!(cluster.get::<Service>(&own).await?.is_some());
            Ok(())
        })
    })
}

#[test]
fn what_keeps_it_from_answering_is_told() -> Result<()> {
    let folder = TempDir::new()?;
    let file = folder.path().join("kubeconfig");
    let open = || block_on(Cluster::open(&file));
    let missing = open().err().unwrap().to_string();
    assert!(missing.contains("No such file") && missing.contains("try: "), "{missing}");
    fs::write(&file, "users: [{name: s3cr3t\n  token: s3cr3t")?;
    let unreadable = open().err().unwrap().to_string();
    assert!(unreadable.contains("no YAML") && !unreadable.contains("s3cr3t"), "{unreadable}");

    // Nobody listens on the port of another cluster's server that has ended.
    let gone = server::with(|server| Ok(fs::read_to_string(server.kubeconfig)?))?;
    let gone = gone.replace("certificate-authority", "ignored");
    fs::write(&file, gone)?;
    let silent = block_on(async { Cluster::open(&file).await?.version().await });
    let silent = silent.unwrap_err().to_string();
    assert!(silent.contains("Connection refused"), "{silent}");
    assert!(silent.contains("try: whether the API server runs"), "{silent}");
    Ok(())
}

#[test]
fn who_may_not_is_told_so() -> Result<()> {
    server::with(|server| {
        let text = fs::read_to_string(server.kubeconfig)?;
        let folder = TempDir::new()?;
        let file = folder.path().join("kubeconfig");
        fs::write(&file, text.replace("a-token-of-tests", "another"))?;
        let refused = block_on(async { Cluster::open(&file).await?.nodes().await });
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("HTTP 401") && refused.contains("valid still"), "{refused}");
        Ok(())
    })
}
