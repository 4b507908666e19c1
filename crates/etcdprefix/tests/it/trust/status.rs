use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use etcdprefix_testkit::cluster::{ClusterOptions, EtcdCluster};
use etcdprefix_testkit::{Version, block_on};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{hashkv, one, put, save, status, three};

/// A field of each member, in the order of the endpoints.
fn each<'a>(result: &'a Value, field: &str) -> Vec<&'a Value> {
    let members = result["members"].as_array().expect("a list of members");
    members.iter().map(|member| &member[field]).collect()
}

#[test]
fn roles_and_who_does_not_answer() -> Result<()> {
    let mut cluster = three(Version::V3_5_16, &[])?;
    put(&cluster, 0, "key", "value")?;
    cluster.move_leader(1)?;
    let learner = cluster.add_learner()?;
    all_four(&cluster, learner)?;
    learners_are_no_part_of_it(&cluster, learner)?;
    cluster.kill(2)?;
    one_is_dead(&cluster)
}

fn all_four(cluster: &EtcdCluster, learner: usize) -> Result<()> {
    let endpoints = cluster.endpoints();
    let from_one = status(endpoints[2], &["--cluster", "-w", "json"])?.succeeds().json()?;
    assert_eq!(each(&from_one, "endpoint").len(), 4, "{from_one}");
    let result = status(&endpoints.join(","), &["-w", "json"])?.succeeds().json()?;
    assert_eq!(each(&result, "endpoint"), endpoints, "{result}");
    assert_eq!(each(&result, "is_learner"), [false, false, false, true], "{result}");
    assert_eq!(each(&result, "name"), ["member-0", "member-1", "member-2", "member-3"]);
    let leader = Value::from(format!("{:x}", cluster.member_id(1)));
    assert_eq!(each(&result, "leader_id"), [&leader; 4], "{result}");
    assert_eq!(each(&result, "member_id")[1], &leader);
    assert!(each(&result, "version").iter().all(|version| *version == "3.5.16"), "{result}");
    assert_eq!((&result["failures"], &result["not_asked"]), (&json!([]), &json!([])));

    let table = status(&endpoints.join(","), &[])?.succeeds().out.clone();
    let roles = ["follower", "leader", "follower", "learner"];
    for (endpoint, role) in endpoints.iter().zip(roles) {
        let row = table.lines().find(|line| line.contains(endpoint)).context("no row")?;
        assert!(row.contains(&format!(" {role} ")), "{table}");
    }
    // A learner tells nobody who else there is.
    let alone = status(endpoints[learner], &["-w", "json"])?.succeeds().json()?;
    assert_eq!(
        (&alone["members"][0]["is_learner"], &alone["not_asked"]),
        (&json!(true), &json!([]))
    );
    let others = status(endpoints[learner], &["--cluster"])?;
    others.fails(21, &[endpoints[learner], "it is a learner", "no member list"]);
    Ok(())
}

fn learners_are_no_part_of_it(cluster: &EtcdCluster, learner: usize) -> Result<()> {
    let endpoints = cluster.endpoints().join(",");
    let hashes = hashkv(&endpoints, &[])?.succeeds().json()?;
    assert_eq!(each(&hashes, "name"), ["member-0", "member-1", "member-2"]);
    let missing = format!("member-3 ({}): a learner", cluster.endpoint(learner));
    assert_eq!(hashes["missing"], json!([missing]));
    let alone = hashkv(cluster.endpoint(learner), &[])?;
    alone.fails(21, &["a learner"]);
    let folder = TempDir::new()?;
    let target = folder.path().join("s.db");
    save(cluster.endpoint(learner), &target, &[])?.fails(21, &["it is a learner", "--from"]);
    Ok(())
}

fn one_is_dead(cluster: &EtcdCluster) -> Result<()> {
    let endpoints = cluster.endpoints();
    cluster.leader()?;
    let run = status(&endpoints.join(","), &["-w", "json"])?;
    let result = run.fails(21, &["no answer from", endpoints[2], "cannot connect"]).json()?;
    assert_eq!(each(&result, "endpoint").len(), 3, "{result}");
    let failure = result["failures"][0].as_str().context("a failure")?;
    assert!(failure.contains(endpoints[2]), "{result}");
    assert_eq!(result["not_asked"], json!(["member-2"]));
    let run = status(endpoints[0], &["--cluster"])?;
    let told = format!("no answer: {}: cannot connect", endpoints[2]);
    assert!(run.fails(21, &[endpoints[2]]).out.contains(&told), "{run:?}");

    let hashes = hashkv(&endpoints[..3].join(","), &[])?;
    let hashes = hashes.fails(21, &["no answer from", endpoints[2]]).json()?;
    assert_eq!((each(&hashes, "hash").len(), &hashes["agree"]), (2, &json!(true)));
    let folder = TempDir::new()?;
    let target = folder.path().join("s.db");
    let saved = save(&endpoints.join(","), &target, &["--verify-members"])?;
    assert!(saved.succeeds().err.contains("HashKV not compared: "), "{saved:?}");
    Ok(())
}

/// Frozen, it takes connections but never answers.
#[test]
fn a_member_that_hangs_is_given_up() -> Result<()> {
    let mut cluster = three(Version::V3_4_23, &[])?;
    let hung = (cluster.leader()? + 1) % 3;
    cluster.stop(hung)?;
    let (endpoints, hung) = (cluster.endpoints().join(","), cluster.endpoint(hung));
    for words in [&[][..], &["--command-timeout", "3s"]] {
        let run = status(&endpoints, words)?;
        run.fails(21, &["no answer from", hung, "no answer within"]);
        assert!(run.out.contains("leader"), "{run:?}");
    }
    hashkv(&endpoints, &["--command-timeout", "3s"])?.fails(21, &["no answer from", hung]);
    Ok(())
}

/// It is taken all the same: what it holds is right.
#[test]
fn a_full_database_is_told() -> Result<()> {
    for version in [Version::V3_4_23, Version::V3_5_16] {
        let flags = &["--quota-backend-bytes", "300000"];
        let cluster = one(version, ClusterOptions { flags, ..ClusterOptions::default() })?;
        fill(&cluster)?;
        let result = status(cluster.endpoint(0), &["-w", "json"])?.succeeds().json()?;
        assert_eq!(result["members"][0]["alarms"], json!(["nospace"]), "{result}");
        let table = status(cluster.endpoint(0), &[])?;
        assert!(table.succeeds().out.contains(" NOSPACE "), "{table:?}");
        let folder = TempDir::new()?;
        let target = folder.path().join("s.db");
        let saved = save(cluster.endpoint(0), &target, &["--verify-members"])?;
        assert!(saved.succeeds().err.contains("NOSPACE alarm"), "{saved:?}");
    }
    Ok(())
}

/// The quota is held against what the database takes on disk, which grows a moment after a put.
fn fill(cluster: &EtcdCluster) -> Result<()> {
    let start = Instant::now();
    block_on(async {
        let mut client = cluster.client(0).await?;
        while client.put("key", vec![7; 100_000], None).await.is_ok() {
            ensure!(start.elapsed() < Duration::from_secs(60), "the quota holds nobody back");
        }
        Ok(())
    })
}
