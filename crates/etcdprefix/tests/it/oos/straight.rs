use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use etcdprefix_testkit::hosts::HostsOptions;
use serde_json::Value;

use super::bench::{Cloud, instance};
use crate::migrate::moved::{check_bundle, fetch, fetched, is_dead, is_the_cluster};
use crate::migrate::seaweed::decrypt;

/// As `node snapshot` told it in the task's output.
fn revision(outputs: &Value) -> Option<i64> {
    let text = outputs["etcdCheckoutOutputs"][0].as_str()?;
    let line = text.lines().find(|line| line.starts_with("revision "))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn three_hosts_are_migrated_and_come_back_by_force_alone() -> Result<()> {
    let cloud = Cloud::start(HostsOptions::default())?;
    let ended = cloud.migrate()?;
    let url = check_bundle(&cloud.moving, &ended.bundle())?["oss_url"].as_str().unwrap().to_owned();
    let revision = revision(&ended.outputs).expect("a revision");
    is_the_cluster(&cloud.moving, &fetched(&cloud.moving, &url)?, revision)?;
    cloud.is_handed_out()?;
    let leader = cloud.moving.hosts.etcd().leader()?;
    let named = ended.outputs["findLeaderOutputs"].as_array().unwrap().clone();
    let leading: Vec<&Value> = named.iter().filter(|output| *output != "").collect();
    assert_eq!((named.len(), leading), (3, vec![&instance(cloud.host(leader)).into()]));
    assert_eq!(ended.outputs["sleepOrWakeupControlPlaneOutputs"].as_array().unwrap().len(), 3);

    // Again: the checks see that nothing is awake, and what is handed out stays so.
    cloud.migrate()?.failed_in("prepare", "api_server");
    let mut parameters = cloud.parameters("migrate");
    parameters["failedChecks"] = "report".into();
    let again = cloud.run(&parameters)?;
    again.failed_in("sleepOrWakeupControlPlane", "holds this host");
    cloud.is_handed_out()?;
    fetch(&url)?;

    // The way back is closed, and opens with the word of a person.
    let refused = cloud.roll_back("no")?;
    refused.failed_in("wake", "has handed out its bundle");
    cloud.is_handed_out()?;
    fetch(&url)?;
    let back = cloud.roll_back("yes")?;
    assert_eq!(back.status(), "Success", "{back}");
    assert!(is_dead(&url));
    cloud.is_undone()
}

#[test]
fn a_bundle_for_somebody_is_armored_and_nobody_elses() -> Result<()> {
    let cloud = Cloud::one()?;
    let identity = age::x25519::Identity::generate();
    let mut parameters = cloud.parameters("migrate");
    parameters["recipient"] = identity.to_public().to_string().into();
    // As docs/oos.md has it.
    let (file, bundle) = (cloud.moving.path("c123.json"), cloud.moving.path("bundle.json"));
    parameters.as_object_mut().unwrap().remove("action");
    std::fs::write(&file, parameters.to_string())?;
    let (file, bundle) = (format!("@{}", file.display()), bundle.display().to_string());
    let create = ["create", "--template-name", "move", "--file", &cloud.written()?];
    let (code, said) = cloud.oos(&create)?;
    assert_eq!(code, Some(0), "{said}");
    let start = ["start", "--template-name", "move", "--parameters", &file];
    let more = ["--parameter", "action=migrate", "--watch", "--bundle", &bundle];
    let (code, said) = cloud.oos(&[&start[..], &more].concat())?;
    assert_eq!(code, Some(0), "{said}");
    let sealed = std::fs::read_to_string(&bundle)?;
    cloud.moving.secrets.are_not_in("the sealed bundle", sealed.as_bytes());
    assert!(sealed.starts_with("-----BEGIN AGE ENCRYPTED FILE-----\n"), "{sealed}");
    let is_armor = |line: &&str| !line.starts_with('-') && !line.starts_with("etcdprefix-bundle");
    let lines: Vec<&str> = sealed.lines().filter(is_armor).collect();
    let opened = decrypt(&STANDARD.decode(lines.concat())?, &identity)?;
    check_bundle(&cloud.moving, &opened)?;
    cloud.is_handed_out()
}

#[test]
fn a_rollback_before_anything_is_handed_out_needs_no_word() -> Result<()> {
    let cloud = Cloud::one()?;
    // Nothing to undo is fine.
    let back = cloud.roll_back("no")?;
    assert_eq!(back.status(), "Success", "{back}");
    cloud.is_undone()?;
    // Somebody cancels it when the host is fenced: nothing undoes that, and nothing wakes it.
    cloud.prepend("readSign", "touch /run/seen; while [ ! -e /run/go ]; do sleep 0.1; done");
    let running = cloud.begin(&cloud.parameters("migrate"))?;
    running.until_seen(1)?;
    running.cancel()?;
    cloud.host(1).shell("touch /run/go")?;
    // The command goes on to its end, so somebody may read what it says.
    let ended = running.end()?;
    assert_eq!(ended.status(), "Cancelled", "{ended}");
    cloud.is_handed_out()?;
    cloud.restore()?;
    cloud.roll_back("no")?.failed_in("wake", "has handed out its bundle");
    let back = cloud.roll_back("yes")?;
    assert_eq!(back.status(), "Success", "{back}");
    cloud.is_undone()
}
