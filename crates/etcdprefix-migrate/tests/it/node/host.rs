//! A host in a folder, whose steps run in processes of their own.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use etcdprefix_migrate::error::NodeError;
use etcdprefix_migrate::node::perform;
use etcdprefix_migrate::protocol::{
    Call, LiftFence, NodeStatus, Owner, Reply, Request, Response, SleepRequest, WakeRequest,
};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;

use super::program;

const SYSTEMCTL: &str = r#"
import pathlib, shlex, subprocess, sys

FOLDER = pathlib.Path(ROOT) / "etc/systemd/system"

def start(unit):
    line = next(line for line in unit.read_text().splitlines() if line.startswith("ExecStart="))
    words = shlex.split(line.removeprefix("ExecStart="))
    words = [word.replace("%%", "%").replace("$$", "$") for word in words]
    with open("/dev/null", "r+") as null:
        subprocess.Popen(words, stdin=null, stdout=null, stderr=null, start_new_session=True)

match sys.argv[1:]:
    case ["start", name]:
        start(FOLDER / name)
    case ["boot"]:
        for unit in (FOLDER / "multi-user.target.wants").iterdir():
            start(unit)
with open(pathlib.Path(ROOT) / "systemctl.log", "a") as log:
    print(*sys.argv[1:], file=log)
"#;

/// Nothing here takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Host {
    root: PathBuf,
    /// Removed with us, unless it is another's.
    _folder: Option<TempDir>,
}

impl Host {
    /// Five manifests, a kubelet and no runtime; our run holds it.
    pub fn new() -> Result<Self> {
        let folder = TempDir::new()?;
        let host = Self { root: folder.path().to_owned(), _folder: Some(folder) };
        for component in ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
            let container = format!("{{name: {component}, command: [{component}]}}");
            let spec = format!("spec: {{containers: [{container}]}}");
            let text = format!("kind: Pod\nmetadata: {{name: {component}}}\n{spec}\n");
            host.file(&format!("etc/kubernetes/manifests/{component}.yaml"), &text)?;
        }
        host.process(1, "kubelet")?;
        host.perform(&lock())?;
        Ok(host)
    }

    /// One that is there already.
    pub fn at(root: PathBuf) -> Self {
        Self { root, _folder: None }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.root().join(relative)
    }

    pub fn file(&self, relative: &str, text: &str) -> Result<()> {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().context("no folder")?)?;
        Ok(fs::write(path, text)?)
    }

    /// As the host's process table shows it.
    pub fn process(&self, pid: u32, name: &str) -> Result<()> {
        self.file(&format!("proc/{pid}/comm"), &format!("{name}\n"))?;
        self.file(&format!("proc/{pid}/cmdline"), &format!("{name}\0"))
    }

    pub fn api_server(&self) -> Result<()> {
        self.process(31, "kube-apiserver")
    }

    pub fn end_api_server(&self) -> Result<()> {
        Ok(fs::remove_dir_all(self.path("proc/31"))?)
    }

    /// A runtime that answers with this script.
    pub fn crictl(&self, script: &str) -> Result<()> {
        self.file("run/containerd/containerd.sock", "")?;
        self.program("crictl", script)
    }

    /// A program on the path.
    pub fn program(&self, name: &str, script: &str) -> Result<()> {
        let path = format!("bin/{name}");
        self.file(&path, &format!("#!/bin/sh\n{script}\n"))?;
        Ok(fs::set_permissions(self.path(&path), fs::Permissions::from_mode(0o755))?)
    }

    /// A systemd that starts what is in its folder, and knows nothing else: `systemctl start NAME`, and
    /// `systemctl boot` for all that a start of the host starts.
    pub fn systemd(&self) -> Result<()> {
        fs::create_dir_all(self.path("run/systemd/system"))?;
        let script = format!("#!/usr/bin/env python3\nROOT = {:?}\n{SYSTEMCTL}", self.root);
        self.file("bin/systemctl", &script)?;
        Ok(fs::set_permissions(self.path("bin/systemctl"), fs::Permissions::from_mode(0o755))?)
    }

    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// Names and contents of all that sleep could move.
    pub fn manifests(&self) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
        let mut found = BTreeMap::new();
        for folder in ["manifests", "manifests.backup"] {
            let folder = self.path("etc/kubernetes").join(folder);
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let path = entry?.path();
                found.insert(path.clone(), fs::read(path)?);
            }
        }
        Ok(found)
    }

    pub fn is_asleep(&self) -> bool {
        !self.path("etc/kubernetes/manifests/kube-apiserver.yaml").exists()
    }

    /// In this process.
    pub fn perform(&self, request: &Request) -> Result<Response, NodeError> {
        let context = program::context(self.root(), &self.state());
        perform(request, &context.expect("this program"))
    }

    pub fn status(&self) -> Result<NodeStatus> {
        match self.perform(&Request::Status)? {
            Response::Status(status) => Ok(status),
            _ => bail!("no status"),
        }
    }

    /// A caller of a step, which has its call.
    pub fn call(&self, call: &Call) -> Result<Caller> {
        let launcher = program::launcher(self.root())?;
        let mut command = Command::new(launcher.program);
        command.args(launcher.args_before).args(["step", "--state"]).arg(self.state());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut caller = Caller(command.spawn()?);
        let mut stdin = caller.0.stdin.take().context("no stdin")?;
        stdin.write_all(&serde_json::to_vec(call)?)?;
        Ok(caller)
    }

    /// A step from the call to the reply.
    pub fn ask(&self, id: &str, request: Request) -> Result<Reply> {
        self.call(&call(id, request))?.reply()
    }

    /// The process that does a step.
    pub fn worker(&self, id: &str) -> Result<u32> {
        let path = self.state().join(format!("steps/{id}.lock"));
        until(|| {
            let holder = fs::read_to_string(&path).unwrap_or_default();
            Ok(holder.split_once(' ').and_then(|(pid, _)| pid.parse().ok()))
        })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // A timer ends by itself when nothing is left to wake; so it does if a test failed.
        let text = fs::read_to_string(self.state().join("timer.lock")).unwrap_or_default();
        let Some(pid) = text.strip_prefix("process ").and_then(|pid| pid.parse().ok()) else {
            return;
        };
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&words).contains(&*self.root.to_string_lossy()) {
            kill(pid);
        }
    }
}

/// Somebody who waits for a step, and may be killed.
pub struct Caller(Child);

impl Caller {
    /// It sees nothing of it, as if the connection broke.
    pub fn kill(self) {
        drop(self);
    }

    pub fn reply(mut self) -> Result<Reply> {
        let stdout = self.0.stdout.take().context("no stdout")?;
        Ok(serde_json::from_reader(stdout)?)
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn call(id: &str, request: Request) -> Call {
    Call { id: id.into(), limit_seconds: 60, request, environment: BTreeMap::new() }
}

pub fn owner() -> Owner {
    let cluster = "c123".parse().expect("an id");
    Owner { run: "run-1".into(), cluster, by: "test".into() }
}

pub fn lock() -> Request {
    Request::Lock { owner: owner(), take_over: false }
}

pub fn sleep(wake_after_seconds: u64, wait_seconds: u64) -> Request {
    let (also, all) = (Vec::new(), false);
    Request::Sleep(SleepRequest { owner: owner(), also, all, wake_after_seconds, wait_seconds })
}

pub fn wake() -> Request {
    let (take_over, lift_fence) = (false, LiftFence::No);
    Request::Wake(WakeRequest { owner: owner(), take_over, lift_fence, wait_seconds: 0 })
}

pub fn renew(wake_after_seconds: u64) -> Request {
    Request::Renew { owner: owner(), wake_after_seconds }
}

pub fn slept(reply: Reply) -> Result<etcdprefix_migrate::protocol::Slept> {
    match reply {
        Reply::Done(done) => match *done {
            Response::Slept(slept) => Ok(slept),
            other => bail!("not slept: {other:?}"),
        },
        Reply::Failed(error) => Err(error.into()),
    }
}

pub fn failed(reply: Reply) -> Result<NodeError> {
    match reply {
        Reply::Failed(error) => Ok(error),
        Reply::Done(done) => bail!("done: {done:?}"),
    }
}

/// Waits for something that is about to happen.
pub fn until<T>(mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        ensure!(begun.elapsed() < PATIENCE, "nothing happened within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

pub fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let _ = pid.map(|pid| kill_process(pid, Signal::KILL));
}

pub fn lives(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid).is_ok())
}
