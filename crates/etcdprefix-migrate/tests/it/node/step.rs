//! Steps that outlive their callers, and are done once.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use etcdprefix_migrate::error::NodeErrorKind;
use etcdprefix_migrate::protocol::{Call, Reply, Request, Response};

use super::host::{Host, call, failed, kill, lives, lock, owner, sleep, slept, until, wake};

/// The call has moved the files and waits for the API server to end.
fn falling_asleep(host: &Host, id: &str) -> Result<super::host::Caller> {
    host.api_server()?;
    let caller = host.call(&call(id, sleep(600, 50)))?;
    until(|| Ok(host.is_asleep().then_some(())))?;
    Ok(caller)
}

#[test]
fn a_broken_connection_neither_ends_nor_doubles_a_step() -> Result<()> {
    let host = Host::new()?;
    falling_asleep(&host, "a.sleep")?.kill();
    let worker = host.worker("a.sleep")?;
    let second = host.call(&call("a.sleep", sleep(600, 50)))?;
    let third = host.call(&call("a.sleep", sleep(600, 50)))?;
    assert!(lives(worker) && host.status()?.timer.context("timer")?.alive);
    host.end_api_server()?;
    let (second, third) = (slept(second.reply()?)?, slept(third.reply()?)?);
    assert_eq!(second, third);
    assert!(!second.already, "by one worker");
    assert_eq!(host.worker("a.sleep")?, worker);
    assert_eq!(slept(host.ask("a.sleep", sleep(600, 50))?)?, second, "the result is kept");
    let mut resumed = sleep(600, 50);
    if let Request::Sleep(request) = &mut resumed {
        request.owner.by = "another process".into();
    }
    assert_eq!(slept(host.ask("a.sleep", resumed)?)?, second);
    let other = failed(host.ask("a.sleep", sleep(600, 51))?)?;
    assert_eq!(other.kind, NodeErrorKind::Usage);
    // Nothing of a login is left that would hold it open.
    until(|| Ok((!lives(worker)).then_some(())))
}

#[test]
fn two_at_once_are_one() -> Result<()> {
    let host = Host::new()?;
    let callers: Vec<_> =
        (0..4).map(|_| host.call(&call("a", sleep(600, 50)))).collect::<Result<_>>()?;
    let replies: Vec<_> =
        callers.into_iter().map(|caller| slept(caller.reply()?)).collect::<Result<_>>()?;
    assert!(replies.iter().all(|reply| *reply == replies[0] && !reply.already), "{replies:?}");
    Ok(())
}

#[test]
fn a_result_does_not_outlive_what_it_tells_of() -> Result<()> {
    let host = Host::new()?;
    assert!(!slept(host.ask("a", sleep(600, 50))?)?.already);
    assert!(matches!(host.ask("b", wake())?, Reply::Done(_)));
    assert!(!host.is_asleep());
    assert!(!slept(host.ask("a", sleep(600, 50))?)?.already);
    assert!(host.is_asleep());
    assert!(matches!(host.ask("b", wake())?, Reply::Done(_)));
    assert!(!host.is_asleep());
    Ok(())
}

#[test]
fn a_killed_step_is_told_and_can_be_done_again() -> Result<()> {
    let host = Host::new()?;
    let before = host.manifests()?;
    let caller = falling_asleep(&host, "a")?;
    kill(host.worker("a")?);
    let error = failed(caller.reply()?)?;
    assert_eq!(error.kind, NodeErrorKind::Failed);
    assert!(host.status()?.timer.context("timer")?.alive, "the timer is on its own");
    host.end_api_server()?;
    assert!(slept(host.ask("a", sleep(600, 50))?)?.already);
    assert!(matches!(host.ask("b", wake())?, Reply::Done(_)));
    assert_eq!(host.manifests()?, before);
    Ok(())
}

#[test]
fn at_its_limit_a_step_ends_with_its_children() -> Result<()> {
    let host = Host::new()?;
    let before = host.manifests()?;
    let note = host.path("asked");
    host.crictl(&format!("echo $$ > {}; exec sleep 600", note.display()))?;
    let caller = host.call(&Call { limit_seconds: 2, ..call("a", sleep(600, 50)) })?;
    let asked = until(|| Ok(fs::read_to_string(&note).unwrap_or_default().trim().parse().ok()))?;
    let worker = host.worker("a")?;
    let error = failed(caller.reply()?)?;
    assert_eq!(error.kind, NodeErrorKind::OutOfTime);
    host.crictl("echo '{}'")?;
    until(|| Ok((!lives(worker) && !lives(asked)).then_some(())))?;
    assert!(host.is_asleep() && host.status()?.timer.context("timer")?.alive);
    assert!(matches!(host.ask("b", wake())?, Reply::Done(_)));
    assert_eq!(host.manifests()?, before);
    Ok(())
}

#[test]
fn a_cancelled_sleep_puts_everything_back() -> Result<()> {
    let host = Host::new()?;
    let before = host.manifests()?;
    let cancelled = |host: &Host| match host.ask("c", Request::Cancel { id: "a".into() })? {
        Reply::Done(done) => match *done {
            Response::Cancelled(was_running) => Ok(was_running),
            other => bail!("{other:?}"),
        },
        Reply::Failed(error) => Err(error.into()),
    };
    let caller = falling_asleep(&host, "a")?;
    assert!(cancelled(&host)?);
    assert_eq!(host.manifests()?, before, "when the answer comes it is done");
    assert_eq!(failed(caller.reply()?)?.kind, NodeErrorKind::Interrupted);
    assert!(!cancelled(&host)?);
    assert_eq!(host.status()?.timer, None);
    Ok(())
}

#[test]
fn a_step_that_comes_after_its_end_is_refused() -> Result<()> {
    let host = Host::new()?;
    let before = host.manifests()?;
    let cancel = Request::Cancel { id: "late".into() };
    let Response::Cancelled(was_running) = host.perform(&cancel)? else { bail!("no answer") };
    assert!(!was_running);
    let error = failed(host.ask("late", sleep(600, 50))?)?;
    assert_eq!(error.kind, NodeErrorKind::Interrupted);
    host.perform(&Request::Unlock { owner: owner(), working_dir: None })?;
    assert!(!host.state().exists());
    host.perform(&cancel)?;
    assert!(!host.state().exists());
    let error = failed(host.ask("later", sleep(600, 50))?)?;
    assert_eq!(error.kind, NodeErrorKind::Locked);
    assert_eq!(host.manifests()?, before);
    Ok(())
}

#[test]
fn no_secret_of_a_call_is_kept() -> Result<()> {
    let host = Host::new()?;
    let environment = [("OSS_ACCESS_KEY_SECRET".to_owned(), "full-s3cr3t-full".to_owned())];
    let call = Call { environment: environment.into(), ..call("a", sleep(600, 50)) };
    slept(host.call(&call)?.reply()?)?;
    let mut folders = vec![host.root().to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    files += 1;
                    let text = fs::read(&path)?;
                    let found = text.windows(6).any(|part| part == b"s3cr3t");
                    ensure!(!found, "{} has the secret", path.display());
                }
            }
        }
    }
    assert!(files > 10);
    Ok(())
}

#[test]
fn what_is_no_call_is_answered_too() -> Result<()> {
    let host = Host::new()?;
    let bad = Call { id: "../a".into(), ..call("a", sleep(600, 0)) };
    assert_eq!(failed(host.call(&bad)?.reply()?)?.kind, NodeErrorKind::Usage);
    assert!(matches!(host.ask("s", Request::Status)?, Reply::Done(_)));
    assert!(!host.state().join("steps").exists());
    Ok(())
}

const FULL: &str = "ETCDPREFIX_TEST_FULL_DISK";

/// The folder with our notes on a file system that takes nothing more: waking must do without.
#[test]
fn a_full_disk_keeps_no_host_asleep() -> Result<()> {
    let host = Host::new()?;
    let test = "node::step::inside_a_full_disk";
    let script = "mount -t tmpfs -o size=128k,mode=700 none \"$1\" && exec \"$2\" --exact \"$3\" --nocapture";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-ec", script, "sh"]);
    command.arg(host.state()).arg(std::env::current_exe()?).arg(test);
    let output = command.env(FULL, host.root()).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let why = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.contains("woken on a full disk"), "{said}\n{why}");
    Ok(())
}

#[test]
fn inside_a_full_disk() -> Result<()> {
    let Some(root) = std::env::var_os(FULL) else { return Ok(()) };
    let host = Host::at(root.into());
    let before = host.manifests()?;
    host.perform(&lock())?;
    slept(host.ask("a", sleep(600, 50))?)?;
    let filler = host.state().join("filler");
    let full = fs::write(&filler, vec![1; 1 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    assert!(host.perform(&lock()).is_err(), "nothing can be noted any more");
    let reply = host.ask("b", wake())?;
    assert!(matches!(&reply, Reply::Done(_)), "{reply:?}");
    assert_eq!(host.manifests()?, before);
    assert!(host.status()?.asleep.is_none() && host.status()?.timer.is_none());
    // And nothing falls asleep whose way back can't be noted.
    let error = failed(host.ask("c", sleep(600, 50))?)?;
    assert_eq!(error.kind, NodeErrorKind::Io);
    assert_eq!(host.manifests()?, before);
    println!("woken on a full disk");
    Ok(())
}
