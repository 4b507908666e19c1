use anyhow::Result;
use etcdprefix_testkit::hosts::HostsOptions;
use etcdprefix_testkit::stores::OssServer;
use serde_json::Value;

use super::Migration;
use super::bench::{CLUSTER, COMPONENTS, Store};
use super::moved::{bundle, fetch, fetched, is_dead, is_the_cluster};

/// What the managed side would have, and what an engine reads of the run.
fn is_whole(moving: &Migration, run: &Value) -> Result<String> {
    let snapshot = &run["snapshot"];
    let bundle = bundle(moving)?;
    let url = bundle["oss_url"].as_str().unwrap().to_owned();
    is_the_cluster(moving, &fetched(moving, &url)?, snapshot["revision"].as_i64().unwrap())?;
    assert!(snapshot["hashkv"].is_u64() && snapshot["quiet"]["gap"].is_null(), "{snapshot}");
    assert_eq!(snapshot["object"], moving.object().unwrap());
    assert_eq!(run["oss_url"], format!("{}?[redacted]", url.split_once('?').unwrap().0));
    assert_eq!(run["bundle_file"], moving.folder().join("bundle.json").to_str().unwrap());
    assert!(run["outage_seconds"].as_f64().unwrap() > 0.0, "{run}");
    Ok(url)
}

fn has_the_templates_outputs(run: &Value) {
    let asleep = run["sleepOrWakeupControlPlaneOutputs"].as_array().unwrap();
    assert_eq!(asleep.len(), 3);
    for (host, said) in ["m1", "m2", "m3"].iter().zip(asleep) {
        let said = said.as_str().unwrap();
        let start = format!("{host}: The control plane is sleeping now: ");
        assert!(said.starts_with(&start), "{said}");
        assert!(COMPONENTS.iter().all(|name| said.contains(&format!("{name}.yaml"))), "{said}");
    }
    let checkout = run["etcdCheckoutOutputs"][0].as_str().unwrap();
    assert!(checkout.contains(run["snapshot"]["sha256"].as_str().unwrap()), "{checkout}");
    assert_eq!(run["findLeaderOutputs"], serde_json::json!([run["snapshot_host"]]));
    assert_eq!(run["readSignOutputs"][0], run["bundle_file"]);
}

/// All that a rehearsal may leave is here: on the hosts the binary, in the store nothing.
fn rehearse(moving: &Migration) -> Result<()> {
    moving.migrate("run").failed(32, &["not rehearsed", "migrate rehearse", "--skip-rehearsal"]);
    let rehearsed = moving.migrate("rehearse -w json");
    rehearsed.succeeded();
    let rehearsed = rehearsed.json();
    assert_eq!(
        (&rehearsed["ready"], rehearsed["hosts"].as_array().unwrap().len()),
        (&true.into(), 3)
    );
    assert!(rehearsed["expected_outage_seconds"].as_f64().unwrap() > 20.0, "{rehearsed}");
    assert!(!moving.journal().iter().any(|line| line["mark"] == "begin"));
    assert!(moving.store.as_oss().log().contains_key(&("PutObject".into(), 200)));
    assert_eq!(moving.stored()?, [""; 0]);
    moving.is_as_before()
}

#[test]
fn a_cluster_moves_and_comes_back_only_by_force() -> Result<()> {
    let oss = |address| Ok(Store::Oss(OssServer::start_at(address)?));
    let moving = Migration::with(HostsOptions::default(), oss)?;
    rehearse(&moving)?;
    let run = moving.migrate("run -w json");
    run.succeeded();
    let run = run.json();
    moving.is_handed_out();
    let url = is_whole(&moving, &run)?;
    has_the_templates_outputs(&run);
    for host in moving.hosts.all() {
        let left = moving.left_on(host)?;
        assert!(
            !left.iter().any(|name| name.contains("timer") || name.ends_with(".db")),
            "{left:?}"
        );
    }
    // Nothing wakes any more, whoever asks.
    for line in ["rollback", "run", "run --skip-rehearsal", "resume", "rehearse"] {
        moving.migrate(line).failed(37, &[]);
    }
    moving.is_handed_out();
    let signed = moving.migrate("presign -w json").json();
    let fresh = bundle(&moving)?["oss_url"].as_str().unwrap().to_owned();
    assert_eq!(signed["url"], format!("{}?[redacted]", fresh.split_once('?').unwrap().0));
    assert_ne!(fresh, url);
    assert_eq!(fetch(&fresh)?, fetch(&url)?);
    let back = moving.migrate("rollback --managed-side-never-started -w json");
    back.succeeded();
    assert_eq!(back.json()["object_deleted"], true);
    for dead in [url, fresh] {
        assert!(is_dead(&dead), "{dead}");
    }
    moving.is_as_before()?;
    moving.hosts.all().iter().try_for_each(|host| host.wait_for_writes())?;
    assert_eq!(moving.status()["phase"], "rolled_back");
    assert_eq!(moving.journal()[0]["cluster"], CLUSTER);
    Ok(())
}
