use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use etcdprefix_testkit::Version;
use etcdprefix_testkit::cluster::EtcdCluster;
use etcdprefix_testkit::proxy::{Fault, Proxy};

use super::{Folder, Run, one, save_line, three, warnings, whole_and_alone};

/// Far into the stream, whatever the answers before it take.
const MIDDLE: u64 = 2_000_000;

/// How long a throttled stream may take to get anywhere.
const LIMIT: Duration = Duration::from_secs(60);

/// Waits until so much has gone through on one connection.
pub fn wait_for_bytes(proxy: &Proxy, bytes: u64) -> Result<()> {
    let start = Instant::now();
    while proxy.passed() < bytes {
        ensure!(start.elapsed() < LIMIT, "{} of {bytes} bytes", proxy.passed());
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn before_one() -> Result<(EtcdCluster, Proxy)> {
    let cluster = one()?;
    let proxy = Proxy::start(cluster.endpoint(0))?;
    Ok((cluster, proxy))
}

/// Nothing is left of what broke, and what was there is as it was.
fn breaks(folder: &Folder, endpoint: &str, line: &str, code: i32, words: &[&str]) -> Result<()> {
    let old = folder.path("snap.db");
    for existing in [false, true] {
        if existing {
            std::fs::write(&old, "old")?;
        }
        folder.save(endpoint, line).refused(code, words);
        assert_eq!(folder.names(), if existing { vec!["snap.db"] } else { vec![] });
        assert!(!existing || std::fs::read(&old)? == b"old");
    }
    std::fs::remove_file(old)?;
    Ok(())
}

#[test]
fn a_broken_stream_is_told_and_leaves_nothing() -> Result<()> {
    let ((_cluster, proxy), folder) = (before_one()?, Folder::new()?);
    let endpoint = &proxy.endpoint();
    proxy.stall_after(MIDDLE);
    let stalled = ["stalled: nothing came for 2s after ", " bytes", endpoint, "--idle-timeout"];
    breaks(&folder, endpoint, "--retries 0 --idle-timeout 2s", 23, &stalled)?;
    proxy.cut_after(MIDDLE);
    breaks(&folder, endpoint, "--retries 0", 23, &[endpoint, "broke", "--retries"])?;
    // A retry meets the same.
    let run = folder.save(endpoint, "--retries 1");
    run.refused(23, &[endpoint, "broke"]);
    proxy.flip_byte_at(MIDDLE);
    let flipped = [endpoint, "the snapshot came damaged: its SHA-256", "--from", "--retries"];
    breaks(&folder, endpoint, "--retries 0", 3, &flipped)?;
    Ok(())
}

#[test]
fn a_time_limit_ends_all_of_it() -> Result<()> {
    let ((_cluster, proxy), folder) = (before_one()?, Folder::new()?);
    proxy.throttle(200_000);
    let words = ["not done within 1s", "--command-timeout"];
    breaks(&folder, &proxy.endpoint(), "--command-timeout 1s", 23, &words)
}

#[test]
fn a_frozen_member_is_given_up() -> Result<()> {
    let ((mut cluster, proxy), folder) = (before_one()?, Folder::new()?);
    let endpoint = proxy.endpoint();
    proxy.throttle(1_000_000);
    let mut program = folder.program(&save_line(&endpoint, "--retries 0 --idle-timeout 2s"));
    let child = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    wait_for_bytes(&proxy, 300_000)?;
    cluster.stop(0)?;
    // What is on its way still comes.
    proxy.heal();
    let run = Run(child.wait_with_output()?);
    run.refused(23, &["the stream stalled: nothing came for 2s after "]);
    let frozen = cluster.endpoint(0).to_owned();
    let line = "--retries 0 --command-timeout 1s";
    breaks(&folder, &frozen, line, 23, &[])?;
    let run = folder.save(&frozen, "--retries 0");
    run.refused(23, &[&frozen, "no answer within 5s", "--command-timeout"]);
    cluster.resume(0)?;
    folder.save(&frozen, "").saved();
    whole_and_alone(&folder)
}

/// Three members behind proxies, the leader first.
fn proxied(cluster: &EtcdCluster) -> Result<(Vec<Proxy>, String)> {
    let leader = cluster.leader()?;
    let members = (0..3).map(|step| cluster.endpoint((leader + step) % 3));
    let proxies = members.map(Proxy::start).collect::<Result<Vec<_>>>()?;
    let endpoints: Vec<String> = proxies.iter().map(Proxy::endpoint).collect();
    Ok((proxies, endpoints.join(",")))
}

/// Another member serves after the first one broke, and what happened is told.
#[test]
fn a_second_attempt_asks_another_member() -> Result<()> {
    let (cluster, folder) = (three(Version::V3_5_16)?, Folder::new()?);
    let (proxies, endpoints) = proxied(&cluster)?;
    let first = proxies[0].endpoint();
    for (fault, words) in [
        (Fault::Stall { after: MIDDLE }, "stalled"),
        (Fault::Cut { after: MIDDLE }, "broke"),
        (Fault::Flip { at: MIDDLE }, "SHA-256"),
    ] {
        proxies[0].inject(fault, 1);
        let saved = folder.save(&endpoints, "--idle-timeout 6s").saved();
        let (said, served) = (warnings(&saved), saved["member"]["endpoint"].clone());
        assert_eq!(saved["attempts"], 2, "{said}");
        assert!(said.contains(&format!("attempt 1 failed: {first}")), "{said}");
        assert!(said.contains(words), "{said}");
        assert!(served == proxies[1].endpoint() || served == proxies[2].endpoint(), "{served}");
        whole_and_alone(&folder)?;
        std::fs::remove_file(folder.path("snap.db"))?;
    }
    proxies.iter().for_each(|proxy| proxy.cut_after(MIDDLE));
    breaks(&folder, &endpoints, "--retries 2", 23, &["broke"])?;
    proxies.iter().for_each(|proxy| proxy.cut_after(0));
    breaks(&folder, &endpoints, "--retries 1", 21, &[&first, "broke", "--endpoints"])
}
