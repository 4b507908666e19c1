use serde_json::json;

use super::super::Standing::{self, Ask, Fail, Ok as Well, Warn};
use super::super::store::Learnt;
use super::*;

fn node(kubelet: &str, provider: &str, region: Option<&str>) -> Node {
    let labels = region.map(|region| json!({REGION_LABELS[0]: region}));
    let info = json!({
        "kubeletVersion": kubelet, "architecture": "", "bootID": "", "containerRuntimeVersion": "",
        "kernelVersion": "", "kubeProxyVersion": "", "machineID": "", "operatingSystem": "",
        "osImage": "", "systemUUID": "",
    });
    let node = json!({
        "metadata": {"name": "n", "labels": labels},
        "spec": {"providerID": provider},
        "status": {
            "nodeInfo": info,
            "addresses": [{"type": "InternalIP", "address": "10.0.0.9"}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    });
    serde_json::from_value(node).unwrap()
}

fn seen(server: &str, nodes: Vec<Node>) -> Seen {
    Seen { server: server.into(), version: "v1.22.3".into(), nodes, components: BTreeMap::new() }
}

fn ack() -> Seen {
    seen("https://10.0.0.1:6443", vec![node("v1.22.3", "cn-hangzhou.i-1", Some("cn-hangzhou"))])
}

fn oss(region: Option<&str>, is_enough: bool) -> Learnt {
    Learnt { is_oss: true, is_enough, region: region.map(str::to_owned) }
}

#[track_caller]
fn stands(check: Option<Check>, standing: Standing, words: &str) {
    let check = check.unwrap();
    assert_eq!(check.standing, standing, "{check:?}");
    assert!(check.found.contains(words), "{check:?}");
}

#[test]
fn old_kubelets_are_named() {
    let nodes = ["v1.20.2", "v1.22.3", "v1.22.3"].map(|version| node(version, "", None));
    let well = versions(&seen("", nodes.into()));
    stands(Some(well), Well, "3 nodes: 1 with v1.20.2, 2 with v1.22.3");
    let old = versions(&seen("", vec![node("v1.19.9", "", None)]));
    assert_eq!(old.standing, Warn);
    assert!(old.advice.contains("v1.19.9"), "{old:?}");
}

#[test]
fn a_public_address_is_asked_about() {
    for (server, standing, words) in [
        ("https://47.98.1.2:6443", Ask, "47.98.1.2, a public address"),
        ("https://10.0.0.1:6443", Well, "10.0.0.1, a private address"),
        ("https://[fd00::1]:6443/", Well, "fd00::1, a private"),
        ("https://api.example", Ask, "api.example, a name"),
    ] {
        stands(Some(address(&seen(server, Vec::new()))), standing, words);
    }
    stands(
        Some(address(&ack())),
        Ask,
        "10.0.0.1, a private address; whether there is a public one",
    );
    for (server, words) in
        [("https://10.0.0.9:6443", "10.0.0.9, n's own"), ("https://[::1]:1", "this host's own")]
    {
        let own = Seen { server: server.into(), ..ack() };
        stands(Some(address(&own)), Ask, words);
    }
}

#[test]
fn nodes_that_are_broken_before_are_named() {
    let mut seen = ack();
    stands(Some(ready(&seen)), Well, "all 1 nodes are Ready");
    seen.nodes[0].status = None;
    stands(Some(ready(&seen)), Warn, "not Ready: n");
}

#[test]
fn a_virtual_node_needs_the_internal_endpoint_and_no_masters() {
    let with = |host: &str| {
        let env = [("KUBERNETES_APISERVER_HOST", host), ("KUBERNETES_APISERVER_PORT", "6443")];
        let env = env.map(|(name, value)| json!({"name": name, "value": value}));
        let spec = json!({"containers": [{"name": "c", "env": env}]});
        let spec = json!({"selector": {}, "template": {"spec": spec}});
        let deployment = serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap();
        Seen { components: [(VIRTUAL_NODE, deployment)].into(), ..ack() }
    };
    stands(Some(virtual_node(&ack())), Well, "there is no");
    stands(Some(virtual_node(&with("10.0.0.1"))), Well, "has KUBERNETES_APISERVER_HOST");
    stands(Some(virtual_node(&with(""))), Fail, "lacks KUBERNETES_APISERVER_HOST");
    stands(Some(virtual_node(&with("10.0.0.9"))), Fail, "is the address of the node n");
}

#[test]
fn the_bucket_is_in_the_clusters_region() {
    let hangzhou = oss(Some("cn-hangzhou"), true);
    stands(region(&ack(), Some(&hangzhou)), Well, "cn-hangzhou");
    let beijing = oss(Some("cn-beijing"), true);
    stands(
        region(&ack(), Some(&beijing)),
        Fail,
        "the bucket is in cn-beijing, the cluster in cn-hangzhou",
    );
    stands(region(&ack(), Some(&oss(None, true))), Ask, "bucket: not told; cluster: cn-hangzhou");
    assert!(region(&ack(), None).is_none());
    assert!(region(&ack(), Some(&Learnt { is_oss: false, ..hangzhou })).is_none());
}

#[test]
fn the_masters_policy_is_proved_by_the_store() {
    stands(policy(&ack(), Some(&oss(None, true))), Well, "see store");
    stands(policy(&ack(), Some(&oss(None, false))), Ask, "may not put and get");
    stands(policy(&ack(), None), Ask, "no store was tried");
    assert!(policy(&seen("", Vec::new()), None).is_none());
}
