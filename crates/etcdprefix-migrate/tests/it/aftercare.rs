//! What is left to do after the migration, found and done on a real kube-apiserver.

use std::time::Duration;

use anyhow::Result;
use etcdprefix_migrate::aftercare::{Action, Aftercare, Findings, Options, State};
use etcdprefix_testkit::block_on;
use serde_json::{Value, json};

use crate::server::{self, Server, deployment, node};

const LIMIT: Duration = Duration::from_secs(60);

fn look(server: &Server<'_>, options: &Options) -> Result<Findings> {
    block_on(async { Ok(Aftercare::open(server.kubeconfig).await?.look(options).await?) })
}

fn perform(server: &Server<'_>, actions: &[Action]) -> Result<Vec<bool>> {
    block_on(async {
        let aftercare = Aftercare::open(server.kubeconfig).await?;
        let mut changed = Vec::new();
        for action in actions {
            changed.push(aftercare.perform(action).await?.changed);
        }
        Ok(changed)
    })
}

fn of(findings: &Findings, name: &str) -> Vec<Action> {
    findings.actions.iter().filter(|action| action.name == name).cloned().collect()
}

fn told(actions: &[Action]) -> Vec<(&str, State)> {
    actions.iter().map(|action| (action.command.as_str(), action.state)).collect()
}

fn names(server: &Server<'_>) -> Result<String> {
    server.kubectl.run(&["get", "nodes", "-o", "name"])
}

#[test]
fn masters_that_are_gone_are_deleted_and_no_other_node() -> Result<()> {
    server::with(|server| {
        for (name, role, ready) in [
            ("gone", "control-plane", false),
            ("old", "master", false),
            ("alive", "control-plane", true),
            ("named", "none", false),
            ("worker", "worker", false),
        ] {
            server.feed(&node(name, role, ready))?;
        }
        let masters = vec!["named".to_owned()];
        let options = Options { masters, ..Options::default() };
        let findings = look(&server, &options)?;
        let actions = of(&findings, "delete_node");
        let (hand, todo) = (State::ByHand, State::Todo);
        let told = told(&actions);
        assert_eq!(
            told[1..],
            [
                ("kubectl delete node gone", todo),
                ("kubectl delete node named", todo),
                ("kubectl delete node old", todo),
            ]
        );
        assert!(told[0].0.contains("wait until it is NotReady") && told[0].1 == hand, "{told:?}");
        let release = of(&findings, "release_instances");
        assert!(release[0].what.contains("i-alive, i-gone, i-named, i-old"), "{release:?}");
        assert_eq!(release[0].state, State::ByHand);

        // One comes back between the look and the deletion.
        server.set_status(&node("old", "master", true))?;
        let error = perform(&server, &actions[3..]).unwrap_err().to_string();
        assert!(error.contains("the node old is Ready now"), "{error}");
        server.set_status(&node("old", "master", false))?;

        assert_eq!(perform(&server, &actions)?, [false, true, true, true]);
        assert_eq!(names(&server)?, "node/alive\nnode/worker\n");
        // Again: found done.
        assert_eq!(perform(&server, &actions)?, [false; 4]);
        server.kubectl.run(&["delete", "node", "alive"])?;
        let findings = look(&server, &options)?;
        assert_eq!(of(&findings, "delete_node")[0].state, State::Done);
        assert!(findings.masters.is_empty());
        Ok(())
    })
}

fn install_virtual_node(server: &Server<'_>) -> Result<()> {
    server.feed(&deployment("ack-virtual-node-controller", 1, &json!([])))?;
    let system = ["-n", "kube-system"];
    for object in [
        &["create", "service", "clusterip", "vk-webhook", "--tcp=443"][..],
        &["create", "serviceaccount", "virtual-kubelet"],
        &["create", "clusterrolebinding", "virtual-kubelet", "--clusterrole=view"],
    ] {
        server.kubectl.run(&[object, &system].concat())?;
    }
    Ok(())
}

#[test]
fn components_of_the_dedicated_cluster_go_and_terway_comes_back() -> Result<()> {
    server::with(|server| {
        let findings = look(&server, &Options::default())?;
        for name in ["delete_alb_ingress", "delete_virtual_node", "enable_terway_controlplane"] {
            assert_eq!(told(&of(&findings, name)), [("", State::Done)], "{name}");
        }
        install_virtual_node(&server)?;
        server.feed(&deployment("alb-ingress-controller", 1, &json!([])))?;
        server.feed(&deployment("terway-controlplane", 0, &json!([])))?;

        let findings = look(&server, &Options::default())?;
        let alb = of(&findings, "delete_alb_ingress");
        let command = "kubectl -n kube-system delete deployment alb-ingress-controller";
        assert_eq!(told(&alb), [(command, State::Todo)]);
        assert_eq!(alb[0].after.as_deref(), Some("ALB Ingress Controller is installed anew"));
        let nodes = of(&findings, "delete_virtual_node");
        let commands: Vec<_> = nodes.iter().map(|action| action.command.as_str()).collect();
        assert_eq!(
            commands,
            [
                "kubectl -n kube-system delete service vk-webhook",
                "kubectl -n kube-system delete deployment ack-virtual-node-controller",
                "kubectl delete clusterrolebinding virtual-kubelet",
                "kubectl -n kube-system delete serviceaccount virtual-kubelet",
            ]
        );
        for name in ["reinstall_alb_ingress", "reinstall_virtual_node"] {
            assert_eq!(of(&findings, name)[0].state, State::ByHand);
        }
        let terway = of(&findings, "enable_terway_controlplane");
        let all = [alb, nodes, terway].concat();
        assert_eq!(perform(&server, &all)?, [true; 6]);
        assert_eq!(perform(&server, &all)?, [false; 6]);
        let replicas = "jsonpath={.items[*].spec.replicas}";
        let left = server.kubectl.run(&["get", "deployments", "-A", "-o", replicas])?;
        assert_eq!(left, "1");
        Ok(())
    })
}

const POD: [&str; 4] = ["get", "pod", "etcdprefix-aftercare", "--ignore-not-found"];

/// What a kubelet would say, once the pod is there.
fn set_phase(server: &Server<'_>, status: Value) -> Result<()> {
    while server.kubectl.run(&POD)?.is_empty() {
        std::thread::sleep(Duration::from_millis(100));
    }
    let metadata = json!({"name": "etcdprefix-aftercare", "namespace": "default"});
    server.set_status(&json!({"kind": "Pod", "metadata": metadata, "status": status}))
}

#[test]
fn the_test_pod_is_started_awaited_and_deleted() -> Result<()> {
    server::with(|server| {
        server.feed(&node("worker", "worker", true))?;
        let action = of(&look(&server, &Options::default())?, "test_pod");
        assert!(action[0].command.contains("--image=registry.example/acs/pause:3.5"), "{action:?}");
        let changed = std::thread::scope(|scope| {
            let performed = scope.spawn(|| perform(&server, &action));
            set_phase(&server, json!({"phase": "Running"}))?;
            performed.join().unwrap()
        })?;
        assert_eq!(changed, [true]);
        assert_eq!(server.kubectl.run(&POD)?, "");

        let reason = json!({"waiting": {"reason": "ErrImagePull", "message": "no such image"}});
        let status = json!({
            "phase": "Failed",
            "containerStatuses": [{"name": "test", "ready": false, "restartCount": 0, "image": "",
                "imageID": "", "state": reason}],
        });
        let error = std::thread::scope(|scope| {
            let performed = scope.spawn(|| perform(&server, &action));
            set_phase(&server, status)?;
            anyhow::Ok(performed.join().unwrap().unwrap_err().to_string())
        })?;
        assert!(error.contains("phase is Failed: no such image"), "{error}");
        assert_eq!(server.kubectl.run(&POD)?, "", "it was left behind");

        server.kubectl.run(&["run", "etcdprefix-aftercare", "--image=theirs"])?;
        let error = perform(&server, &action).unwrap_err().to_string();
        assert!(error.contains("not ours"), "{error}");
        assert_ne!(server.kubectl.run(&POD)?, "");
        Ok(())
    })
}

#[test]
fn the_api_is_awaited_and_compared_with_the_one_before() -> Result<()> {
    let (file, url) = server::with(|server| {
        let seconds = block_on(async {
            anyhow::Ok(Aftercare::open(server.kubeconfig).await?.await_ready(LIMIT).await?)
        })?;
        assert!(seconds < LIMIT.as_secs_f64());
        let expected = |url: &str| Options {
            expected_server: Some(url.into()),
            expected_version: Some("v1.20.2".into()),
            ..Options::default()
        };
        let url = server.kubectl.server().to_owned();
        let same = look(&server, &expected(&format!("{url}/")))?;
        assert_eq!((same.same_server, same.same_version), (Some(true), Some(false)));
        let other = look(&server, &expected("https://10.0.0.1:6443"))?;
        assert_eq!(other.same_server, Some(false));
        Ok((std::fs::read_to_string(server.kubeconfig)?, url))
    })?;
    let folder = tempfile::TempDir::new()?;
    let path = folder.path().join("kubeconfig");
    std::fs::write(&path, file.replace("certificate-authority", "ignored"))?;
    let limit = Duration::from_secs(1);
    let error = block_on(async { Aftercare::open(&path).await?.await_ready(limit).await });
    let error = error.unwrap_err().to_string();
    assert!(error.contains("not ready after 1 s") && error.contains(&url), "{error}");
    Ok(())
}
