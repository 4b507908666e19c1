//! What runs on the hosts: etcd, and stand-ins for kubelet and the control plane.

use std::fs;
use std::process::Command;

use anyhow::Result;
use etcd_client::GetOptions;
use etcdprefix_testkit::block_on;
use etcdprefix_testkit::hosts::{ApiServer, CONTROL_ADDRESS, Hosts, HostsOptions, Knob, Runtime};
use etcdprefix_testkit::kubernetes::Kubectl;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{one_with_all, ssh};

const PROCESSES: [&str; 5] = [
    "kubelet",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "cloud-controller-manager",
];

const SLEEP: &str =
    "cd /etc/kubernetes && mkdir -p manifests.backup && mv manifests/kube-* manifests.backup/";

const WAKE: &str = "cd /etc/kubernetes && mv manifests.backup/* manifests/";

async fn revision(hosts: &Hosts) -> Result<i64> {
    let status = hosts.etcd().client(1).await?.get("x", None).await?;
    Ok(status.header().map_or(0, etcd_client::ResponseHeader::revision))
}

async fn count(hosts: &Hosts, prefix: &str) -> Result<i64> {
    let options = GetOptions::new().with_prefix().with_count_only();
    Ok(hosts.etcd().client(1).await?.get(prefix, Some(options)).await?.count())
}

fn nodes() -> Value {
    let node = |name: &str| json!({"metadata": {"name": name, "labels": {"role": "master"}}});
    json!({"kind": "NodeList", "apiVersion": "v1", "items": [node("m1"), node("m2"), node("m3")]})
}

#[test]
fn a_control_plane_sleeps_and_wakes() -> Result<()> {
    let hosts = Hosts::start(HostsOptions::default())?;
    for host in hosts.all() {
        for process in PROCESSES {
            assert!(host.runs(process)?, "{process} on {}", host.name());
        }
        let line = host.shell("tr '\\0' ' ' < /proc/$(pidof -x kube-apiserver)/cmdline")?;
        assert!(line.starts_with("kube-apiserver --advertise-address=10.77.0.1"), "{line}");
        assert!(line.trim_end().ends_with("/apiserver.key"), "{line}");
        let listed = ssh(&hosts, &host.name(), "crictl ps --name kube-apiserver -q")?;
        assert_eq!(listed.lines().count(), 1, "{listed}");
    }
    for host in hosts.all() {
        ssh(&hosts, &host.name(), SLEEP)?;
        host.wait_for("kube-apiserver", false)?;
        let rest = ssh(&hosts, &host.name(), "crictl ps | tail -n +2 | wc -l")?;
        assert_eq!(rest, "2\n", "etcd and cloud-controller-manager stay");
    }
    let written = block_on(revision(&hosts))?;
    // What the API servers gave a lease goes without them.
    while block_on(count(&hosts, "/registry/events/"))? > 0 {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let expired = block_on(revision(&hosts))?;
    assert!(expired > written, "leases end by deletes");
    assert_eq!(block_on(count(&hosts, "/registry/leases/"))?, 3);
    for host in hosts.all() {
        ssh(&hosts, &host.name(), WAKE)?;
        host.wait_for_writes()?;
    }
    assert!(block_on(revision(&hosts))? > expired);
    Ok(())
}

#[test]
fn containers_and_processes_that_stay_are_told_apart() -> Result<()> {
    let hosts = one_with_all()?;
    let host = hosts.host(1);
    let listed = || ssh(&hosts, "m1", "crictl ps -o json --name '^kube-apiserver$'");
    let container =
        |text: String| anyhow::Ok(serde_json::from_str::<Value>(&text)?["containers"][0].clone());
    let described = container(listed()?)?;
    assert_eq!(described["state"], "CONTAINER_RUNNING");
    assert_eq!(described["labels"]["io.kubernetes.pod.name"], "kube-apiserver-m1");

    host.set(Knob::ContainerStays, "kube-apiserver")?;
    ssh(&hosts, "m1", SLEEP)?;
    host.wait_for("kube-apiserver", false)?;
    assert_eq!(container(listed()?)?["id"], described["id"]);
    host.unset(Knob::ContainerStays)?;
    while !container(listed()?)?.is_null() {}

    ssh(&hosts, "m1", WAKE)?;
    host.wait_for("kube-apiserver", true)?;
    host.set(Knob::ProcessStays, "kube-apiserver")?;
    host.set(Knob::NeverStops, "kube-scheduler")?;
    ssh(&hosts, "m1", SLEEP)?;
    while !container(listed()?)?.is_null() {}
    assert!(host.runs("kube-apiserver")? && host.runs("kube-scheduler")?);
    assert_eq!(ssh(&hosts, "m1", "crictl ps --name kube-scheduler -q | wc -l")?, "1\n");
    host.wait_for_writes()?;
    host.freeze_kubelet(true)?;
    ssh(&hosts, "m1", WAKE)?;
    assert_eq!(ssh(&hosts, "m1", "crictl ps --name kube-apiserver -q | wc -l")?, "0\n");
    host.freeze_kubelet(false)?;
    while container(listed()?)?.is_null() {}
    Ok(())
}

#[test]
fn docker_shows_pods_too_and_an_api_server_needs_none() -> Result<()> {
    let runtime = Runtime::Docker;
    let hosts = Hosts::start(HostsOptions { hosts: 1, runtime, ..HostsOptions::default() })?;
    let host = hosts.host(1);
    let names =
        ssh(&hosts, "m1", "docker ps --filter name=k8s_kube-apiserver_ --format '{{.Names}}'")?;
    assert!(names.starts_with("k8s_kube-apiserver_kube-apiserver-m1_kube-system_"), "{names}");
    let count = || ssh(&hosts, "m1", "docker ps | grep kube-apiserver | wc -l");
    assert_eq!(count()?, "2\n");
    assert!(ssh(&hosts, "m1", "crictl ps").is_err());
    ssh(&hosts, "m1", SLEEP)?;
    while count()? != "0\n" {}
    assert!(!host.runs("kube-apiserver")?);
    let stray = host.start_api_server()?;
    host.wait_for_writes()?;
    assert!(host.runs("kube-apiserver")?);
    assert_eq!(count()?, "0\n");
    host.kill(stray)?;
    assert!(!host.runs("kube-apiserver")?);
    Ok(())
}

#[test]
fn leaders_move_and_members_end_and_learn() -> Result<()> {
    let options = HostsOptions { voters: Some(2), kubelet: false, ..HostsOptions::default() };
    let hosts = Hosts::start(options)?;
    let etcd = hosts.etcd();
    let (leader, other) = if etcd.leader()? == 1 { (1, 2) } else { (2, 1) };
    assert_eq!(etcd.endpoints(), ["https://10.77.0.11:2379", "https://10.77.0.12:2379"]);
    etcd.move_leader(other)?;
    etcd.add_learner(3)?;
    // As the template asks: with the files of the host, and not without.
    let flags = "--cacert=/var/lib/etcd/cert/ca.pem --cert=/var/lib/etcd/cert/etcd-server.pem \
                 --key=/var/lib/etcd/cert/etcd-server-key.pem";
    for (host, leads) in [(leader, false), (other, true), (3, false)] {
        let endpoint = format!("https://{}:2379", hosts.host(host).address());
        let status = format!("etcdctl {flags} --endpoints={endpoint} endpoint status -w json");
        let status: Value = serde_json::from_str(&ssh(&hosts, &format!("m{host}"), &status)?)?;
        let status = &status[0]["Status"];
        assert_eq!(status["leader"] == status["header"]["member_id"], leads, "{status}");
        assert_eq!(status["isLearner"] == true, host == 3, "{status}");
    }
    let bare = "etcdctl --cacert=/var/lib/etcd/cert/ca.pem --command-timeout=1s get x";
    assert!(ssh(&hosts, "m1", bare).is_err());
    etcd.stop(leader)?;
    etcd.resume(leader)?;
    etcd.kill(leader)?;
    etcd.restart(leader)?;
    assert_eq!(etcd.leader()?, other);
    let client = hosts.etcd_client()?;
    let mut outside = Command::new(etcd.version().etcdctl()?);
    outside.arg("--cacert").arg(hosts.etcd_authority().certificate());
    outside.arg("--cert").arg(client.certificate()).arg("--key").arg(client.key());
    outside.args(["--endpoints", &etcd.endpoints().join(","), "put", "key", "value"]);
    assert!(outside.output()?.status.success());
    Ok(())
}

#[test]
fn an_api_server_serves_who_may_ask() -> Result<()> {
    let hosts = one_with_all()?;
    hosts.api().set("/api/v1/nodes", &nodes())?;
    let config = hosts.host(1).path("/etc/kubernetes/admin.conf");
    let admin = Kubectl::with(&config)?;
    assert_eq!(admin.run(&["get", "--raw", "/readyz"])?, "ok");
    assert_eq!(admin.raw("/version")?["gitVersion"], "v1.28.3");
    let managed = ApiServer::start_at(CONTROL_ADDRESS.into())?;
    managed.api().set("/api/v1/nodes", &nodes())?;
    let other = Kubectl::with(&managed.kubeconfig()?)?;
    for (kubectl, api) in [(&admin, hosts.api()), (&other, managed.api())] {
        kubectl.run(&["delete", "--raw", "/api/v1/nodes/m2"])?;
        let left = kubectl.raw("/api/v1/nodes?labelSelector=role%3Dmaster")?;
        assert_eq!(left["items"].as_array().map(Vec::len), Some(2), "{left}");
        assert!(kubectl.raw("/api/v1/nodes/m2").is_err());
        assert_eq!(api.requests(), ["DELETE /api/v1/nodes/m2"]);
        assert_eq!(api.get("/api/v1/nodes")?, left);
    }
    // A token does it too; the other server's administrator is nobody here.
    hosts.api().set_token("a-t0ken")?;
    let ca = hosts.kubernetes_authority().certificate().display();
    let (server, ca) =
        ("--server=https://10.77.0.11:6443", format!("--certificate-authority={ca}"));
    let empty = TempDir::new()?;
    let config = empty.path().join("config");
    fs::write(&config, "")?;
    let nobody = Kubectl::with(&config)?;
    let ask = |token| nobody.output(&[server, &ca, token, "get", "--raw", "/api/v1/nodes/m1"]);
    assert!(ask("--token=a-t0ken")?.status.success());
    assert!(!ask("--token=another")?.status.success());
    assert!(other.run(&[server, &ca, "get", "--raw", "/api/v1/nodes/m1"]).is_err());
    hosts.etcd().stop(1)?;
    while admin.run(&["get", "--raw", "/readyz"]).is_ok() {}
    Ok(())
}

#[test]
fn keys_are_those_of_a_cluster() -> Result<()> {
    let hosts = Hosts::start(HostsOptions::bare(2))?;
    let file =
        |host: usize, file: &str| fs::read(hosts.host(host).path("/etc/kubernetes/pki").join(file));
    for name in ["sa.key", "sa.pub", "front-proxy-ca.crt", "front-proxy-ca.key", "ca.crt", "ca.key"]
    {
        assert_eq!(file(1, name)?, file(2, name)?, "{name}");
    }
    assert!(file(1, "sa.key")?.starts_with(b"-----BEGIN RSA PRIVATE"));
    assert!(file(1, "sa.pub")?.starts_with(b"-----BEGIN PUBLIC KEY-----"));
    let check = "cd /etc/kubernetes/pki && ssh-keygen -y -f sa.key | cut -d' ' -f 1,2 > /tmp/key && \
                 ssh-keygen -i -m PKCS8 -f sa.pub | cmp - /tmp/key && stat -c %a sa.key";
    assert_eq!(ssh(&hosts, "m2", check)?, "600\n");
    Ok(())
}
