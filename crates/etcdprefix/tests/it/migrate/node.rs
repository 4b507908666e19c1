//! What other engines than ours do, and people who look at a host: one step at a time, over ssh.

use std::fs;

use anyhow::Result;
use etcdprefix_testkit::block_on;
use etcdprefix_testkit::hosts::Knob;
use serde_json::Value;

use super::Migration;
use super::bench::{CLUSTER, COMPONENTS};
use super::moved::{check_bundle, fetched, is_the_cluster};
use crate::support::said;

const ETCD: &str = "--etcd-endpoints https://127.0.0.1:2379 \
    --etcd-cacert /etc/kubernetes/pki/etcd/ca.pem --etcd-cert /etc/kubernetes/pki/etcd/etcd-client.pem \
    --etcd-key /etc/kubernetes/pki/etcd/etcd-client-key.pem";

/// One host, and whoever is logged in there.
struct Shell(Migration);

impl Shell {
    /// What the command says on its standard output, and how it ended.
    #[track_caller]
    fn node(&self, line: &str) -> (i32, Value, String) {
        let line = format!("RUST_LOG=trace /opt/etcdprefix node {line} -w json");
        let output = self.0.hosts.ssh().command("m1").unwrap().arg(&line).output().unwrap();
        self.0.secrets.are_not_in(&line, said(&output).as_bytes());
        self.0.secrets.are_not_on(self.0.hosts.host(1));
        let result = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().unwrap_or(-1), result, stderr)
    }

    #[track_caller]
    fn done(&self, line: &str) -> Value {
        let (code, result, stderr) = self.node(line);
        assert_eq!(code, 0, "{line}: {stderr}");
        result
    }

    #[track_caller]
    fn failed(&self, line: &str, expected: i32, word: &str) {
        let (code, _, stderr) = self.node(line);
        assert_eq!(code, expected, "{line}: {stderr}");
        assert!(stderr.contains(word), "{word:?} is not in: {stderr}");
    }
}

#[test]
fn a_host_is_put_to_sleep_and_woken_by_hand() -> Result<()> {
    let shell = Shell(Migration::one()?);
    let (moving, host) = (&shell.0, shell.0.hosts.host(1));
    let looked = shell.done("preflight");
    assert!(looked["checks"].as_array().unwrap().len() > 10, "{looked}");
    assert_eq!(shell.done("status")["asleep"], Value::Null);
    let slept = shell.done("sleep --cluster-id c1");
    let moved = slept["moved"].as_array().unwrap();
    assert!(
        COMPONENTS.iter().all(|name| moved.contains(&format!("{name}.yaml").into())),
        "{slept}"
    );
    assert_eq!((&slept["already"], slept["left"].as_array().unwrap().len()), (&false.into(), 1));
    assert!(COMPONENTS.iter().all(|name| !host.runs(name).unwrap()));
    assert_eq!(shell.done("sleep --cluster-id c1")["already"], true);
    shell.failed("sleep --cluster-id c1 --run another", 30, "holds this host");
    shell.failed("wake --cluster-id c1 --run another", 30, "holds this host");
    let status = shell.done("status");
    assert_eq!(
        (&status["timer"]["alive"], &status["api_server_runs"]),
        (&true.into(), &false.into())
    );
    // Somebody has put another one in its place.
    let other = host.path("/etc/kubernetes/manifests/kube-scheduler.yaml");
    fs::write(&other, "another")?;
    shell.failed("wake --cluster-id c1", 36, "manifests.backup/kube-scheduler.yaml");
    assert_eq!(fs::read_to_string(&other)?, "another");
    fs::remove_file(&other)?;
    assert_eq!(shell.done("wake --cluster-id c1")["api_server_runs"], true);
    assert_eq!(shell.done("wake --cluster-id c1")["already"], true);
    moving.is_as_before()?;
    // One that does not stop.
    host.set(Knob::NeverStops, "kube-scheduler")?;
    shell.failed("sleep --cluster-id c1 --wait 1s", 33, "kube-scheduler");
    host.unset(Knob::NeverStops)?;
    moving.before.check(&moving.hosts)?;
    shell.done("wake --cluster-id c1");
    moving.is_as_before()
}

#[test]
fn a_snapshot_and_a_bundle_are_made_by_hand() -> Result<()> {
    let shell = Shell(Migration::one()?);
    let (moving, host) = (&shell.0, shell.0.hosts.host(1));
    let key = moving.store.key();
    fs::create_dir(host.path("/opt/store"))?;
    fs::write(host.path("/opt/store/access-key-id"), &key.id)?;
    fs::write(host.path("/opt/store/access-key-secret"), &key.secret)?;
    let store = format!(
        "--store-endpoint http://{} --region cn-hangzhou --store-path-style --store-credentials /opt/store",
        moving.front.address()
    );
    shell.done("sleep --cluster-id c1");
    let snapshot = format!("snapshot --cluster-id {} --run by-hand {ETCD} {store}", CLUSTER);
    let made = shell.done(&format!("{snapshot} --store oss://bucket/by-hand --require-leader"));
    let revision = made["revision"].as_i64().unwrap();
    let bundle = format!(
        "bundle --cluster-id c1 {ETCD} {store} --store oss://bucket/by-hand --revision {revision}"
    );
    // Whoever gets it must find nobody awake.
    shell.failed(&format!("{bundle} --output /root/bundle.json"), 31, "node fence");
    shell.done("fence --cluster-id c1");
    let told = shell.done(&format!("{bundle} --output /root/bundle.json"));
    assert!(told["oss_url"].as_str().unwrap().ends_with("?[redacted]"), "{told}");
    let text = fs::read_to_string(host.path("/root/bundle.json"))?;
    let url = check_bundle(moving, &text)?["oss_url"].as_str().unwrap().to_owned();
    is_the_cluster(moving, &fetched(moving, &url)?, revision)?;
    let put = async {
        anyhow::Ok(moving.hosts.etcd().client(1).await?.put("/registry/late", "v", None).await?)
    };
    block_on(put)?;
    shell.failed(&format!("{bundle} --output /root/bundle.json"), 25, "/registry/late");
    shell.failed("wake --cluster-id c1 --not-handed-out", 37, "handed out");
    shell.done("wake --cluster-id c1 --managed-side-never-started");
    moving.is_as_before()
}

#[test]
fn a_host_whose_bundle_is_out_is_woken_by_force_alone() -> Result<()> {
    let shell = Shell(Migration::one()?);
    shell.0.migrate("run --skip-rehearsal").succeeded();
    let run = shell.done("status")["fence"]["run"].as_str().unwrap().to_owned();
    for run in ["by-hand", &run] {
        let code = if run == "by-hand" { 30 } else { 37 };
        for step in ["wake", "sleep"] {
            let line = format!("{step} --cluster-id {CLUSTER} --run {run}");
            shell.failed(&line, code, "try: ");
        }
    }
    shell.0.is_handed_out();
    let wake = format!("wake --cluster-id {CLUSTER} --run {run}");
    shell.done(&format!("{wake} --managed-side-never-started"));
    shell.0.is_as_before()
}
