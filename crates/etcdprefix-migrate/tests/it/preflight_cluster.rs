//! What preflight finds of a real kube-apiserver.

use anyhow::Result;
use etcdprefix_migrate::node::preflight::Standing::{Ask, Fail, Ok as Well, Warn};
use etcdprefix_migrate::protocol::PreflightRequest;
use serde_json::json;

use crate::master::{Found, Master};
use crate::server::{self, Server, deployment, node};

fn look(master: &Master, server: &Server<'_>) -> Result<Found> {
    let kubeconfig = Some(server.kubeconfig.to_owned());
    let request = PreflightRequest { kubeconfig, cluster_checks: true, ..master.request() };
    Ok(master.look(&request)?)
}

#[test]
fn a_plain_cluster_has_nothing_against_it() -> Result<()> {
    let master = Master::new()?;
    server::with(|server| {
        server.feed(&node("worker", "worker", true))?;
        let found = look(&master, &server)?;
        for name in ["kubernetes_api", "virtual_node", "terway_controlplane", "alb_ingress"] {
            found.stands(name, Well, "");
        }
        found.stands("node_versions", Well, "1 nodes: 1 with v1.20.2");
        // Of its own build the server tells no version, but the image does.
        found.stands("kubernetes_version", Well, "v1.20.4-aliyun.1");
        found.stands("nodes_ready", Well, "all 1 nodes");
        found.stands("api_address", Ask, "127.0.0.1, this host's own");
        found.stands("master_role_policy", Ask, "k8sMasterRolePolicy");
        assert_eq!(found.0.facts.api_server.as_deref(), Some(server.kubectl.server()));
        Ok(())
    })
}

#[test]
fn components_that_the_move_breaks_are_told() -> Result<()> {
    let master = Master::new()?;
    server::with(|server| {
        server.feed(&deployment("terway-controlplane", 2, &json!([])))?;
        server.feed(&deployment("alb-ingress-controller", 1, &json!([])))?;
        let host = json!({"name": "KUBERNETES_APISERVER_HOST", "value": "10.0.0.1"});
        let node = "ack-virtual-node-controller";
        server.feed(&deployment(node, 1, &json!([host])))?;
        let found = look(&master, &server)?;
        found.stands("terway_controlplane", Fail, "--replicas=0");
        found.stands("terway_controlplane", Fail, "2 replicas");
        found.stands("alb_ingress", Warn, "install it anew");
        found.stands("virtual_node", Fail, "lacks KUBERNETES_APISERVER_PORT");

        // As the advice has it.
        let system = ["-n", "kube-system"];
        let set = ["set", "env", "deployment/ack-virtual-node-controller"];
        let variables = ["KUBERNETES_APISERVER_HOST=10.0.0.1", "KUBERNETES_APISERVER_PORT=6443"];
        server.kubectl.run(&[&system[..], &set, &variables].concat())?;
        let scale = ["scale", "deployment", "terway-controlplane", "--replicas=0"];
        server.kubectl.run(&[&system[..], &scale].concat())?;
        let found = look(&master, &server)?;
        found.stands(
            "virtual_node",
            Well,
            "KUBERNETES_APISERVER_HOST and KUBERNETES_APISERVER_PORT",
        );
        found.stands("terway_controlplane", Well, "switch it on again");
        Ok(())
    })
}

#[test]
fn an_api_that_does_not_answer_is_not_taken_for_a_healthy_one() -> Result<()> {
    let master = Master::new()?;
    let request = PreflightRequest { cluster_checks: true, ..master.request() };
    let found = master.look(&request)?;
    found.stands("kubernetes_api", Warn, "etc/kubernetes/admin.conf");
    found.stands("kubernetes_version", Well, "v1.20.4");
    assert!(!found.has("virtual_node"));

    let text =
        std::fs::read_to_string(master.path("etc/kubernetes/manifests/kube-apiserver.yaml"))?;
    master.write(
        "etc/kubernetes/manifests/kube-apiserver.yaml",
        &text.replace(":v1.20.4-aliyun.1", ""),
    )?;
    let found = master.look(&request)?;
    found.stands("kubernetes_version", Ask, "kubectl version");
    Ok(())
}
