use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::bench::Cloud;
use crate::migrate::moved::{check_bundle, fetch, is_dead};
use crate::migrate::seaweed::decrypt;

/// A host, and whoever runs one step after the other there.
struct Shell(Cloud);

impl Shell {
    fn start() -> Result<Self> {
        let cloud = Cloud::one()?;
        // Leaves the program on the host.
        assert_eq!(cloud.roll_back("no")?.status(), "Success");
        Ok(Self(cloud))
    }

    #[track_caller]
    fn node(&self, line: &str) -> (i32, String, String) {
        let line = format!("RUST_LOG=trace /var/lib/etcdprefix/bin/etcdprefix-oos node {line}");
        let mut command = self.0.host(1).command("sh").unwrap();
        let output = command.args(["-c", &line]).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.0.moving.secrets.are_not_in(&line, &output.stderr);
        (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
    }

    #[track_caller]
    fn done(&self, line: &str) -> String {
        let (code, stdout, stderr) = self.node(line);
        assert_eq!(code, 0, "{line}: {stderr}");
        stdout
    }

    #[track_caller]
    fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.done(&format!("{line} -w json"))).unwrap()
    }

    #[track_caller]
    fn failed(&self, line: &str, expected: i32, word: &str) {
        let (code, _, stderr) = self.node(line);
        assert_eq!(code, expected, "{line}: {stderr}");
        assert!(stderr.contains(word), "{word:?} is not in: {stderr}");
    }

    fn snapshot(&self) -> String {
        let endpoint = self.0.moving.front.address();
        format!(
            "snapshot --cluster-id c1 --store oss://bucket/by-hand/ --region cn-hangzhou \
             --store-endpoint http://{endpoint} --require-leader"
        )
    }
}

/// What no flag says is in the manifest, asleep or not, and in what the step before has left.
#[test]
fn steps_find_by_themselves_what_they_need() -> Result<()> {
    let shell = Shell::start()?;
    let (own, snapshot) = ("--cluster-id c1", shell.snapshot());
    assert_eq!(shell.json("leader")["leads"], true);
    assert_eq!(shell.done("leader --print i-1"), "i-1\n");
    shell.failed("fence --cluster-id c1", 30, "doesn't hold this host");
    shell.failed(&format!("{snapshot} --run late"), 30, "doesn't hold this host");
    shell.done("sleep --cluster-id c1");
    assert_eq!(shell.json("leader")["member"]["is_leader"], true);
    shell.failed("bundle --cluster-id c1 --print-bundle", 31, "remembers no snapshot");
    shell.failed("bundle --cluster-id c1 --print-bundle --store oss://bucket/x", 2, "--revision");
    let made = shell.json(&snapshot);
    let text = shell.0.host(1).shell("stat -c %a /var/lib/etcdprefix/snapshot.json")?;
    assert_eq!(text.trim(), "600");
    shell.failed("bundle --cluster-id c1 --print-bundle", 31, "no fence");
    shell.failed("presign --cluster-id c1 --print-url", 31, "no fence");
    shell.failed("bundle --cluster-id c1 --run other --print-bundle", 31, "remembers no snapshot");
    shell.failed("fence --cluster-id c1 --hosts 2", 31, "etcd has 1 members");
    assert_eq!(shell.json("fence --cluster-id c1 --hosts 1")["fence"]["run"], "by-hand");
    let line = format!("unpublish {own} --unless-handed-out --run other");
    shell.failed(&line, 30, "holds this host");
    let bundle = shell.done("bundle --cluster-id c1 --print-bundle");
    let url = check_bundle(&shell.0.moving, &bundle)?["oss_url"].as_str().unwrap().to_owned();
    assert_eq!(fetch(&url)?.len() as u64, made["bytes"].as_u64().unwrap());
    let again = shell.done("presign --cluster-id c1 --any-run --run other --print-url");
    fetch(again.trim())?;
    // It is out: nothing wakes, and nothing takes its place.
    shell.failed("wake --cluster-id c1 --not-handed-out", 37, "has handed out its bundle");
    shell.failed("wake --cluster-id c1", 37, "two control planes");
    shell.failed("unpublish --cluster-id c1 --unless-handed-out", 37, "has handed out its bundle");
    shell.failed(&snapshot, 37, "has handed out its bundle");
    let gone = shell.json("unpublish --cluster-id c1");
    assert_eq!((&gone["object"], &gone["how"]), (&made["object"], &"deleted".into()));
    assert!(is_dead(&url) && is_dead(again.trim()));
    assert_eq!(shell.json("unpublish --cluster-id c1")["object"], Value::Null);
    shell.failed(&snapshot, 30, "is being undone");
    shell.failed("bundle --cluster-id c1 --print-bundle", 30, "is being undone");
    shell.done("wake --cluster-id c1 --not-handed-out");
    assert_eq!(shell.json("unpublish --cluster-id c1")["object"], Value::Null);
    shell.0.is_undone()
}

#[test]
fn a_sealed_bundle_is_printed_and_the_store_may_refuse_what_nobody_has() -> Result<()> {
    let shell = Shell::start()?;
    shell.done("sleep --cluster-id c1");
    shell.done(&shell.snapshot());
    let oss = shell.0.moving.store.as_oss();
    oss.allow(&shell.0.role, &["DeleteObject", "PutObject"])?;
    // Nobody was given a URL, so this must not keep the host asleep.
    let gone = shell.json("unpublish --cluster-id c1");
    assert!(gone["object"].is_string() && gone["how"].is_null(), "{gone}");
    shell.done("wake --cluster-id c1");
    shell.0.moving.is_as_before()?;
    oss.allow(&shell.0.role, &[])?;
    shell.done("sleep --cluster-id c1");
    shell.done(&shell.snapshot());
    shell.done("fence --cluster-id c1");
    let identity = age::x25519::Identity::generate();
    let line =
        format!("bundle --cluster-id c1 --print-bundle --recipient {}", identity.to_public());
    let sealed = shell.done(&format!("{line} --bundle-extra"));
    shell.0.moving.secrets.are_not_in("stdout", sealed.as_bytes());
    let lines: Vec<&str> = sealed.lines().filter(|line| !line.starts_with('-')).collect();
    let opened = decrypt(&STANDARD.decode(lines.concat())?, &identity)?;
    check_bundle(&shell.0.moving, &opened)?;
    assert!(opened.contains("\"cakey\":"), "the authority is there too");
    let told = shell.json(&line);
    assert_eq!((&told["encrypted"], &told["bundle"]), (&true.into(), &Value::Null));
    // Now somebody may have one: if that can't be undone, it is not.
    oss.allow(&shell.0.role, &["DeleteObject", "PutObject"])?;
    shell.failed("unpublish --cluster-id c1", 26, "denied");
    shell.failed("wake --cluster-id c1 --not-handed-out", 37, "has handed out its bundle");
    // As after `migrate run`: what no step of an engine fenced, none of them wakes.
    shell.0.host(1).shell("rm /var/lib/etcdprefix/snapshot.json")?;
    let wake = "wake --cluster-id c1 --any-run --not-handed-out --proof i-1/by-hand";
    shell.failed(wake, 37, "something else than an engine's steps");
    shell.0.is_handed_out()
}
