//! The store, the disk: what fails in the middle, on one host.

use std::fs;
use std::time::Duration;

use anyhow::Result;
use etcdprefix_testkit::hosts::TestHost;
use etcdprefix_testkit::stores::{Key, Metadata};
use serde_json::json;

use super::Migration;
use super::bench::STATE;
use super::moved::{bundle, check_bundle, fetch};

/// A small disk that root alone may enter.
fn mount(host: &TestHost, folder: &str, bytes: u64) -> Result<()> {
    host.mount_small(folder, bytes)?;
    host.shell(&format!("chmod 700 {folder}")).map(drop)
}

#[test]
fn a_store_that_refuses_the_upload_wakes_the_host() -> Result<()> {
    let moving = Migration::one()?;
    let (oss, key) = (moving.store.as_oss(), moving.store.key());
    oss.allow(key, &["PutObject", "InitiateMultipartUpload"])?;
    let rehearsed = moving.migrate("rehearse");
    rehearsed.failed(31, &["store of m1"]);
    assert!(rehearsed.stdout().contains("oss:PutObject missing"), "{rehearsed}");
    oss.allow(key, &[])?;
    let hold = moving.hold(1, "snapshot")?;
    let mut run = moving.begin("run --skip-rehearsal");
    run.until(|| hold.is_waiting())?;
    oss.allow(key, &["PutObject", "InitiateMultipartUpload"])?;
    hold.release();
    run.end().failed(26, &["access is denied", "every host is awake again, as before"]);
    moving.is_as_before()?;
    // Whoever may not delete is told what stays; a URL is dead by other bytes in its place.
    oss.allow(key, &["DeleteObject"])?;
    moving.migrate("run --skip-rehearsal").succeeded();
    moving.is_handed_out();
    let url = bundle(&moving)?["oss_url"].as_str().unwrap().to_owned();
    moving.migrate("rollback --managed-side-never-started").succeeded();
    assert!(fetch(&url)?.starts_with(b"revoked by etcdprefix"));
    moving.is_as_before()
}

#[test]
fn credentials_of_the_host_that_end_too_early_wake_it() -> Result<()> {
    let moving = Migration::one()?;
    let role = Key::new("STS.role", "role-s3cr3t-role").with_token("t0ken/+=");
    moving.store.as_oss().allow(&role, &[])?;
    let at = moving.hosts.metadata_address()?;
    let _metadata = Metadata::start_at(at, &role, Duration::from_secs(1200))?;
    moving.variables.borrow_mut().clear();
    let rehearsed = moving.migrate("rehearse");
    rehearsed.failed(31, &["store of m1"]);
    assert!(rehearsed.stdout().contains("from ECS RAM role end in"), "{rehearsed}");
    // Shorter is enough for who fetches it at once; and if it gets too short in the outage, all wakes.
    let line = "run --skip-rehearsal --presign-lifetime 15m";
    let change = moving.change(1, "bundle", &json!({"request": {"presign_seconds": 1500}}))?;
    let run = moving.migrate(line);
    run.failed(27, &["from ECS RAM role end in", "every host is awake again, as before"]);
    moving.is_as_before()?;
    drop(change);
    moving.migrate(line).succeeded();
    moving.is_handed_out();
    Ok(())
}

/// All of the folder where the host remembers, or all but a little: waking must not need any room.
#[test]
fn a_disk_that_fills_up_wakes_the_host() -> Result<()> {
    let moving = Migration::one()?;
    let host = moving.hosts.host(1);
    mount(host, STATE, 160 << 20)?;
    for left_bytes in [0, 64 << 10] {
        let hold = moving.hold(1, "snapshot")?;
        let mut run = moving.begin("run --skip-rehearsal");
        run.until(|| hold.is_waiting())?;
        let fill = format!("cd {STATE}; cat /dev/zero > fill; truncate -s -{left_bytes} fill");
        host.shell(&fill)?;
        hold.release();
        run.end().failed(4, &["No space left on device", "every host is awake again, as before"]);
        moving.before.check(&moving.hosts)?;
        host.wait_for("kube-apiserver", true)?;
        host.wait_for("etcdprefix", false)?;
        let left =
            host.shell(&format!("cd {STATE}; rm fill; ls -A . work 2> /dev/null || true"))?;
        let words: Vec<&str> = left.split_whitespace().collect();
        assert!(words.iter().all(|word| [".:", "bin", "work", "work:"].contains(word)), "{left}");
    }
    host.unmount(STATE)
}

/// The orchestrator's own: what can't be written at the end may have been.
#[test]
fn a_bundle_that_can_not_be_written_is_written_later() -> Result<()> {
    let moving = Migration::one()?;
    let folder = moving.path("bundles");
    fs::create_dir(&folder)?;
    let bundle = format!("--bundle {}", folder.join("bundle.json").display());
    let hold = moving.hold(1, "fence")?;
    let mut run = moving.begin(&format!("run --skip-rehearsal {bundle}"));
    run.until(|| hold.is_waiting())?;
    fs::remove_dir_all(&folder)?;
    hold.release();
    run.end().failed(37, &["cannot write", "nothing is woken", "migrate resume"]);
    moving.is_handed_out();
    moving.migrate("rollback").failed(37, &[]);
    fs::create_dir(&folder)?;
    moving.migrate(&format!("resume {bundle}")).succeeded();
    check_bundle(&moving, &fs::read_to_string(folder.join("bundle.json"))?)?;
    moving.is_handed_out();
    Ok(())
}

#[test]
fn a_disk_that_is_too_small_is_found_before() -> Result<()> {
    let moving = Migration::one()?;
    mount(moving.hosts.host(1), "/var/lib/etcdprefix/work", 64 << 10)?;
    for line in ["rehearse", "run --skip-rehearsal"] {
        let run = moving.migrate(line);
        run.failed(31, &["working_folder of m1"]);
        assert!(run.stdout().contains("0 MiB free, 64 MiB needed"), "{run}");
    }
    assert!(!moving.journal().iter().any(|line| line["step"] == "sleep"));
    moving.before.check(&moving.hosts)
}
