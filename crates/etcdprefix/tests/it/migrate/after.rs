//! The managed side serves: what is left to do, and the end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use etcdprefix_testkit::hosts::{Api, ApiServer, CONTROL_ADDRESS};
use serde_json::{Value, json};

use super::Migration;

const PODS: &str = "/api/v1/namespaces/default/pods";

fn node(name: &str, role: &str, ready: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {format!("node-role.kubernetes.io/{role}"): ""}},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    })
}

fn nodes(ready: &str) -> Value {
    let items = [node("m1", "control-plane", ready), node("w1", "worker", "True")];
    json!({"apiVersion": "v1", "kind": "NodeList", "metadata": {}, "items": items})
}

/// As a kubelet does to pods, until it is told to stop.
fn run_pods(api: &Api, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        if let Ok(mut list) = api.get(PODS)
            && let Some(pod) = list["items"].get_mut(0)
            && pod["status"].is_null()
        {
            pod["status"] = json!({"phase": "Running"});
            let _ = api.set(PODS, &list);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_managed_side_serves_and_masters_go() -> Result<()> {
    let moving = Migration::one()?;
    moving.hosts.api().set("/api/v1/nodes", &nodes("True"))?;
    moving.migrate("rehearse").succeeded();
    moving.migrate("finish").failed(2, &["no bundle was handed out"]);
    moving.migrate("run").succeeded();
    let managed = ApiServer::start_at(CONTROL_ADDRESS.into())?;
    managed.api().set("/api/v1/nodes", &nodes("False"))?;
    managed.api().set(PODS, &json!({"apiVersion": "v1", "kind": "PodList", "items": []}))?;
    let kubeconfig = format!("--kubeconfig {}", managed.kubeconfig()?.display());
    // The load balancer would have brought its old address along.
    let here = format!("{kubeconfig} --expected-server {}", managed.url());
    moving.migrate(&format!("aftercare {kubeconfig}")).failed(31, &["not where it was"]);
    let looked = moving.migrate(&format!("aftercare {here} -w json"));
    looked.succeeded();
    let looked = looked.json();
    assert!(looked["away_seconds"].as_f64().unwrap() > 0.0, "{looked}");
    assert_eq!(looked["findings"]["server"], managed.url());
    assert_eq!((&looked["performed"], managed.api().requests().len()), (&json!([]), 0));
    let stop = AtomicBool::new(false);
    let cared = std::thread::scope(|scope| {
        scope.spawn(|| run_pods(managed.api(), &stop));
        let cared = moving.migrate(&format!("aftercare {here} --yes"));
        stop.store(true, Ordering::SeqCst);
        cared
    });
    cared.succeeded();
    let requests = managed.api().requests();
    let deleted = |path: &str| requests.contains(&format!("DELETE {path}"));
    assert!(deleted("/api/v1/nodes/m1") && !deleted("/api/v1/nodes/w1"), "{requests:?}");
    assert!(deleted(&format!("{PODS}/etcdprefix-aftercare")), "{requests:?}");
    moving.migrate("finish").succeeded();
    moving.migrate("finish").succeeded();
    let status = moving.status();
    assert_eq!(status["phase"], "finished");
    let host = &status["hosts"][0]["status"];
    assert!(host["fence"].is_object() && host["lock"].is_null(), "{host}");
    Ok(())
}
