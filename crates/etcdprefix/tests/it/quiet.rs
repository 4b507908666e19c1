//! `endpoint quiet` as a script meets it; what the watch sees is tested with the library.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use etcdprefix_testkit::cluster::{ClusterOptions, EtcdCluster};
use etcdprefix_testkit::{EtcdServer, Version, block_on};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{PROGRAM, run, said};

/// Much longer than any of this should take.
const LIMIT: Duration = Duration::from_secs(60);

fn watching(url: &str, time: &str) -> Result<Child> {
    let mut program = Command::new(PROGRAM);
    program.args(["endpoint", "quiet", "--for", time, "--endpoints", url, "-w", "json"]);
    Ok(program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
}

/// Waits for the end, but not for ever.
fn ended(child: &mut Child) -> Result<()> {
    let start = Instant::now();
    while child.try_wait()?.is_none() {
        if start.elapsed() > LIMIT {
            child.kill()?;
            bail!("still running after {LIMIT:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

#[test]
fn a_writer_is_told_by_code_and_key_and_flags_may_come_first() -> Result<()> {
    for version in Version::ALL {
        let server = EtcdServer::start(version, &[])?;
        let quiet =
            ["--endpoints", server.url(), "-w", "json", "endpoint", "quiet", "--for", "200ms"];
        let output = run(quiet)?;
        ensure!(output.status.success(), "{}", said(&output));
        let writer =
            etcdprefix_testkit::writer::Writer::start(server.url(), Duration::from_millis(5));
        writer.wait_for(1)?;
        let output = run(quiet)?;
        writer.stop()?;
        assert_eq!(output.status.code(), Some(25), "{}", said(&output));
        let seen: Value = serde_json::from_slice(&output.stdout)?;
        let key = seen["keys"][0]["key"].as_str().unwrap_or_default();
        assert!(key.starts_with("/registry/writer/"), "{seen}");
    }
    Ok(())
}

#[test]
fn an_interruption_is_never_taken_for_quiet() -> Result<()> {
    let mut cluster = EtcdCluster::start(Version::V3_5_16, ClusterOptions::default())?;
    let mut child = watching(cluster.endpoint(0), "1s")?;
    // The watch is there by then, or else it will not be: either way the end has to wait for an answer.
    std::thread::sleep(Duration::from_millis(500));
    cluster.stop(0)?;
    std::thread::sleep(Duration::from_secs(2));
    kill_process(Pid::from_child(&child), Signal::INT)?;
    ended(&mut child)?;
    let output = child.wait_with_output()?;
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    assert_eq!(output.stdout, b"");
    cluster.resume(0)?;
    block_on(async { cluster.client(0).await.map(drop) })
}
