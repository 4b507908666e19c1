//! What preflight finds on a host's disk.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use etcdprefix_migrate::node::preflight::Standing::{Ask, Fail, Ok as Well, Warn};
use etcdprefix_migrate::protocol::PreflightRequest;
use rcgen::KeyPair;

use crate::master::{MANIFESTS, Master};

#[test]
fn a_sound_master_is_found_sound() -> Result<()> {
    let master = Master::new()?;
    master.program(
        "crictl",
        "echo '{\"containers\": [{\"metadata\": {\"name\": \"kube-apiserver\"}}]}'",
    )?;
    master.write("run/containerd/containerd.sock", "")?;
    master.write("usr/sbin/aliyun-service", "")?;
    let found = master.look(&master.request())?;
    let well = [
        "kubelet",
        "static_pods",
        "backup_folder",
        "container_runtime",
        "binary",
        "cloud_assistant",
        "api_server_pod",
        "etcd_prefix",
        "etcd_overrides",
        "encryption",
        "service_account_keys",
        "front_proxy_ca",
        "kubernetes_version",
    ];
    well.iter().for_each(|name| found.stands(name, Well, ""));
    found.stands("time_zone", Ask, "Asia/Shanghai");
    // Nothing was said of etcd.
    found.stands("etcd_servers", Fail, "no --etcd-servers");
    found.stands("etcd_health", Fail, "no endpoints are known");
    found.stands("working_folder", Warn, "MiB free");
    assert!(!found.has("store") && !found.has("kubernetes_api") && !found.has("clock"));

    let facts = &found.0.facts;
    let moved = ["kube-apiserver.yaml", "kube-controller-manager.yaml", "kube-scheduler.yaml"];
    assert_eq!(
        (facts.would_move.as_slice(), facts.would_stay.as_slice()),
        (&moved.map(str::to_owned)[..], &["etcd.yaml".to_owned()][..])
    );
    assert_eq!(facts.etcd_prefix, "/registry");
    assert_eq!(facts.kubernetes_version.as_deref(), Some("v1.20.4-aliyun.1"));
    assert_eq!(facts.time_zone.as_deref(), Some("Asia/Shanghai"));
    assert_eq!(facts.public_keys.len(), 2);
    // The folder was tried and is not left behind.
    assert!(!master.path("work").exists());
    Ok(())
}

#[test]
fn a_host_without_control_plane_is_told() -> Result<()> {
    let master = Master::new()?;
    fs::remove_dir_all(master.path("proc/7"))?;
    master.look(&master.request())?.stands("kubelet", Fail, "systemctl start kubelet");

    fs::remove_file(master.path(&format!("{MANIFESTS}/kube-apiserver.yaml")))?;
    let found = master.look(&master.request())?;
    found.stands("api_server_pod", Fail, "no kube-apiserver in ");
    assert!(!found.has("etcd_prefix"));

    master.api_server(&[])?;
    let manifest = master.path(&format!("{MANIFESTS}/kube-apiserver.yaml"));
    let backup = master.path(&format!("{MANIFESTS}.backup"));
    fs::create_dir(&backup)?;
    fs::rename(&manifest, backup.join("kube-apiserver.yaml"))?;
    let found = master.look(&master.request())?;
    found.stands("api_server_pod", Fail, "asleep: ");
    found.stands("api_server_pod", Fail, "migrate rollback");

    fs::remove_dir_all(master.path(MANIFESTS))?;
    master.look(&master.request())?.stands("kubelet", Fail, MANIFESTS);
    Ok(())
}

#[test]
fn other_pods_and_old_backups_are_named() -> Result<()> {
    let master = Master::new()?;
    for name in ["kube-vip", "haproxy"] {
        master.pod(name, &[])?;
    }
    master.write(&format!("{MANIFESTS}.backup/kube-scheduler.yaml"), "old")?;
    let found = master.look(&master.request())?;
    found.stands("static_pods", Warn, "haproxy.yaml, kube-vip.yaml stay");
    found.stands("backup_folder", Fail, "manifests.backup/kube-scheduler.yaml and ");

    let also = PreflightRequest { also: vec!["kube-vip".into()], ..master.request() };
    master.look(&also)?.stands("static_pods", Warn, "haproxy.yaml stay");
    let all = PreflightRequest { all: true, ..master.request() };
    let found = master.look(&all)?;
    found.stands("static_pods", Well, "kube-vip.yaml");
    assert_eq!(found.0.facts.would_stay, ["etcd.yaml"]);
    Ok(())
}

#[test]
fn the_manifests_flags_are_read() -> Result<()> {
    let master = Master::new()?;
    let servers = "--etcd-servers=http://127.0.0.1:1,http://127.0.0.2:1";
    master.api_server(&[servers, "--etcd-prefix=kubernetes.io/", "--etcd-cafile=/etc/ca.pem"])?;
    let found = master.look(&master.request())?;
    found.stands("etcd_prefix", Well, "/kubernetes.io, by --etcd-prefix");
    found.stands("etcd_servers", Well, "http://127.0.0.1:1, http://127.0.0.2:1");
    assert_eq!(found.0.facts.etcd.cacert, Some(master.path("etc/ca.pem")));
    // The file is not there.
    found.stands("etcd_health", Fail, "cannot use ");

    master.api_server(&["--etcd-prefix=/"])?;
    master.look(&master.request())?.stands("etcd_prefix", Fail, "--etcd-prefix is /");
    master.api_server(&["--etcd-servers=unixs:///run/etcd.sock"])?;
    master.look(&master.request())?.stands(
        "etcd_servers",
        Fail,
        "the socket unixs:///run/etcd.sock",
    );
    Ok(())
}

#[test]
fn resources_in_another_etcd_do_not_move() -> Result<()> {
    let master = Master::new()?;
    let own = "--etcd-servers=http://a:1,http://b:1";
    for (overrides, standing, words) in [
        ("/events#http://c:1;http://d:1", Warn, "in another etcd: events"),
        (
            "/events#http://c:1,coordination.k8s.io/leases#http://c:1",
            Fail,
            "coordination.k8s.io/leases",
        ),
        ("/leases#http://b:1;http://a:1", Well, "one etcd"),
        ("", Well, "one etcd"),
    ] {
        let overrides = format!("--etcd-servers-overrides={overrides}");
        master.api_server(&[own, &overrides])?;
        master.look(&master.request())?.stands("etcd_overrides", standing, words);
    }
    Ok(())
}

#[test]
fn sealed_values_are_foretold() -> Result<()> {
    let master = Master::new()?;
    master.api_server(&["--encryption-provider-config=/etc/kubernetes/enc.yaml"])?;
    let found = master.look(&master.request())?;
    found.stands("encryption", Fail, "cannot read it");
    for (providers, standing, words) in [
        ("{aesgcm: {keys: [{name: a, secret: s3cr3t}]}}", Fail, "kubectl get secrets"),
        ("{secretbox: {keys: [{name: a, secret: s3cr3t}]}}, {identity: {}}", Ask, "--bundle-extra"),
        ("{identity: {}}", Well, "secrets: identity"),
    ] {
        let text = format!("resources:\n- resources: [secrets]\n  providers: [{providers}]\n");
        master.write("etc/kubernetes/enc.yaml", &text)?;
        let found = master.look(&master.request())?;
        found.stands("encryption", standing, words);
        assert!(!format!("{:?}", found.0).contains("s3cr3t"));
    }
    master.write("etc/kubernetes/enc.yaml", "s3cr3t: [")?;
    let found = master.look(&master.request())?;
    found.stands("encryption", Fail, "no EncryptionConfiguration");
    assert!(!format!("{:?}", found.0).contains("s3cr3t"));
    Ok(())
}

#[test]
fn keys_are_found_and_must_belong_together() -> Result<()> {
    let master = Master::new()?;
    let first = master.look(&master.request())?.0.facts.public_keys;
    // The same keys by another name are the same keys.
    for (from, to) in [("sa.key", "s.key"), ("sa.pub", "s.pub")] {
        let pki = master.path("etc/kubernetes/pki");
        fs::copy(pki.join(from), master.path(to))?;
    }
    let flags = ["--service-account-signing-key-file=/s.key", "--service-account-key-file=/s.pub"];
    master.api_server(&flags)?;
    let found = master.look(&master.request())?;
    found.stands("service_account_keys", Well, "/s.key, ");
    assert_eq!(found.0.facts.public_keys, first);

    let other = KeyPair::generate()?;
    master.write("other.pub", &other.public_key_pem())?;
    let two = [flags[0], "--service-account-key-file=/other.pub", flags[1]];
    master.api_server(&two)?;
    let found = master.look(&master.request())?;
    found.stands("service_account_keys", Warn, "/s.pub, and 1 more public keys");
    master.api_server(&two[..2])?;
    master.look(&master.request())?.stands("service_account_keys", Fail, "no pair");

    // Before 1.20 only the controller manager knew the key, and the API server proved by it.
    master.pod("kube-controller-manager", &["--service-account-private-key-file=/s.key"])?;
    master.api_server(&["--service-account-key-file=/s.key"])?;
    fs::remove_file(master.path("etc/kubernetes/pki/sa.pub"))?;
    let found = master.look(&master.request())?;
    found.stands("service_account_keys", Fail, "openssl pkey -in ");

    master.write("etc/kubernetes/pki/front-proxy-ca.key", &other.serialize_pem())?;
    master.look(&master.request())?.stands("front_proxy_ca", Fail, "no pair");
    master.write("etc/kubernetes/pki/front-proxy-ca.key", "s3cr3t")?;
    let found = master.look(&master.request())?;
    found.stands("front_proxy_ca", Fail, "front-proxy-ca.key: it is no PEM");
    assert!(!format!("{:?}", found.0).contains("s3cr3t"));
    Ok(())
}

#[test]
fn clocks_and_zones_are_told() -> Result<()> {
    let master = Master::new()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64;
    for (ahead_ms, standing, words) in
        [(0, Well, "orchestrator's"), (-30_000, Warn, "ahead of"), (90_000, Fail, "behind")]
    {
        let asked_ms = now.saturating_add_signed(ahead_ms);
        let found = master.look(&PreflightRequest { asked_ms, ..master.request() })?;
        found.stands("clock", standing, words);
        assert!(found.0.facts.clock_offset_ms.is_some());
    }
    symlink("/usr/share/zoneinfo/Europe/Berlin", master.path("etc/localtime"))?;
    let found = master.look(&master.request())?;
    found.stands("time_zone", Ask, "Europe/Berlin");
    for file in ["etc/localtime", "etc/timezone"] {
        fs::remove_file(master.path(file))?;
    }
    master.look(&master.request())?.stands("time_zone", Ask, "not told");
    Ok(())
}

#[test]
fn a_runtime_that_does_not_answer_speaks_against_it() -> Result<()> {
    let master = Master::new()?;
    let found = master.look(&master.request())?;
    found.stands("container_runtime", Warn, "crictl on the host's path");
    master.write("run/containerd/containerd.sock", "")?;
    master.program("crictl", "echo no such thing >&2; exit 1")?;
    master.look(&master.request())?.stands("container_runtime", Fail, "no such thing");
    master.program("crictl", "echo '{\"containers\": []}'")?;
    master.look(&master.request())?.stands(
        "container_runtime",
        Warn,
        "no kube-apiserver runs here",
    );
    Ok(())
}
