use std::fs;
use std::io::Read;

use anyhow::{Context, Result};
use etcdprefix_testkit::hosts::HostsOptions;
use etcdprefix_testkit::stores::S3Server;
use serde_json::{Value, json};

use super::Migration;
use super::bench::Store;
use super::moved::{check_bundle, fetched, is_the_cluster};

pub fn decrypt(sealed: &[u8], identity: &age::x25519::Identity) -> Result<String> {
    let decryptor = age::Decryptor::new(sealed)?;
    let mut text = String::new();
    let identity: &dyn age::Identity = identity;
    decryptor.decrypt([identity].into_iter())?.read_to_string(&mut text)?;
    Ok(text)
}

/// Another store, somebody who becomes root, a bundle for one reader, the snapshots kept, and the end.
#[test]
fn a_cluster_moves_by_sudo_to_s3_for_one_reader() -> Result<()> {
    let s3 = |address| Ok(Store::S3(S3Server::start_at(address, &[], None)?));
    let moving = Migration::with(HostsOptions::default(), s3)?;
    moving.configure(|config| {
        config["hosts"] = json!(["op@m1", "op@m2", "op@m3"]);
        Ok(())
    })?;
    moving.migrate("rehearse").failed(29, &["op@m1: "]);
    moving.migrate("rehearse --become").succeeded();
    let identity = age::x25519::Identity::generate();
    let recipient = identity.to_public();
    let line = format!("run --become --keep --recipient {recipient} --bundle-extra -w json");
    let run = moving.migrate(&line);
    run.succeeded();
    let run = run.json();
    assert_eq!(run["encrypted"], true);
    assert!(!moving.folder().join("bundle.json").exists());
    let sealed = fs::read(moving.folder().join("bundle.json.age"))?;
    moving.secrets.are_not_in("the sealed bundle", &sealed);
    let bundle = check_bundle(&moving, &decrypt(&sealed, &identity)?)?;
    assert!(bundle["cacrt"].is_string() && bundle["cakey"].is_string());
    assert_eq!(bundle["encryption_config"], Value::Null);
    let url = bundle["oss_url"].as_str().context("no URL")?;
    let revision = run["snapshot"]["revision"].as_i64().context("no revision")?;
    is_the_cluster(&moving, &fetched(&moving, url)?, revision)?;
    let kept = run["snapshot"]["kept"].as_array().context("nothing kept")?;
    let host = moving
        .hosts
        .all()
        .iter()
        .find(|host| run["snapshot_host"] == format!("op@{}", host.name()));
    let host = host.context("no host")?;
    assert!(kept.len() == 2 && kept.iter().all(|file| host.path(file.as_str().unwrap()).is_file()));
    assert!(fs::read_to_string(host.path("/var/log/sudo.log"))?.contains("node step"));

    moving.migrate("finish --become").succeeded();
    let status = moving.migrate("status --become -w json").json();
    assert_eq!(
        (&status["phase"], &status["hosts"][0]["status"]["lock"]),
        (&json!("finished"), &json!(null))
    );
    assert!(status["hosts"][0]["status"]["fence"].is_object(), "{status}");
    for line in ["rollback", "rollback --managed-side-never-started", "run", "resume"] {
        moving.migrate(&format!("{line} --become")).failed(37, &["finished"]);
    }
    Ok(())
}
