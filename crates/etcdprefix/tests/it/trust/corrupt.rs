use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use etcd_client::{AlarmAction, AlarmOptions, AlarmType};
use etcdprefix_testkit::cluster::EtcdCluster;
use etcdprefix_testkit::proxy::Proxy;
use etcdprefix_testkit::{Version, block_on};
use serde_json::json;
use tempfile::TempDir;

use super::members::slowly;
use super::{hashkv, put, save, status, text, three};

const WAIT_LIMIT: Duration = Duration::from_secs(60);

#[test]
fn members_that_differ_are_found_on_each_version() -> Result<()> {
    for version in Version::ALL {
        let cluster = three(version, &[])?;
        let leader = cluster.leader()?;
        let (follower, other) = ((leader + 1) % 3, (leader + 2) % 3);
        let marked = Marked::put(&cluster, "a value that no page holds by chance")?;
        marked.flip(&cluster, follower)?;
        found(&cluster, follower)?;
        marked.flip(&cluster, follower)?;
        agreed(&cluster)?;
        marked.flip(&cluster, leader)?;
        found(&cluster, leader)?;
        // Two against one; and what differs is told even if nobody can say who is right.
        let two = [leader, other].map(|member| cluster.endpoint(member)).join(",");
        hashkv(&two, &[])?.fails(24, &["members hold different data"]);
    }
    Ok(())
}

fn agreed(cluster: &EtcdCluster) -> Result<()> {
    assert_eq!(hashkv(&cluster.endpoints().join(","), &[])?.succeeds().json()?["agree"], true);
    Ok(())
}

/// The one that differs is named after the two that agree, and no snapshot is begun.
fn found(cluster: &EtcdCluster, odd: usize) -> Result<()> {
    let endpoints = cluster.endpoints().join(",");
    let hashes = hashkv(&endpoints, &[])?;
    let (last, advice) = (format!("; member-{odd} "), "; try: ");
    let hashes = hashes.fails(24, &["members hold different data", &last, advice]).json()?;
    assert_eq!(hashes["agree"], false);
    let folder = TempDir::new()?;
    let target = folder.path().join("s.db");
    fs::write(&target, "what was there before")?;
    // Every stream would go through here.
    let proxy = Proxy::start(cluster.endpoint(cluster.leader()?))?;
    proxy.cut_after(50_000);
    let mut through: Vec<String> = cluster.endpoints().into_iter().map(String::from).collect();
    through[cluster.leader()?] = proxy.endpoint();
    let refused = save(&through.join(","), &target, &["--verify-members"])?;
    refused.fails(24, &["members hold different data", &last, "hashkv --cluster"]);
    assert_eq!((fs::read(&target)?, proxy.afflicted()), (b"what was there before".to_vec(), 0));
    assert_eq!(fs::read_dir(folder.path())?.count(), 1);
    // Who doesn't ask for proof gets the leader's.
    save(&endpoints, &target, &[])?.succeeds();
    Ok(())
}

/// Two agree and go on; between the stream and the question after it the sender's data changes.
#[test]
fn a_file_that_its_member_no_longer_holds() -> Result<()> {
    let cluster = three(Version::V3_5_1, &[])?;
    let folder = TempDir::new()?;
    let target = folder.path().join("s.db");
    let leader = cluster.leader()?;
    let marked = Marked::put(&cluster, "what the stream has and the member loses")?;
    let proxy = Proxy::start(cluster.endpoint(leader))?;
    let run = slowly(&cluster, &proxy, &target, || marked.flip(&cluster, leader))?;
    run.fails(24, &["HashKV at revision", "is not what the member holds", &proxy.endpoint()]);
    assert_eq!(fs::read_dir(folder.path())?.count(), 0);
    Ok(())
}

/// Snapshots come from the others, even if it is the one that leads.
#[test]
fn a_member_with_a_corrupt_alarm_is_not_taken() -> Result<()> {
    for version in [Version::V3_4_23, Version::V3_5_16] {
        let cluster = three(version, &[])?;
        let odd = cluster.leader()?;
        let other = (odd + 1) % 3;
        accuse(&cluster, odd)?;
        alarmed(&cluster, other)?;
        let endpoints = [odd, other].map(|member| cluster.endpoint(member));
        let both = status(&endpoints.join(","), &["-w", "json"])?.succeeds().json()?;
        assert_eq!(both["members"][0]["alarms"], json!(["corrupt"]), "{both}");
        assert_eq!(both["members"][1]["alarms"], json!([]), "{both}");

        let folder = TempDir::new()?;
        let target = folder.path().join("s.db");
        let alone = save(endpoints[0], &target, &[])?;
        alone.fails(21, &["it has a CORRUPT alarm", "--from"]);
        let saved = save(&endpoints.join(","), &target, &[])?.succeeds().json()?;
        assert_eq!(saved["member"]["endpoint"], endpoints[1], "{saved}");
        let asked_for = save(&endpoints.join(","), &target, &["--from", endpoints[0]])?;
        assert!(asked_for.succeeds().err.contains("CORRUPT alarm"), "{asked_for:?}");
    }
    Ok(())
}

/// As etcd's check of compactions does, if a majority can tell who it is.
fn accuse(cluster: &EtcdCluster, member: usize) -> Result<()> {
    block_on(async {
        let mut about = AlarmOptions::new();
        about.with_member(cluster.member_id(member));
        let mut client = cluster.client(member).await?;
        client.alarm(AlarmAction::Activate, AlarmType::Corrupt, Some(about)).await?;
        anyhow::Ok(())
    })
}

/// The check that goes on all the time raises it about member 0: so no member is taken unasked.
#[test]
fn a_corrupt_alarm_about_nobody_is_one_about_everybody() -> Result<()> {
    let cluster = three(Version::V3_5_1, &["--experimental-corrupt-check-time", "1s"])?;
    let odd = (cluster.leader()? + 1) % 3;
    Marked::put(&cluster, "a value that etcd's own check will miss")?.flip(&cluster, odd)?;
    alarmed(&cluster, odd)?;
    let folder = TempDir::new()?;
    let target = folder.path().join("s.db");
    let endpoints = cluster.endpoints().join(",");
    let refused = save(&endpoints, &target, &[])?;
    refused.fails(21, &["it has a CORRUPT alarm", "; try: ", "--from"]);
    let odd = format!("; member-{odd} ");
    hashkv(&endpoints, &[])?.fails(24, &["members hold different data", &odd]);
    let leader = cluster.endpoint(cluster.leader()?);
    save(&endpoints, &target, &["--from", leader])?.succeeds();
    Ok(())
}

/// Waits until a member knows of an alarm, of whomever.
fn alarmed(cluster: &EtcdCluster, member: usize) -> Result<()> {
    let start = Instant::now();
    let knows =
        || anyhow::Ok(status(cluster.endpoint(member), &["-w", "json"])?.out.contains("CORRUPT"));
    while !knows()? {
        ensure!(start.elapsed() < WAIT_LIMIT, "no alarm: {}", cluster.log(cluster.leader()?));
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// A key whose value can be found in the files of members.
struct Marked {
    value: &'static str,
}

impl Marked {
    /// Puts it, with neighbours of some size around, and waits until every member has it on disk.
    fn put(cluster: &EtcdCluster, value: &'static str) -> Result<Self> {
        put(cluster, 0, "marked", value)?;
        for number in 0..40 {
            put(cluster, 0, &format!("around-{number}"), vec![number; 4_000])?;
        }
        for member in 0..cluster.endpoints().len() {
            let start = Instant::now();
            while places(&cluster.database(member), value.as_bytes())?.is_empty() {
                ensure!(start.elapsed() < WAIT_LIMIT, "member {member} has it not");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        agreed(cluster)?;
        Ok(Self { value })
    }

    /// Changes one bit of it in a member's file, which the member has mapped, old copies of the page
    /// included; a second time changes it back.
    fn flip(&self, cluster: &EtcdCluster, member: usize) -> Result<()> {
        let path = cluster.database(member);
        let file = File::options().read(true).write(true).open(&path)?;
        // Without the first byte, which is the one to change.
        let places = places(&path, &self.value.as_bytes()[1..])?;
        ensure!(!places.is_empty(), "{} has it not", text(&path));
        for place in places {
            let mut byte = [0];
            let at = place.checked_sub(1).context("it is not at the start")?;
            file.read_exact_at(&mut byte, at)?;
            file.write_all_at(&[byte[0] ^ 1], at)?;
        }
        Ok(())
    }
}

fn places(path: &Path, wanted: &[u8]) -> Result<Vec<u64>> {
    let bytes = fs::read(path)?;
    let found = bytes.windows(wanted.len()).enumerate().filter(|(_, window)| *window == wanted);
    Ok(found.map(|(place, _)| place as u64).collect())
}
