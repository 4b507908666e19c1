//! Timers that wake a host if nobody is heard of.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use etcdprefix_migrate::error::NodeErrorKind;
use etcdprefix_migrate::protocol::{Request, Response};

use super::host::{Host, kill, lives, owner, renew, sleep, slept, until, wake};

/// It holds its lock a moment before it has said who it is.
fn timer_process(host: &Host) -> Result<u32> {
    let path = host.state().join("timer.lock");
    until(|| {
        let text = std::fs::read_to_string(&path)?;
        Ok(text.strip_prefix("process ").and_then(|pid| pid.parse().ok()))
    })
}

/// All timers are due at the same time or before the last one; that one shows that it has come.
#[test]
fn only_who_is_not_heard_of_is_woken() -> Result<()> {
    let hosts = [Host::new()?, Host::new()?, Host::new()?, Host::new()?];
    let [renewed, fenced, disarmed, unheard] = &hosts;
    let before = unheard.manifests()?;
    for host in &hosts {
        slept(host.ask("a", sleep(600, 50))?)?;
    }
    for host in &hosts {
        host.perform(&renew(6))?;
    }
    renewed.perform(&renew(600))?;
    let fence = fenced.perform(&Request::Fence { owner: owner() })?;
    let Response::Fenced(status) = fence else { bail!("{fence:?}") };
    assert_eq!(status.timer, None);
    disarmed.perform(&wake())?;
    slept(disarmed.ask("b", sleep(600, 50))?)?;
    let fired = until(|| Ok(unheard.status()?.fired))?;
    assert!(fired.contains("kube-apiserver.yaml"), "{fired}");
    assert_eq!(unheard.manifests()?, before);
    for host in [renewed, fenced, disarmed] {
        assert!(host.is_asleep() && host.status()?.fired.is_none());
    }
    let late = unheard.perform(&renew(600)).unwrap_err();
    assert_eq!(late.kind, NodeErrorKind::Awake);
    let late = unheard.perform(&Request::Fence { owner: owner() }).unwrap_err();
    assert_eq!(late.kind, NodeErrorKind::Awake);
    assert!(!slept(unheard.ask("a", sleep(600, 50))?)?.already, "not the old result");
    assert_eq!(unheard.status()?.fired, None);
    Ok(())
}

#[test]
fn a_killed_timer_is_started_again_and_that_is_told() -> Result<()> {
    let host = Host::new()?;
    slept(host.ask("a", sleep(600, 50))?)?;
    let first = timer_process(&host)?;
    kill(first);
    until(|| Ok(host.status()?.timer.filter(|timer| !timer.alive)))?;
    let Response::Status(status) = host.perform(&renew(600))? else { bail!("no status") };
    let timer = status.timer.context("timer")?;
    assert!(timer.alive && timer.restarted);
    assert_ne!(timer_process(&host)?, first);
    let Response::Status(status) = host.perform(&renew(2))? else { bail!("no status") };
    assert!(!status.timer.context("timer")?.restarted);
    until(|| Ok(host.status()?.fired))?;
    assert!(!host.is_asleep());
    Ok(())
}

/// As systemd 219 takes it. Where it can't start the timer, we do.
#[test]
fn systemd_starts_the_timer_where_there_is_one() -> Result<()> {
    let host = Host::new()?;
    let note = host.path("asked");
    let unit = "case $1 in --unit=etcdprefix-timer-*) ;; *) exit 1 ;; esac; [ \"$2\" = -- ]";
    let start = "shift 2; \"$@\" < /dev/null > /dev/null 2>&1 & echo $! >> ";
    host.file("run/systemd/system/x", "")?;
    host.program("systemd-run", &format!("set -e; {unit}; {start}{}", note.display()))?;
    slept(host.ask("a", sleep(600, 50))?)?;
    let started: u32 = std::fs::read_to_string(&note)?.trim().parse()?;
    assert_eq!(timer_process(&host)?, started);
    kill(started);
    until(|| Ok(host.status()?.timer.filter(|timer| !timer.alive)))?;
    host.program("systemd-run", "echo Failed to start transient service unit >&2; exit 1")?;
    host.perform(&renew(600))?;
    assert_ne!(timer_process(&host)?, started);
    Ok(())
}

#[test]
fn a_timer_ends_with_its_task_and_may_be_killed_before() -> Result<()> {
    let host = Host::new()?;
    slept(host.ask("a", sleep(600, 50))?)?;
    let process = timer_process(&host)?;
    assert!(matches!(host.perform(&wake())?, Response::Woken(_)));
    until(|| Ok((!lives(process)).then_some(())))?;
    let unlock = Request::Unlock { owner: owner(), working_dir: None };
    host.perform(&unlock)?;
    assert!(!host.state().exists(), "nothing is left");
    Ok(())
}

/// Names of what is in systemd's folders, whatever folder.
fn units(host: &Host) -> usize {
    let folder = host.path("etc/systemd/system");
    let count = |folder: &Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "service")).count()
    };
    count(&folder) + count(&folder.join("multi-user.target.wants"))
}

/// Killed with its host, it is started by nobody but systemd, and still wakes.
#[test]
fn a_timer_comes_back_with_its_host() -> Result<()> {
    let host = Host::new()?;
    host.systemd()?;
    let before = host.manifests()?;
    slept(host.ask("a", sleep(600, 50))?)?;
    let log = std::fs::read_to_string(host.path("systemctl.log"))?;
    assert!(log.starts_with("daemon-reload\nstart etcdprefix-timer"), "{log}");
    assert_eq!(units(&host), 2);
    host.perform(&renew(4))?;
    kill(timer_process(&host)?);
    until(|| Ok(host.status()?.timer.filter(|timer| !timer.alive)))?;
    assert!(Command::new(host.path("bin/systemctl")).arg("boot").status()?.success());
    let fired = until(|| Ok(host.status()?.fired))?;
    assert!(fired.contains("kube-apiserver.yaml"), "{fired}");
    assert_eq!(host.manifests()?, before);
    until(|| Ok((units(&host) == 0).then_some(())))?;
    host.perform(&Request::Unlock { owner: owner(), working_dir: None })?;
    until(|| Ok((!host.state().exists()).then_some(())))
}

#[test]
fn whoever_disarms_leaves_no_unit() -> Result<()> {
    for fence in [true, false] {
        let host = Host::new()?;
        host.systemd()?;
        slept(host.ask("a", sleep(600, 50))?)?;
        assert_eq!(units(&host), 2);
        match fence {
            true => drop(host.perform(&Request::Fence { owner: owner() })?),
            false => drop(host.perform(&wake())?),
        }
        assert_eq!(units(&host), 0, "fence: {fence}");
        assert!(!host.state().join("unit.json").exists());
    }
    Ok(())
}

/// One that hangs or does nothing is done without, and its files stay for the next start of the host.
#[test]
fn a_systemd_that_does_not_start_it_is_done_without() -> Result<()> {
    let host = Host::new()?;
    host.systemd()?;
    host.file("bin/systemctl", "#!/bin/sh\nexit 1\n")?;
    slept(host.ask("a", sleep(600, 50))?)?;
    assert!(host.status()?.timer.context("timer")?.alive);
    assert_eq!(units(&host), 2);
    host.perform(&wake())?;
    assert_eq!(units(&host), 0);
    Ok(())
}
