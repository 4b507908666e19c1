use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStderr, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{Folder, Run};

const FILE: &str = "cluster_id: c1\nhosts: [root@m1]\nstore: {url: oss://b/}\n";

/// Runs in a folder whose files and credentials are all there is.
fn run(folder: &Folder, line: &str) -> Run {
    with(folder, line, &[])
}

fn with(folder: &Folder, line: &str, variables: &[(&str, &str)]) -> Run {
    let mut command = folder.command(&format!("etcdprefix {line}"));
    for name in ["OSS_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID"] {
        command.env_remove(name);
    }
    command.env("HOME", folder.path(".")).env_remove("ETCDPREFIX_HOME").env_remove("KUBECONFIG");
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A host where nobody listens.
fn nobody() -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("ssh://root@127.0.0.1:{port}")
}

fn flags() -> String {
    format!("--cluster-id c1 --host {} --store oss://b/", nobody())
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

#[test]
fn wrong_words_are_one_line_and_exit_2() {
    let folder = Folder::of(b"");
    fs::write(folder.path("c1.yaml"), FILE).unwrap();
    for (line, says) in [
        ("run", "--cluster-id, --host, --store missing; try: --config FILE"),
        ("status --host m1 --store oss://b", "--cluster-id missing"),
        ("run --config c1.yaml --bundle-extra", "not provided: --recipient <AGE>"),
        ("run --config c1.yaml --print-bundle --recipient age1x", "cannot be used with"),
        ("run --config c1.yaml --recipient nobody", "\"nobody\" is no recipient"),
        ("run --config c1.yaml --wake-after 20", "no duration such as 5s"),
        ("run --config c1.yaml --presign-lifetime 200h", "presign_seconds must be from 60"),
        ("rehearse --config c1.yaml --cluster-id C1", "\"C1\" is no cluster id"),
        ("rehearse --config c1.yaml --host=-oProxyCommand=x", "is no host"),
        ("aftercare --add-ons-installed", "not provided: --yes"),
        ("finish --config c1.yaml", "no migration was begun"),
        ("presign --config c1.yaml", "no migration was begun"),
        ("resume --config c1.yaml", "there is no run to resume"),
    ] {
        let run = run(&folder, &format!("migrate {line}"));
        let error = run.failed(2);
        assert!(error.contains(says), "{line}: {error}");
    }
    for (line, says) in [
        ("sleep", "not provided: --cluster-id <ID>"),
        ("sleep --cluster-id 1", "\"1\" is no cluster id"),
        ("snapshot --cluster-id c1", "not provided: --store <URL>"),
        ("bundle --cluster-id c1 --store s3://b/k --etcd-endpoints e --revision 1", "--output"),
        ("bundle --cluster-id c1 --revision 1 --print-bundle", "not provided: --store <URL>"),
        (
            "wake --cluster-id c1 --not-handed-out --managed-side-never-started",
            "cannot be used with",
        ),
        ("presign --cluster-id c1", "--output"),
    ] {
        let run = run(&folder, &format!("node {line}"));
        let error = run.failed(2);
        assert!(error.contains(says), "{line}: {error}");
    }
}

#[test]
fn a_wrong_file_is_told_with_its_line() {
    let folder = Folder::of(b"");
    let missing = run(&folder, "migrate status --config c1.yaml");
    assert!(missing.failed(4).contains("cannot read c1.yaml: No such file"));
    for (text, says) in [
        (format!("{FILE}presign_secs: 60\n"), "line 4"),
        (FILE.replace("hosts: [root@m1]", "hosts: root@m1"), "line 2"),
        (FILE.replace("c1", "x1"), "\"x1\" is no cluster id"),
        ("cluster_id: c1\n".to_owned(), "store"),
        (FILE.replace("hosts: [root@m1]\n", ""), "no hosts"),
        (FILE.replace("root@m1", "'ecs:i-1'"), "no section `assistant`"),
        (FILE.replace("[root@m1]", "[m1, m1]"), "m1 is named twice"),
    ] {
        fs::write(folder.path("c1.yaml"), text).unwrap();
        let run = run(&folder, "migrate status --config c1.yaml");
        let error = run.failed(2);
        assert!(error.starts_with("c1.yaml: ") && error.contains(says), "{error}");
    }
}

#[test]
fn a_host_that_nobody_reaches_is_exit_29() {
    let folder = Folder::of(b"");
    let run = run(&folder, &format!("migrate rehearse --quiet {}", flags()));
    let error = run.failed(29);
    assert!(error.contains("ssh://root@127.0.0.1:") && error.contains("; try: `ssh"), "{error}");
}

#[test]
fn a_status_names_who_is_silent_and_prints_the_rest() {
    let folder = Folder::of(b"");
    let state = folder.path("state");
    let local = format!("--host local --node-state {}", state.display());
    let run = run(&folder, &format!("migrate status {local} {} -w json", flags()));
    assert_eq!(run.code, Some(29), "{}", run.stderr);
    let status: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(status["phase"], "none");
    assert_eq!(status["hosts"][0]["status"]["asleep"], Value::Null);
    assert_eq!(status["hosts"][1]["status"], Value::Null);
    let error = status["hosts"][1]["error"].as_str().unwrap();
    assert!(run.stderr.contains(&format!("etcdprefix: no answer from {error}")), "{}", run.stderr);
    // Whoever only looks leaves no folder here.
    assert!(!folder.path(".etcdprefix").exists());
}

/// A run that was not rehearsed never gets to any host.
#[test]
fn a_run_without_rehearsal_is_exit_32() {
    let folder = Folder::of(b"");
    let run = run(&folder, &format!("migrate run {}", flags()));
    let error = run.failed(32);
    assert!(error.contains("not rehearsed") && error.contains("--skip-rehearsal"), "{error}");
}

#[test]
fn the_folder_is_private_and_where_it_is_said() {
    let folder = Folder::of(b"");
    let rehearse = |more: &str, variables: &[(&str, &str)]| {
        with(&folder, &format!("migrate rehearse --quiet {} {more}", flags()), variables)
    };
    rehearse("", &[]).failed(29);
    rehearse("", &[("ETCDPREFIX_HOME", "else/where")]).failed(29);
    rehearse("--folder own", &[("ETCDPREFIX_HOME", "unused")]).failed(29);
    for made in [".etcdprefix", ".etcdprefix/c1", "else", "else/where/c1", "own"] {
        assert_eq!(mode(&folder.path(made)), 0o700, "{made}");
    }
    assert!(!folder.path("unused").exists());
    for file in fs::read_dir(folder.path("own")).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
}

/// It would be made private by the journal, which must not happen to somebody else's.
#[test]
fn a_folder_that_is_open_to_others_is_left_alone() {
    let folder = Folder::of(b"");
    fs::create_dir(folder.path("open")).unwrap();
    fs::set_permissions(folder.path("open"), Permissions::from_mode(0o755)).unwrap();
    let run = run(&folder, &format!("migrate rehearse --folder open {}", flags()));
    let error = run.failed(4);
    assert!(error.contains("mode is 0755; try: chmod 700 open"), "{error}");
    assert_eq!(mode(&folder.path("open")), 0o755);
    assert_eq!(fs::read_dir(folder.path("open")).unwrap().count(), 0);
}

#[test]
fn credentials_go_to_the_steps_and_nowhere_else() {
    let folder = Folder::of(b"");
    let pair = [("OSS_ACCESS_KEY_ID", "full-s3cr3t-id"), ("OSS_ACCESS_KEY_SECRET", "full-s3cr3t")];
    let half = with(&folder, &format!("migrate rehearse {}", flags()), &pair[..1]);
    let error = half.failed(27);
    assert!(error.contains("OSS_ACCESS_KEY_ID is set without OSS_ACCESS_KEY_SECRET"), "{error}");
    assert!(error.contains("--host-credentials") && !error.contains("s3cr3t"), "{error}");
    let run = with(&folder, &format!("migrate rehearse {}", flags()), &pair);
    assert_eq!(run.code, Some(29), "{}", run.stderr);
    assert!(!run.stderr.contains("s3cr3t") && run.stderr.contains("lock FAILED"), "{}", run.stderr);
    let journal = folder.path(".etcdprefix/c1/journal.jsonl");
    assert!(!fs::read_to_string(journal).unwrap().contains("s3cr3t"));
    let own = format!("migrate rehearse --quiet --host-credentials {}", flags());
    with(&folder, &own, &pair[..1]).failed(29);
}

/// In a log, every line but the last one has its time.
#[test]
fn without_a_terminal_there_are_lines_with_times() {
    let folder = Folder::of(b"");
    let run = run(&folder, &format!("migrate rehearse {}", flags()));
    let mut lines: Vec<&str> = run.stderr.lines().collect();
    assert!(lines.pop().unwrap().starts_with("etcdprefix: ssh://root@"), "{}", run.stderr);
    assert!(lines.len() >= 2, "{}", run.stderr);
    for line in lines {
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(time.len() == 20 && time.ends_with('Z'), "{line}");
        assert!(rest.starts_with("etcdprefix: "), "{line}");
    }
    assert!(run.stderr.contains("Z etcdprefix: ssh://root@127.0.0.1:"), "{}", run.stderr);
}

#[test]
fn a_managed_api_that_does_not_answer_is_exit_39() {
    let folder = Folder::of(b"");
    let run = run(&folder, "migrate aftercare --kubeconfig nowhere");
    assert!(run.failed(39).contains("nowhere"), "{}", run.stderr);
}

/// Nothing of this host is asleep, whatever runs on it.
#[test]
fn a_host_tells_how_it_is() {
    let folder = Folder::of(b"");
    let status = run(&folder, "node status --state state -w json");
    let status: Value = serde_json::from_str(status.succeeded()).unwrap();
    for name in ["lock", "asleep", "timer", "fired", "fence"] {
        assert_eq!(status[name], Value::Null, "{name}");
    }
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    let wake = "node wake --cluster-id c1 --wait 0s --state state --manifests manifests -w json";
    let woken = run(&folder, wake);
    let woken: Value = serde_json::from_str(woken.succeeded()).unwrap();
    assert_eq!((&woken["already"], &woken["restored"]), (&true.into(), &Value::Array(vec![])));
}

/// Without static pods there is nothing to put to sleep; the report says so, and why that matters.
#[test]
fn what_speaks_against_it_is_exit_31_with_the_report() {
    let folder = Folder::of(b"");
    let local = "--host local --node-state state --cluster-id c1 --store oss://bucket/";
    let local = local.replace("state state", &format!("state {}", folder.path("s").display()));
    fs::create_dir(folder.path("none")).unwrap();
    for line in [
        format!("migrate rehearse --quiet {local}"),
        format!("migrate run --skip-rehearsal --quiet {local}"),
        "node preflight --no-cluster-checks --state s --manifests none".into(),
    ] {
        let told = run(&folder, &line);
        assert_eq!(told.code, Some(31), "{line}: {}", told.stderr);
        assert!(told.stdout.contains("  FAIL  kubelet: "), "{line}: {}", told.stdout);
        assert!(told.stdout.contains("        why: "), "{line}: {}", told.stdout);
        assert!(told.stderr.contains("speaking against it: "), "{line}: {}", told.stderr);
        assert_eq!(told.stderr.lines().count(), 1, "{line}: {}", told.stderr);
        let told = run(&folder, &format!("{line} -w json"));
        let report: Value = serde_json::from_str(&told.stdout).unwrap();
        let checks = report.get("checks").unwrap_or(&report["hosts"][0]["checks"]);
        let failed = checks.as_array().unwrap().iter().filter(|check| check["standing"] == "fail");
        assert!(failed.count() > 0, "{line}: {report}");
    }
    let status = run(&folder, "node status --state s -w json");
    let status: Value = serde_json::from_str(status.succeeded()).unwrap();
    assert_eq!((&status["lock"], &status["asleep"]), (&Value::Null, &Value::Null));
}

/// What is no call gets a reply all the same, with nothing of it.
#[test]
fn a_step_answers_whatever_it_is_asked() {
    let folder = Folder::of(b"");
    let run = run(&folder, "node step --state state");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let reply: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(reply["failed"]["kind"], "usage");
}

/// An `ssh` that never gets anywhere, as long as whoever called it lives.
const STUCK: &str = "#!/bin/sh\nwhile kill -0 $PPID 2>/dev/null; do sleep 0.1; done\n";

/// A run that waits for its host.
struct Waiting {
    child: Child,
    lines: BufReader<ChildStderr>,
}

impl Waiting {
    fn start(folder: &Folder) -> Self {
        fs::write(folder.path("ssh"), STUCK).unwrap();
        fs::set_permissions(folder.path("ssh"), Permissions::from_mode(0o755)).unwrap();
        let line = "etcdprefix migrate run --skip-rehearsal --folder own --cluster-id c1 --host m1 \
                    --store oss://b/";
        let path = format!("{}:{}", folder.path(".").display(), std::env::var("PATH").unwrap());
        let mut command = folder.command(line);
        command.env("PATH", path).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        Self { child, lines }
    }

    /// Reads on to a line that says so.
    fn says(&mut self, words: &str) {
        let mut seen = String::new();
        while !seen.lines().last().unwrap_or_default().contains(words) {
            assert_ne!(self.lines.read_line(&mut seen).unwrap(), 0, "{words} is not in:\n{seen}");
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).ok();
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A second Ctrl-C is what a frightened person does; it must not leave hosts asleep.
#[test]
fn only_a_third_signal_ends_what_puts_hosts_back() {
    let folder = Folder::of(b"");
    let mut run = Waiting::start(&folder);
    run.says("m1: lock begins");
    run.signal(Signal::HUP);
    run.says("stopping");
    run.signal(Signal::INT);
    run.says("still putting things back");
    assert_eq!(run.child.try_wait().unwrap(), None);
    while run.child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(100));
        run.signal(Signal::TERM);
    }
    assert_eq!(run.child.wait().unwrap().code(), Some(40));
}
