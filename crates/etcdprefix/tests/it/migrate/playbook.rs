//! `migrate render ansible`, run by ansible-core against the hosts. All that it says at -vvv is searched
//! for secrets.

use std::fs::{self, File};
use std::io::Read;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use etcdprefix_testkit::ansible_python;
use etcdprefix_testkit::hosts::{CONTROL_ADDRESS, HostsOptions, TestHost};
use etcdprefix_testkit::stores::OssServer;
use serde_json::{Value, json};

use super::Migration;
use super::bench::{CLUSTER, COMPONENTS, LIMIT, STATE};
use super::moved::{check_bundle, fetched, is_dead, is_the_cluster};
use crate::support::{PROGRAM, said};

/// The program, but steps can be held (`hold.STEP`), fail (`fail.STEP`, or after they are done
/// `undo.STEP`), or never answer (`hang.STEP`, or after they are done `stall.STEP`). Of a run with
/// another time to wake it is `STEP.other`.
const HOOKED: &str = r#"#!/bin/sh
step=$2
case "$*" in *" 41m "*) step=$step.other ;; esac
if [ -e /run/hooks/fail.$step ]; then echo "etcdprefix: made to fail" >&2; exit 1; fi
if [ -e /run/hooks/hold.$step ]; then
    touch /run/hooks/seen.$step
    while [ -e /run/hooks/hold.$step ]; do sleep 0.05; done
fi
for kind in hang stall; do
    if [ -e /run/hooks/$kind.$step ]; then
        if [ $kind = stall ]; then /opt/etcdprefix "$@" >/dev/null; fi
        while [ -e /run/hooks/$kind.$step ]; do sleep 0.05; done
        exit 1
    fi
done
if [ -e /run/hooks/undo.$step ]; then /opt/etcdprefix "$@" >/dev/null; exit 1; fi
exec /opt/etcdprefix "$@"
"#;

/// A playbook for the cluster.
struct Playbook {
    moving: Migration,
}

/// What a run of it ended with.
struct Ended(Output);

impl Playbook {
    fn start(options: HostsOptions) -> Result<Self> {
        let this = Self { moving: Migration::start(options)? };
        fs::write(this.path("program"), HOOKED)?;
        fs::create_dir(this.path("c"))?;
        let key = this.moving.store.key();
        for host in this.moving.hosts.all() {
            let folder = host.path("/opt/store-credentials");
            fs::create_dir(&folder)?;
            fs::write(folder.join("access-key-id"), &key.id)?;
            fs::write(folder.join("access-key-secret"), &key.secret)?;
        }
        let names = this.moving.hosts.all().iter().map(|host| host.name() + "\n");
        let hosts: String = names.collect();
        let user = "[masters:vars]\nansible_user=root\n";
        fs::write(this.path("inventory"), format!("[masters]\n{hosts}{user}"))?;
        this.render(&[])?;
        Ok(this)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.moving.path(name)
    }

    fn render(&self, more: &[&str]) -> Result<()> {
        let program = self.path("program");
        let program = program.to_str().context("no UTF-8")?;
        self.render_with(&[&["--binary", program], more].concat())
    }

    fn render_with(&self, more: &[&str]) -> Result<()> {
        let mut command = Command::new(PROGRAM);
        command.args(["migrate", "render", "ansible", "--cluster-id", CLUSTER]);
        command.args(["--store", "oss://bucket/moved/", "--region", OssServer::REGION]);
        command.args(["--store-endpoint", &format!("http://{}", self.moving.front.address())]);
        command.args(["--store-path-style", "--store-credentials", "/opt/store-credentials"]);
        command.arg("--bundle").arg(self.path("bundle.json")).args(more);
        let output = command.output()?;
        ensure!(output.status.success(), "{}", said(&output));
        Ok(fs::write(self.path("playbook.yml"), output.stdout)?)
    }

    /// Tasks that put to sleep, and that wake, are given up so soon.
    fn patience(&self, seconds: u32) -> Result<()> {
        let text = fs::read_to_string(self.path("playbook.yml"))?;
        let mut shorter = text.clone();
        for usual in [240, 300, 360] {
            let (from, to) = (format!("timeout: {usual}\n"), format!("timeout: {seconds}\n"));
            ensure!(shorter.contains(&from), "no task takes {usual} seconds");
            shorter = shorter.replace(&from, &to);
        }
        Ok(fs::write(self.path("playbook.yml"), shorter)?)
    }

    fn command(&self, more: &[&str]) -> Result<Command> {
        let ssh = self.moving.hosts.ssh();
        let mut command = Command::new("timeout");
        command.args(["-k", "10", &LIMIT.as_secs().to_string()]).arg(ansible_python()?);
        command.args(["-m", "ansible.cli.playbook", "-vvv", "-i"]).arg(self.path("inventory"));
        command.arg(self.path("playbook.yml")).args(more).env_clear();
        command.env("PATH", ssh.path()?).env("HOME", self.path("home")).env("LC_ALL", "C.UTF-8");
        command.env("TMPDIR", self.path("tmp")).env("ANSIBLE_NOCOLOR", "1");
        // As docs/ansible.md says for hosts that may go.
        let args = format!(
            "-F {} -o ControlMaster=auto -o ControlPersist=5 -o ControlPath={}/%C \
             -o ServerAliveInterval=2 -o ServerAliveCountMax=3",
            ssh.config().display(),
            self.path("c").display()
        );
        command.env("ANSIBLE_SSH_ARGS", args).env("ANSIBLE_TIMEOUT", "5");
        command.env("ANSIBLE_PIPELINING", "1").env("ANSIBLE_STRATEGY", "free");
        command.stdin(Stdio::null());
        command.current_dir(self.path("."));
        Ok(command)
    }

    /// What it says goes to files: nobody reads a pipe while the test waits.
    fn begin(&self, more: &[&str]) -> Result<Child> {
        let mut command = self.command(more)?;
        command.stdout(File::create(self.path("stdout"))?);
        command.stderr(File::create(self.path("stderr"))?);
        Ok(command.spawn()?)
    }

    fn end(&self, mut child: Child) -> Result<Ended> {
        let status = child.wait()?;
        let [stdout, stderr] = ["stdout", "stderr"].map(|name| fs::read(self.path(name)));
        Ok(self.judged(Output { status, stdout: stdout?, stderr: stderr? }))
    }

    fn run(&self, more: &[&str]) -> Result<Ended> {
        self.end(self.begin(more)?)
    }

    fn judged(&self, output: Output) -> Ended {
        let secrets = &self.moving.secrets;
        secrets.are_not_in("Ansible's output", said(&output).as_bytes());
        secrets.are_not_below(&self.path("home"));
        secrets.are_not_below(&self.path("tmp"));
        self.moving.hosts.all().iter().for_each(|host| secrets.are_not_on(host));
        Ended(output)
    }

    /// A step fails on a host, before or after it is done.
    fn hook(&self, host: usize, kind: &str, step: &str) -> Result<PathBuf> {
        let file = self.moving.hosts.host(host).path("/run/hooks").join(format!("{kind}.{step}"));
        fs::write(&file, "")?;
        Ok(file)
    }

    /// A run, while another that begins at the same time comes too late to put hosts to sleep.
    fn amid_another(&self) -> Result<Ended> {
        let (leader, _) = self.leader_and_other()?;
        let hosts = 1..=self.moving.hosts.all().len();
        let holds: Result<Vec<_>> =
            hosts.map(|host| self.moving.hold(host, "sleep.other")).collect();
        let mut other = self.command(&["-e", "etcdprefix_wake_after=41m"])?;
        let other = other.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let read = std::thread::spawn(|| other.wait_with_output());
        let holds = holds?;
        until(|| holds.iter().all(|hold| hold.is_waiting()))?;
        let hold = self.moving.hold(leader, "snapshot")?;
        let child = self.begin(&[])?;
        until(|| hold.is_waiting())?;
        drop(holds);
        let other = read.join().expect("it is read")?;
        self.judged(other).failed(&["another migration or step holds", "m1, m2, m3"]);
        hold.release();
        self.end(child)
    }

    fn leader_and_other(&self) -> Result<(usize, usize)> {
        let leader = self.moving.hosts.etcd().leader()?;
        Ok((leader, leader % self.moving.hosts.all().len() + 1))
    }

    fn bundle(&self) -> Result<Value> {
        let path = self.path("bundle.json");
        ensure!(fs::metadata(&path)?.permissions().mode() & 0o7777 == 0o600, "others may read it");
        check_bundle(&self.moving, &fs::read_to_string(path)?)
    }

    /// Everything is as it was, no bundle is there, and no object.
    fn is_as_before(&self) -> Result<()> {
        self.moving.is_as_before()?;
        ensure!(!self.path("bundle.json").exists(), "there is a bundle");
        let stored = self.moving.stored()?;
        ensure!(stored.is_empty(), "{stored:?}");
        Ok(())
    }
}

impl Ended {
    fn text(&self) -> String {
        said(&self.0)
    }

    #[track_caller]
    fn succeeded(&self) -> String {
        assert!(self.0.status.success(), "{}", self.text());
        self.text()
    }

    #[track_caller]
    fn failed(&self, words: &[&str]) {
        assert_eq!(self.0.status.code(), Some(2), "{}", self.text());
        for word in words {
            assert!(self.text().contains(word), "{word:?} is not in {}", self.text());
        }
    }
}

fn until(mut happened: impl FnMut() -> bool) -> Result<()> {
    let start = Instant::now();
    while !happened() {
        ensure!(start.elapsed() < LIMIT, "it does not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn sleeps(host: &TestHost) -> bool {
    COMPONENTS.iter().all(|name| !host.runs(name).unwrap())
}

#[test]
fn a_cluster_moves_by_ansible_and_comes_back_only_by_force() -> Result<()> {
    let book = Playbook::start(HostsOptions::default())?;
    book.run(&["--syntax-check"])?.succeeded();
    let told = book.run(&["--check"])?.succeeded();
    assert!(told.contains("node sleep --cluster-id") && told.contains("m1, m2, m3"), "{told}");
    book.is_as_before()?;
    book.run(&["--limit", "masters"])?.failed(&["`--limit`", "nothing was done"]);
    let told = book.amid_another()?.succeeded();
    assert!(told.contains("hand it to the managed side"), "{told}");
    assert!(book.moving.hosts.all().iter().all(sleeps));
    let bundle = book.bundle()?;
    let url = bundle["oss_url"].as_str().unwrap().to_owned();
    let revision = {
        let text = fs::read_to_string(book.path("inventory"))?;
        assert!(!text.contains("secret"));
        let listed = book.moving.stored()?;
        assert_eq!(listed.len(), 1, "{listed:?}");
        revision(&book)?
    };
    is_the_cluster(&book.moving, &fetched(&book.moving, &url)?, revision)?;
    // Once it is out, nothing wakes but by force; even if who made it can't be asked.
    book.run(&["-e", "action=rollback"])?.failed(&["NOT ALL HOSTS ARE AWAKE"]);
    assert!(book.moving.hosts.all().iter().all(sleeps) && !is_dead(&url));
    let leader = book.moving.hosts.host(book.leader_and_other()?.0);
    leader.cut()?;
    book.run(&["-e", "action=rollback"])?.failed(&["NOT ALL HOSTS ARE AWAKE"]);
    leader.heal()?;
    assert!(book.moving.hosts.all().iter().all(sleeps) && !is_dead(&url));
    let force = r#"{"action": "rollback", "etcdprefix_managed_side_never_started": true}"#;
    book.run(&["-e", force])?.succeeded();
    assert!(is_dead(&url));
    fs::remove_file(book.path("bundle.json"))?;
    book.is_as_before()
}

/// As the object's metadata says.
fn revision(book: &Playbook) -> Result<i64> {
    let mut command = Command::new(PROGRAM);
    command.args([
        "store",
        "ls",
        "oss://bucket/moved/",
        "-w",
        "json",
        "--region",
        OssServer::REGION,
    ]);
    command.args(["--endpoint", &format!("http://{}", book.moving.front.address())]);
    command.args(["--addressing", "path"]).env_clear().envs(&*book.moving.variables.borrow());
    let output = command.output()?;
    ensure!(output.status.success(), "{}", said(&output));
    let listed: Value = serde_json::from_slice(&output.stdout)?;
    Ok(listed["objects"][0]["revision"].as_i64().unwrap_or_default())
}

/// Whatever fails, and wherever: all is put back, and nothing is left.
#[test]
fn every_step_that_fails_is_undone_on_all_hosts() -> Result<()> {
    let book = Playbook::start(HostsOptions::default())?;
    let (leader, other) = book.leader_and_other()?;
    for (host, kind, step) in [
        (other, "undo", "sleep"),
        (leader, "undo", "snapshot"),
        (other, "fail", "fence"),
        (leader, "undo", "bundle"),
    ] {
        let hook = book.hook(host, kind, step)?;
        let ended = book.run(&[])?;
        fs::remove_file(hook)?;
        ended.failed(&["it failed; every host is as before this run", step]);
        book.is_as_before()?;
    }
    // The place for the bundle goes away while it is made.
    let folder = book.path("bundles");
    let at = json!({"etcdprefix_bundle_file": folder.join("b.json")}).to_string();
    fs::create_dir(&folder)?;
    let hold = book.moving.hold(leader, "bundle")?;
    let child = book.begin(&["-e", &at])?;
    until(|| hold.is_waiting())?;
    fs::remove_dir(&folder)?;
    hold.release();
    book.end(child)?.failed(&["bundle: ", "as before"]);
    fs::create_dir(&folder)?;
    fs::write(folder.join("b.json"), "another's")?;
    book.run(&["-e", &at])?.failed(&["No other bundle is there"]);
    assert_eq!(fs::read_to_string(folder.join("b.json"))?, "another's");
    // The snapshot is refused where nobody leads any more.
    let hold = book.moving.hold(leader, "snapshot")?;
    let child = book.begin(&[])?;
    until(|| hold.is_waiting())?;
    book.moving.hosts.etcd().move_leader(other)?;
    hold.release();
    book.end(child)?.failed(&["snapshot: ", "lead", "as before"]);
    book.is_as_before()
}

/// One host after the other: the third fails while two sleep. With a share that may fail others are tried.
#[test]
fn batches_that_sleep_wake_when_a_later_one_fails() -> Result<()> {
    let book = Playbook::start(HostsOptions::default())?;
    book.render(&["--serial", "1"])?;
    let hook = book.hook(3, "fail", "sleep")?;
    book.run(&[])?.failed(&["sleep: ", "made to fail", "as before"]);
    fs::remove_file(hook)?;
    book.is_as_before()?;
    let hook = book.hook(1, "fail", "sleep")?;
    let hold = book.moving.hold(2, "sleep")?;
    book.run(&[])?.failed(&["as before"]);
    assert!(!hold.is_waiting(), "a host was begun though one had failed");
    drop(hold);
    book.render(&["--serial", "1", "--max-fail-percentage", "50"])?;
    // A task that never ends is given up, and so is the one that would wake the host after it.
    fs::remove_file(hook)?;
    book.patience(8)?;
    let hooks = [book.hook(1, "stall", "sleep")?, book.hook(1, "hang", "wake")?];
    let hold = book.moving.hold(2, "sleep")?;
    let child = book.begin(&[])?;
    until(|| hold.is_waiting())?;
    hold.release();
    book.end(child)?.failed(&["NOT ALL HOSTS ARE AWAKE AS BEFORE"]);
    assert!(!book.path("bundle.json").exists() && sleeps(book.moving.hosts.host(1)));
    for host in [2, 3] {
        book.moving.hosts.host(host).wait_for("kube-apiserver", true)?;
    }
    hooks.iter().try_for_each(fs::remove_file)?;
    book.run(&["-e", "action=rollback"])?.succeeded();
    book.is_as_before()
}

#[test]
fn a_host_that_is_not_reached_is_named_and_the_others_wake() -> Result<()> {
    let book = Playbook::start(HostsOptions::default())?;
    let (leader, other) = book.leader_and_other()?;
    let lost = book.moving.hosts.host(other);
    let hold = book.moving.hold(leader, "snapshot")?;
    let child = book.begin(&[])?;
    until(|| hold.is_waiting())?;
    lost.cut()?;
    hold.release();
    let ended = book.end(child)?;
    ended.failed(&["NOT ALL HOSTS ARE AWAKE AS BEFORE", "its timer wakes it"]);
    for host in book.moving.hosts.all().iter().filter(|host| host.number() != other) {
        host.wait_for("kube-apiserver", true)?;
    }
    assert!(sleeps(lost));
    lost.heal()?;
    book.run(&["-e", "action=rollback"])?.succeeded();
    book.is_as_before()
}

/// Somebody who becomes root, a program from a URL, a bundle for one reader.
#[test]
fn a_cluster_moves_by_sudo_with_a_fetched_program_for_one_reader() -> Result<()> {
    let book = Playbook::start(HostsOptions { hosts: 1, ..HostsOptions::default() })?;
    let text = fs::read_to_string(book.path("inventory"))?;
    fs::write(book.path("inventory"), text.replace("ansible_user=root", "ansible_user=op"))?;
    fs::create_dir(book.path("served"))?;
    fs::copy(book.path("program"), book.path("served/program"))?;
    let _served = Served::below(&book.path("served"))?;
    let sum = Command::new("sha256sum").arg(book.path("program")).output()?.stdout;
    let sum = String::from_utf8(sum)?[..64].to_owned();
    let identity = age::x25519::Identity::generate();
    let recipient = identity.to_public().to_string();
    let url = format!("http://{CONTROL_ADDRESS}:8099/program");
    let fetched_from = |sha256: &str| -> Result<()> {
        let more = ["--become", "--recipient", &recipient, "--binary-url", &url];
        book.render_with(&[&more[..], &["--binary-sha256", sha256]].concat())
    };
    fetched_from(&"0".repeat(64))?;
    book.run(&[])?.failed(&["prepare: ", "as before"]);
    book.is_as_before()?;
    fetched_from(&sum)?;
    book.run(&[])?.succeeded();
    let sealed = fs::read(book.path("bundle.json"))?;
    book.moving.secrets.are_not_in("the sealed bundle", &sealed);
    let armored = String::from_utf8(sealed)?;
    let lines = armored.lines().filter(|line| !line.starts_with("-----"));
    let sealed = STANDARD.decode(lines.collect::<String>())?;
    let decryptor = age::Decryptor::new(&sealed[..])?;
    let mut text = String::new();
    let reader: &dyn age::Identity = &identity;
    decryptor.decrypt([reader].into_iter())?.read_to_string(&mut text)?;
    check_bundle(&book.moving, &text).map(drop)
}

/// Files over HTTP, until it is dropped.
struct Served(Child);

impl Served {
    fn below(folder: &Path) -> Result<Self> {
        let mut command = Command::new("python3");
        command.args(["-m", "http.server", "8099", "--bind", &CONTROL_ADDRESS.to_string()]);
        command.arg("--directory").arg(folder).stdout(Stdio::null()).stderr(Stdio::null());
        let served = Self(command.spawn()?);
        until(|| TcpStream::connect((CONTROL_ADDRESS, 8099)).is_ok())?;
        Ok(served)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn hostile_values_stay_values() -> Result<()> {
    let book = Playbook::start(HostsOptions { hosts: 1, ..HostsOptions::default() })?;
    let mark = book.path("mark");
    for (name, value) in [
        ("etcdprefix_cluster_id", format!("c1; touch {}", mark.display())),
        ("etcdprefix_cluster_id", format!("c1$(touch {})", mark.display())),
        ("etcdprefix_cluster_id", "c1\n".into()),
        ("etcdprefix_store", "oss://bucket/a b".into()),
        ("etcdprefix_region", "--help".to_uppercase()),
        ("etcdprefix_serial", "0".into()),
        ("etcdprefix_bundle_file", "bundle.json".into()),
        ("action", "other".into()),
    ] {
        let given = json!({name: value}).to_string();
        book.run(&["-e", &given])?.failed(&["Every variable is what it may be"]);
    }
    book.run(&["-e", r#"{"etcdprefix_recipients": ["age1x; id"]}"#])?
        .failed(&["is what it may be"]);
    assert!(!mark.exists());
    for (flag, value) in [
        ("--cluster-id", "c1{{x}}"),
        ("--group", "all:!m1"),
        ("--bundle", "/tmp/{{ x }}"),
        ("--binary", "relative"),
        ("--serial", "0"),
        ("--wake-after", "5m"),
        ("--region", "{{ x }}"),
    ] {
        let mut command = Command::new(PROGRAM);
        command.args(["migrate", "render", "ansible", "--store", "oss://bucket/"]);
        for (name, usual) in [("--cluster-id", "c1"), ("--bundle", "/b"), ("--binary", "/p")] {
            command.args([name, if name == flag { value } else { usual }]);
        }
        if !["--cluster-id", "--bundle", "--binary"].contains(&flag) {
            command.args([flag, value]);
        }
        let output = command.output()?;
        assert_eq!(output.status.code(), Some(2), "{flag}: {}", said(&output));
    }
    book.is_as_before()
}

/// What `migrate run` has handed out is nothing that Ansible knows of: it may not wake anybody.
#[test]
fn a_bundle_of_migrate_run_is_not_undone_by_ansible() -> Result<()> {
    let book = Playbook::start(HostsOptions { hosts: 1, ..HostsOptions::default() })?;
    book.moving.migrate("run --skip-rehearsal").succeeded();
    let host = book.moving.hosts.host(1);
    let bin = host.path(STATE).join("bin");
    fs::create_dir_all(&bin)?;
    fs::copy(book.path("program"), bin.join("etcdprefix"))?;
    fs::set_permissions(bin.join("etcdprefix"), fs::Permissions::from_mode(0o700))?;
    let forced = r#"{"action": "rollback", "etcdprefix_managed_side_never_started": true}"#;
    for way in ["action=rollback", forced] {
        book.run(&["-e", way])?.failed(&["NOT ALL HOSTS ARE AWAKE", "begun by something else"]);
        assert!(sleeps(host));
    }
    book.moving.migrate("rollback --managed-side-never-started").succeeded();
    book.is_as_before()
}
