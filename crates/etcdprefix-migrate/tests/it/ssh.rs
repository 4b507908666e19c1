//! The executor over SSH, on hosts with a real sshd.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use etcdprefix_migrate::config::SshConfig;
use etcdprefix_migrate::host::{Binaries, Host, HostError, Output, SshHost, Work};
use etcdprefix_testkit::block_on;
use etcdprefix_testkit::hosts::{Hosts, HostsOptions};
use tempfile::TempDir;

/// What is copied to the hosts: any program will do.
const PROGRAM: &str = r#"#!/bin/sh
case "$1" in
--version) echo program 1 ;;
echo) shift; cat; printf '%s.' "$@"; id -un >&2; exit 7 ;;
sleep) sleep 60 ;;
much) head -c 20000000 /dev/zero ;;
die) kill -KILL $$ ;;
esac
"#;

struct Bench {
    hosts: Hosts,
    folder: TempDir,
    program: PathBuf,
}

impl Bench {
    fn new() -> Result<Self> {
        let hosts = Hosts::start(HostsOptions::bare(1))?;
        let folder = TempDir::new()?;
        let program = folder.path().join("program");
        fs::write(&program, PROGRAM)?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        Ok(Self { hosts, folder, program })
    }

    fn host(&self, to: &str, change: impl FnOnce(&mut SshConfig)) -> Result<SshHost> {
        let mut options =
            SshConfig { config: Some(self.hosts.ssh().config()), ..SshConfig::default() };
        change(&mut options);
        let binaries = Binaries::new(BTreeMap::new(), self.program.clone());
        let state = Path::new("/var/lib/etcdprefix");
        Ok(SshHost::new(to, &options, binaries, state, Arc::new(TempDir::new()?)))
    }

    fn bin(&self) -> PathBuf {
        self.hosts.host(1).path("/var/lib/etcdprefix/bin")
    }
}

fn work(args: &[&str], stdin: &str, seconds: u64) -> Work {
    let args = args.iter().map(|&word| word.to_owned()).collect();
    let (stdin, limit) = (stdin.as_bytes().to_vec().into(), Duration::from_secs(seconds));
    Work { args, stdin, limit }
}

async fn run(host: &SshHost, args: &[&str], stdin: &str) -> Result<Output, HostError> {
    host.run(&work(args, stdin, 30)).await
}

fn failure<T>(outcome: Result<T, HostError>) -> HostError {
    outcome.map(|_| ()).unwrap_err()
}

#[test]
fn the_binary_is_copied_once_and_again_if_it_is_another() -> Result<()> {
    let bench = Bench::new()?;
    block_on(async {
        let first = bench.host("m1", |_| ())?.install().await?;
        assert!(first.copied);
        let there = bench.hosts.host(1).path(&first.path);
        assert_eq!(fs::read(&there)?, PROGRAM.as_bytes());
        assert_eq!(fs::metadata(&there)?.permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(bench.bin())?.permissions().mode() & 0o777, 0o700);
        assert!(!bench.host("m1", |_| ())?.install().await?.copied);
        // Damaged there: the hash tells.
        fs::write(&there, "#!/bin/sh\nexit 0\n")?;
        let mended = bench.host("m1", |_| ())?.install().await?;
        assert!(mended.copied);
        assert_eq!(fs::read(&there)?, PROGRAM.as_bytes());
        fs::write(&bench.program, format!("{PROGRAM}# new\n"))?;
        let second = bench.host("m1", |_| ())?.install().await?;
        assert!(second.copied && second.path != first.path);
        assert_eq!(fs::read_dir(bench.bin())?.count(), 2, "no leftovers of copying");
        Ok(())
    })
}

#[test]
fn words_and_input_arrive_as_they_are() -> Result<()> {
    let bench = Bench::new()?;
    block_on(async {
        let odd = ["echo", "$(id)", "a b", "'", "\"", "*", "", "x;y", "é\\"];
        let host = bench.host("m1", |_| ())?;
        let output = run(&host, &odd, "in\nput").await?;
        assert_eq!(output.code, Some(7));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "in\nput$(id).a b.'.\".*..x;y.é\\.");
        assert_eq!(output.stderr, "root");
        let as_op = bench.host("op@m1", |options| options.becomes_root = true)?;
        let output = run(&as_op, &odd, "in").await?;
        assert_eq!((output.code, output.stderr.as_str()), (Some(7), "root"));
        Ok(())
    })
}

#[test]
fn who_may_not_is_told_apart_from_what_is_not_there() -> Result<()> {
    let bench = Bench::new()?;
    block_on(async {
        let guest = bench.host("guest@m1", |options| options.becomes_root = true)?;
        let refused = failure(guest.install().await);
        assert!(matches!(&refused, HostError::Refused(why) if why.contains("sudo")), "{refused:?}");
        let stranger = fs::read_to_string(bench.hosts.ssh().known_hosts())?.replace("AAAA", "AAAB");
        let known = bench.folder.path().join("known");
        fs::write(&known, stranger)?;
        let config = fs::read_to_string(bench.hosts.ssh().config())?;
        let trusted = bench.hosts.ssh().known_hosts().display().to_string();
        let other = bench.folder.path().join("config");
        fs::write(&other, config.replace(&trusted, &known.display().to_string()))?;
        let unknown = bench.host("m1", |options| options.config = Some(other))?;
        let refused = failure(unknown.install().await);
        assert!(matches!(refused, HostError::Refused(_)), "{refused:?}");
        let nowhere = failure(bench.host("10.77.0.99", |_| ())?.install().await);
        assert!(matches!(nowhere, HostError::Unreachable(_)), "{nowhere:?}");
        fs::write(&bench.program, "#!/bin/sh\nexit 1\n")?;
        let dead = failure(bench.host("m1", |_| ())?.install().await);
        assert!(
            matches!(&dead, HostError::Binary(why) if why.contains("does not run")),
            "{dead:?}"
        );
        Ok(())
    })
}

#[test]
fn a_lost_connection_is_made_anew() -> Result<()> {
    let bench = Bench::new()?;
    block_on(async {
        let host = bench.host("m1", |_| ())?;
        run(&host, &["echo"], "").await.map(|_| ())?;
        let ended = failure(host.run(&work(&["sleep"], "", 1)).await);
        assert!(matches!(ended, HostError::OutOfTime(_)), "{ended:?}");
        bench.hosts.host(1).shell("pkill -f '[s]shd: root' || true")?;
        let lost = run(&host, &["echo"], "").await;
        let again = match lost {
            Ok(output) => output,
            Err(HostError::Unreachable(_)) => run(&host, &["echo"], "").await?,
            Err(other) => return Err(other.into()),
        };
        assert_eq!(again.code, Some(7));
        bench.hosts.host(1).cut()?;
        let cut = failure(run(&host, &["echo"], "").await);
        assert!(matches!(cut, HostError::Unreachable(_) | HostError::OutOfTime(_)), "{cut:?}");
        bench.hosts.host(1).heal()?;
        let mut back = run(&host, &["echo"], "").await;
        if back.is_err() {
            back = run(&host, &["echo"], "").await;
        }
        assert_eq!(back?.code, Some(7));
        Ok(())
    })
}

#[test]
fn a_host_that_answers_too_much_is_not_believed() -> Result<()> {
    let bench = Bench::new()?;
    block_on(async {
        let host = bench.host("m1", |_| ())?;
        let much = failure(run(&host, &["much"], "").await);
        assert!(matches!(much, HostError::Binary(_)), "{much:?}");
        assert_eq!(run(&host, &["echo"], "").await?.code, Some(7));
        Ok(())
    })
}
