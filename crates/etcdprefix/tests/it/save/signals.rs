use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::Result;
use etcdprefix_testkit::proxy::Proxy;
use rustix::process::{Pid, Signal, kill_process};

use super::streams::wait_for_bytes;
use super::{Folder, one, save_line, whole_and_alone};
use crate::support::said;

/// Starts a save that takes much longer than any of this, and lets it get into the stream.
fn streaming(folder: &Folder, proxy: &Proxy, more: &str) -> Result<Child> {
    let before = proxy.passed();
    let mut program = folder.program(&save_line(&proxy.endpoint(), more));
    let child = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    wait_for_bytes(proxy, before + 50_000)?;
    Ok(child)
}

#[test]
fn a_signal_in_the_middle_leaves_the_old_file() -> Result<()> {
    let (cluster, folder) = (one()?, Folder::new()?);
    let proxy = Proxy::start(cluster.endpoint(0))?;
    proxy.throttle(100_000);
    for (signal, more) in [
        (Signal::INT, ""),
        (Signal::TERM, "--keep-saved kept.db --change-prefix /c1"),
        (Signal::TERM, ""),
        (Signal::KILL, ""),
    ] {
        let change = !more.is_empty();
        if !change {
            std::fs::write(folder.path("snap.db"), "old")?;
        }
        let child = streaming(&folder, &proxy, more)?;
        kill_process(Pid::from_child(&child), signal)?;
        let output = child.wait_with_output()?;
        if signal == Signal::KILL {
            assert_eq!(output.status.signal(), Some(signal.as_raw()));
        } else {
            assert_eq!(output.status.code(), Some(130), "{}", said(&output));
            let stderr = String::from_utf8(output.stderr)?;
            assert_eq!(stderr, "etcdprefix: interrupted; snap.db is as it was\n");
        }
        assert_eq!(output.stdout, b"");
        let mut names = folder.names();
        // Where files can't be without a name, a kill leaves one that the next run removes.
        names.retain(|name| signal != Signal::KILL || !name.starts_with('.'));
        assert_eq!(names, if change { vec![] } else { vec!["snap.db"] });
        assert!(change || std::fs::read(folder.path("snap.db"))? == b"old");
        std::fs::remove_file(folder.path("snap.db")).ok();
    }
    proxy.heal();
    folder.save(&proxy.endpoint(), "").saved();
    whole_and_alone(&folder)
}

/// Nobody has answered yet.
#[test]
fn a_signal_ends_the_waiting_for_an_answer() -> Result<()> {
    let (folder, silent) = (Folder::new()?, TcpListener::bind("127.0.0.1:0")?);
    let line = save_line(&silent.local_addr()?.to_string(), "--command-timeout 10m");
    let child = folder.program(&line).stderr(Stdio::piped()).spawn()?;
    let _client = silent.accept()?;
    kill_process(Pid::from_child(&child), Signal::INT)?;
    let output = child.wait_with_output()?;
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    assert_eq!(folder.names(), [""; 0]);
    Ok(())
}

/// At any moment: the old file and 130, or the new one and 0.
#[test]
fn a_signal_at_any_moment_leaves_the_old_file_or_the_new_one() -> Result<()> {
    let (cluster, folder) = (one()?, Folder::new()?);
    let start = std::time::Instant::now();
    folder.save(cluster.endpoint(0), "").saved();
    let takes = start.elapsed();
    for moment in 0..16 {
        std::fs::write(folder.path("snap.db"), "old")?;
        let mut program = folder.program(&save_line(cluster.endpoint(0), ""));
        let child = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        std::thread::sleep(takes.mul_f64(f64::from(moment) / 14.0).max(Duration::from_millis(1)));
        kill_process(Pid::from_child(&child), Signal::TERM).ok();
        let output = child.wait_with_output()?;
        let is_old = std::fs::read(folder.path("snap.db"))? == b"old";
        match output.status.code() {
            Some(0) => whole_and_alone(&folder)?,
            // Before it is asked for, the signal ends the process.
            code => {
                assert!(
                    code == Some(130) || output.status.signal() == Some(15),
                    "{}",
                    said(&output)
                );
                assert!(is_old, "{}", said(&output));
                assert_eq!(folder.names(), ["snap.db"]);
            }
        }
    }
    Ok(())
}
