//! The JSON of the commands that talk to members, as docs/cli-contract.md has it.

use anyhow::{Context, Result};
use etcdprefix_testkit::{EtcdServer, Version};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{run, stdout};

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
