//! The JSON of the commands that talk to members and stores, as docs/cli-contract.md has it.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use etcdprefix_testkit::stores::OssServer;
use etcdprefix_testkit::{EtcdServer, Version};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{PROGRAM, fixture, run, said, stdout};

/// The example of a section.
fn example(section: &str) -> Result<Value> {
    let contract = include_str!("../../../../docs/cli-contract.md");
    let heading = format!("\n## `etcdprefix {section}`");
    let (_, section) = contract.split_once(&heading).context(heading.clone())?;
    let (_, example) = section.split_once("```json\n").context("no example")?;
    let (example, _) = example.split_once("```").context("no end")?;
    Ok(serde_json::from_str(example)?)
}

fn names(value: &Value) -> Vec<&String> {
    value.as_object().map(|members| members.keys().collect()).unwrap_or_default()
}

#[test]
fn json_has_the_members_of_the_contract_in_their_order() -> Result<()> {
    let server = EtcdServer::start(Version::V3_5_16, &[])?;
    let folder = TempDir::new()?;
    let file = folder.path().join("snap.db");
    let file = file.to_str().context("no UTF-8")?;
    let at = ["--endpoints", server.url(), "-w", "json"];
    let save = [&["snapshot", "save", file, "--verify-members"][..], &at].concat();
    let saved: Value = serde_json::from_str(&stdout(save)?)?;
    let hashes: Value =
        serde_json::from_str(&stdout([&["endpoint", "hashkv"][..], &at].concat())?)?;
    let seen = [&["endpoint", "quiet", "--for", "100ms"][..], &at].concat();
    let seen: Value = serde_json::from_str(&stdout(seen)?)?;
    let status = stdout([&["endpoint", "status"][..], &at].concat())?;
    let status: Value = serde_json::from_str(&status)?;
    let (save, hashkv) = (example("snapshot save FILE")?, example("endpoint hashkv")?);
    let quiet = example("endpoint quiet")?;
    for (ours, documented) in [
        (&saved, &save),
        (&saved["member"], &save["member"]),
        (&saved["hashkv"], &save["hashkv"]),
        (&saved["members_hashkv"], &hashkv),
        (&status["members"][0], &save["member"]),
        (&hashes, &hashkv),
        (&hashes["members"][0], &hashkv["members"][0]),
        (&seen, &quiet),
        (&seen["other_keys"], &quiet["other_keys"]),
    ] {
        assert!(!names(documented).is_empty(), "{documented}");
        assert_eq!(names(ours), names(documented));
    }
    assert_eq!(names(&status), ["members", "failures", "not_asked"]);
    Ok(())
}

#[test]
fn members_that_nobody_reaches_are_named_with_what_to_try() -> Result<()> {
    for command in [&["endpoint", "status"][..], &["endpoint", "hashkv"], &["endpoint", "quiet"]] {
        let output = run([command, &["--endpoints", "127.0.0.1:1,[::1]:1"]].concat())?;
        let said = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(21), "{said}");
        assert!(said.contains("127.0.0.1:1: cannot connect") && said.contains("; try: "), "{said}");
        assert!(output.stdout.is_empty());
    }
    Ok(())
}

/// The JSON of a command that may do everything at the store.
fn of_store(server: &OssServer, words: &[&str]) -> Result<Value> {
    let mut command = Command::new(PROGRAM);
    command.args(words).args(["-w", "json"]);
    command.env("OSS_ENDPOINT", format!("http://{}", server.address()));
    command.env("OSS_REGION", OssServer::REGION);
    command.env("OSS_ACCESS_KEY_ID", &server.key().id);
    command.env("OSS_ACCESS_KEY_SECRET", &server.key().secret);
    let output = command.output()?;
    ensure!(output.status.success(), "{}", said(&output));
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[test]
fn json_about_stores_has_the_members_of_the_contract_in_their_order() -> Result<()> {
    let server = OssServer::start()?;
    let (folder, snapshot) = (TempDir::new()?, fixture("s-3.5.1.db"));
    let (got, snapshot) = (folder.path().join("got.db"), snapshot.to_string_lossy());
    let url = "oss://bucket/a.db";
    let json = |words: &[&str]| of_store(&server, words);
    let put = json(&["store", "put", &snapshot, url])?;
    let listed = json(&["store", "ls", "oss://bucket/"])?;
    let change = ["change-prefix", "--db", url, "--dest-prefix", "/c1", "--output"];
    let changed = json(&[&change[..], &["oss://bucket/b.db"]].concat())?;
    let check = json(&["store", "check", "oss://bucket/"])?;
    let documented = example("store put FILE URL")?;
    for (ours, section) in [
        (&put, "store put FILE URL"),
        (&json(&["store", "get", url, &got.to_string_lossy()])?, "store get URL FILE"),
        (&listed["objects"][0], "store ls URL"),
        (&json(&["store", "presign", url])?, "store presign URL"),
        (&json(&["store", "verify", url])?, "store verify URL"),
        (&check, "store check URL"),
    ] {
        assert_eq!(names(ours), names(&example(section)?), "{section}");
    }
    assert_eq!(names(&listed), ["location", "objects", "more"]);
    assert_eq!(names(&check["steps"][0]), names(&example("store check URL")?["steps"][0]));
    let mut of_upload = names(&documented);
    assert_eq!(of_upload.pop().map(String::as_str), Some("file"));
    assert_eq!(names(&changed["upload"]), of_upload);
    assert_eq!(names(&changed).last().map(|name| name.as_str()), Some("upload"));
    Ok(())
}
