//! Flags, files, and both.

use super::*;
use crate::args::migrate::MigrateCommand;
use crate::args::{self, Command};
use std::io::Write;

const FILE: &str = "\
cluster_id: c1
hosts: [root@m1, root@m2]
store: {url: oss://b/x/, region: cn-hangzhou, internal: true}
etcd: {endpoints: ['https://127.0.0.1:2379'], cacert: /ca.pem}
ssh: {become: true, jump: [gate]}
also: [kube-vip]
presign_seconds: 600
rate_control: {Concurrency: 2, MaxErrors: 1}
all: true
";

fn given(words: &str) -> Result<Config, String> {
    let words = format!("etcdprefix migrate status {words}");
    let words = words.split_whitespace().map(Into::into).collect();
    match args::parse(words).unwrap().command {
        Command::Migrate(MigrateCommand::Status(args)) => {
            resolve(&args.config).map_err(|failure| failure.to_string())
        }
        other => panic!("{other:?}"),
    }
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn flags_are_enough() {
    let config = given(
        "--cluster-id c9 --host local --host root@m2 --store s3://b --binary x86_64=/b1 \
         --binary aarch64=/b2 --concurrency 50% --target-quota 8 --wake-after 10m",
    );
    let config = config.unwrap();
    assert_eq!(config.cluster_id.as_str(), "c9");
    assert_eq!(config.hosts, [HostConfig::Local, HostConfig::Ssh("root@m2".into())]);
    assert_eq!(config.store, StoreAccess { url: "s3://b".into(), ..Default::default() });
    assert_eq!(config.ssh.binaries["aarch64"], Path::new("/b2"));
    assert_eq!(config.rate_control.concurrency, Amount::Percent(50));
    assert_eq!((config.target_quota_bytes, config.wake_after_seconds), (Some(8), 600));
    let least = "cluster_id: c9\nhosts: [local]\nstore: {url: s3://b}\n";
    let flags = given("--cluster-id c9 --host local --store s3://b").unwrap();
    assert_eq!(flags, Config::parse(least).unwrap());
}

#[test]
fn flags_go_before_the_file() {
    let file = file(FILE);
    let with = |flags: &str| given(&format!("--config {} {flags}", file.path().display()));
    assert_eq!(with("").unwrap(), Config::parse(FILE).unwrap());
    let config = with(
        "--cluster-id c2 --host m3 --store oss://other --internal=false --etcd-key /key.pem \
         --become=false --jump a,b --also x,y --all=false --presign-lifetime 1h --max-errors 0",
    );
    let config = config.unwrap();
    assert_eq!(config.cluster_id.as_str(), "c2");
    assert_eq!(config.hosts, [HostConfig::Ssh("m3".into())]);
    assert_eq!((config.store.url.as_str(), config.store.internal), ("oss://other", false));
    assert_eq!(config.store.region.as_deref(), Some("cn-hangzhou"));
    let etcd = config.etcd.unwrap();
    assert_eq!((etcd.cacert, etcd.key), (Some("/ca.pem".into()), Some("/key.pem".into())));
    assert_eq!((config.ssh.becomes_root, config.all), (false, false));
    assert_eq!((config.ssh.jump.join(" "), config.also.join(" ")), ("a b".into(), "x y".into()));
    assert_eq!(config.presign_seconds, 3600);
    let rate = config.rate_control;
    assert_eq!((rate.concurrency, rate.max_errors), (Amount::Number(2), Amount::Number(0)));
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let why = given("--host m1").unwrap_err();
    assert!(why.contains("--cluster-id, --store missing; try: --config"), "{why}");
    for (flags, says) in [
        ("--cluster-id x1", "\"x1\" is no cluster id"),
        ("--presign-lifetime 10s", "presign_seconds must be from 60"),
        ("--wake-after 1m", "wake_after_seconds under 300"),
        ("--concurrency many", "--concurrency: \"many\" is neither a number"),
        ("--rate-control {}x", "is no rate control"),
        ("--host=-oProxyCommand=x", "--host: \"-oProxyCommand=x\" is no host"),
        ("--binary /nowhere", "cannot read /nowhere"),
        ("--host m1 --host m1", "m1 is named twice"),
    ] {
        let file = file(FILE);
        let line = format!("--config {} {flags}", file.path().display());
        let why = given(&line).unwrap_err();
        assert!(why.contains(says), "{flags}: {why}");
    }
    let why = given("--cluster-id c1 --host m1 --store s3://b --etcd-key /k").unwrap_err();
    assert!(why.contains("no --etcd-endpoints"), "{why}");
}

#[test]
fn instances_are_named_by_flags_alone() {
    let least = "--cluster-id c1 --store oss://b --assistant-region cn-hangzhou \
                 --binary-url https://h/amd64 --binary-url aarch64=https://h/arm64 \
                 --binary-sha256 aarch64=";
    let sum = "AB".repeat(32);
    let config = given(&format!("{least}{sum} --host ecs:i-1 --host ecs:i-2")).unwrap();
    assert_eq!(config.hosts[1], HostConfig::Instance("i-2".into()));
    let assistant = config.assistant.unwrap();
    assert_eq!(assistant.region, "cn-hangzhou");
    assert_eq!(assistant.binaries[std::env::consts::ARCH].url, "https://h/amd64");
    assert_eq!(assistant.binaries["aarch64"].sha256, Some("ab".repeat(32)));
    let tags = r#"{"Type":"Tags","Tags":[{"Key":"role","Value":"master"}]}"#;
    let config = given(&format!("{least}{sum} --assistant-targets {tags}")).unwrap();
    assert!(config.hosts.is_empty() && config.assistant.unwrap().targets.is_some());
    let why = given(&format!("{least}{sum} --assistant-targets {{}}")).unwrap_err();
    assert!(why.contains("--assistant-targets: "), "{why}");
    // Whoever names hosts on the line means no others, whatever the file says.
    let file = file(&format!(
        "cluster_id: c1\nstore: {{url: oss://b}}\nassistant: {{region: r, targets: {tags}, \
         binaries: {{x86_64: {{url: 'https://h/e'}}}}}}"
    ));
    let with = |flags: &str| given(&format!("--config {} {flags}", file.path().display())).unwrap();
    assert!(with("").hosts.is_empty() && with("").has_instances());
    let config = with("--host ecs:i-7");
    assert_eq!(config.hosts, [HostConfig::Instance("i-7".into())]);
    assert!(config.assistant.unwrap().targets.is_none());
}

#[test]
fn a_program_says_itself_what_it_is_for() {
    let mut header = [0; 20];
    header[..4].copy_from_slice(b"\x7fELF");
    for (machine, arch) in [(62, Some("x86_64")), (183, Some("aarch64")), (40, None)] {
        header[18] = machine;
        assert_eq!(arch_of(&header), arch);
    }
    assert_eq!(arch_of(b"#!/bin/sh\necho hello"), None);
    let own = std::env::current_exe().unwrap();
    assert_eq!(binary(own.to_str().unwrap()).unwrap().0, std::env::consts::ARCH);
}

#[test]
fn the_folder_is_where_it_is_said() {
    let which = WhichArgs { config: None, folder: Some("/f".into()), cluster_id: None };
    assert_eq!(folder(&which, "c1").unwrap(), Path::new("/f"));
}
