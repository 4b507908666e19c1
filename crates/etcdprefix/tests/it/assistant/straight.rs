use anyhow::Result;
use etcdprefix_testkit::hosts::HostsOptions;
use etcdprefix_testkit::openapi::Called;
use serde_json::{Value, json};

use super::Cloud;
use crate::migrate::moved::{bundle, fetched, is_dead, is_the_cluster};

/// What was put on the hosts, and what the cloud was asked for.
fn is_by_the_cloud_alone(cloud: &Cloud) {
    let calls = cloud.api.calls();
    let known = ["RunCommand", "DescribeInvocationResults", "DescribeInstances"];
    let others = calls.iter().filter(|call| !known.contains(&call.action.as_str()));
    assert_eq!(others.collect::<Vec<_>>(), Vec::<&Called>::new());
    for number in 1..=3 {
        let instance = format!("i-{number}");
        let its = calls.iter().filter(|call| call.subject == instance);
        assert!(its.filter(|call| call.action == "RunCommand").count() > 5, "{calls:?}");
    }
}

fn hosts(status: &Value) -> Vec<&str> {
    status["hosts"].as_array().unwrap().iter().map(|host| host["host"].as_str().unwrap()).collect()
}

/// Hosts by their tags, page by page; then they lose them.
#[test]
fn a_cluster_moves_without_ssh_and_comes_back_only_by_force() -> Result<()> {
    let cloud = Cloud::start(HostsOptions::default())?;
    cloud.by_tags()?;
    cloud.api.page(2)?;
    cloud.hosts.all().iter().try_for_each(|host| host.kill_sshd())?;
    cloud.migrate("run").failed(32, &["not rehearsed"]);
    let rehearsed = cloud.migrate("rehearse -w json");
    rehearsed.succeeded();
    assert_eq!(hosts(&rehearsed.json()), ["ecs:i-1", "ecs:i-2", "ecs:i-3"]);
    cloud.is_as_before()?;
    let run = cloud.migrate("run -w json");
    run.succeeded();
    let run = run.json();
    cloud.api.set("i-2", "tags", json!({}))?;
    cloud.is_handed_out();
    let url = bundle(&cloud)?["oss_url"].as_str().unwrap().to_owned();
    let revision = run["snapshot"]["revision"].as_i64().unwrap();
    is_the_cluster(&cloud, &fetched(&cloud, &url)?, revision)?;
    is_by_the_cloud_alone(&cloud);
    for line in ["rollback", "run --skip-rehearsal", "resume", "rehearse"] {
        cloud.migrate(line).failed(37, &[]);
    }
    cloud.migrate("presign").succeeded();
    let fresh = bundle(&cloud)?["oss_url"].as_str().unwrap().to_owned();
    assert_ne!(fresh, url);
    let back = cloud.migrate("rollback --managed-side-never-started -w json");
    back.succeeded();
    assert_eq!(back.json()["object_deleted"], true);
    assert!(is_dead(&url) && is_dead(&fresh));
    cloud.is_as_before()?;
    // From now on tags count again.
    assert_eq!(hosts(&cloud.status()), ["ecs:i-1", "ecs:i-3"]);
    Ok(())
}

#[test]
fn targets_are_looked_up_and_nobody_is_left_out_silently() -> Result<()> {
    let cloud = Cloud::start(HostsOptions { hosts: 2, ..HostsOptions::default() })?;
    let with = |targets: &str| format!("status -w json --assistant-targets {targets}");
    let group =
        |name: &str| with(&json!({"Type": "ResourceGroup", "ResourceGroupId": name}).to_string());
    let ids = |ids: Value| with(&json!({"Type": "ResourceIds", "ResourceIds": ids}).to_string());
    let both = ["ecs:i-1", "ecs:i-2"];
    assert_eq!(hosts(&cloud.migrate(&group("rg-masters")).json()), both);
    assert_eq!(hosts(&cloud.migrate(&ids(json!(["i-2", "i-1"]))).json()), both);
    assert_eq!(hosts(&cloud.migrate(&ids(json!(["i-2"]))).json()), ["ecs:i-2"]);
    cloud.migrate(&group("rg-other")).failed(31, &["match no instance"]);
    cloud.migrate(&ids(json!(["i-1", "i-9"]))).failed(2, &["there is no instance i-9"]);
    cloud.migrate(&with("{}")).failed(2, &["--assistant-targets"]);
    cloud.api.set("i-2", "status", "Stopped")?;
    cloud.migrate(&group("rg-masters")).failed(31, &["ecs:i-2 (m2) is Stopped, not Running"]);
    cloud.is_as_before()
}

/// To the end; nothing of ours is on the hosts then but what keeps them asleep.
#[test]
fn credentials_are_the_hosts_own_and_replies_go_with_the_lock() -> Result<()> {
    let cloud = Cloud::one()?;
    // Of the store: sent over SSH, and never through the cloud.
    let key = cloud.store.key();
    for (name, value) in [("OSS_ACCESS_KEY_ID", &key.id), ("OSS_ACCESS_KEY_SECRET", &key.secret)] {
        cloud.variables.borrow_mut().insert(name.into(), value.clone());
    }
    cloud.migrate("run --skip-rehearsal").succeeded();
    cloud.is_handed_out();
    cloud.migrate("finish").succeeded();
    let mut left = cloud.left_on(cloud.hosts.host(1))?;
    left.retain(|name| !["fence.json", "slept.json", "host.lock"].contains(&name.as_str()));
    assert_eq!(left, [""; 0]);
    Ok(())
}
