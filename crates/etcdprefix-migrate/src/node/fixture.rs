//! A host in a folder: files, processes and programs as they would be found.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::node::guard::Guard;
use crate::node::state::{Kept, LockFile, State};
use crate::node::{Context, Launcher, Machine, lock};
use crate::protocol::{LiftFence, Owner, SleepRequest, WakeRequest};

pub(crate) struct Fixture {
    root: TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["proc", "bin", "state"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        fs::set_permissions(root.path().join("state"), fs::Permissions::from_mode(0o700)).unwrap();
        Self { root }
    }

    /// Five manifests, a kubelet without a runtime, and nothing that runs; our run holds it.
    pub(crate) fn with_control_plane() -> Self {
        let host = Self::new();
        lock::hold(&host.state(), &owner(), false).unwrap();
        host.process(1, "kubelet", &["/usr/bin/kubelet"]);
        for component in crate::node::COMPONENTS.into_iter().chain(["etcd"]) {
            host.pod(component);
        }
        host
    }

    pub(crate) fn manifest(component: &str) -> String {
        format!(
            "kind: Pod\nmetadata: {{name: {component}}}\nspec: {{containers: [{{name: {component}, command: [{component}]}}]}}\n"
        )
    }

    pub(crate) fn pod(&self, component: &str) {
        let path = format!("/etc/kubernetes/manifests/{component}.yaml");
        self.file(&path, &Self::manifest(component));
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn path(&self, absolute: &str) -> PathBuf {
        self.root().join(absolute.trim_start_matches('/'))
    }

    pub(crate) fn manifests(&self) -> PathBuf {
        self.path("/etc/kubernetes/manifests")
    }

    pub(crate) fn backup(&self) -> PathBuf {
        self.path("/etc/kubernetes/manifests.backup")
    }

    pub(crate) fn file(&self, absolute: &str, text: &str) {
        let path = self.path(absolute);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn process(&self, pid: u32, comm: &str, words: &[&str]) {
        let cmdline: String = words.iter().map(|word| format!("{word}\0")).collect();
        self.file(&format!("/proc/{pid}/comm"), &format!("{comm}\n"));
        self.file(&format!("/proc/{pid}/cmdline"), &cmdline);
        self.file(&format!("/proc/{pid}/stat"), &format!("{pid} ({comm}) S 1 1"));
    }

    /// A script on the path.
    pub(crate) fn program(&self, name: &str, script: &str) {
        let path = format!("/bin/{name}");
        self.file(&path, &format!("#!/bin/sh\n{script}\n"));
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.path(&path), mode).unwrap();
    }

    pub(crate) fn machine(&self) -> Machine {
        let root = self.root().to_owned();
        Machine { proc: root.join("proc"), programs: vec![root.join("bin")], root }
    }

    pub(crate) fn state(&self) -> State {
        State::open(&self.path("/state")).unwrap()
    }

    /// As long as it is held, a timer's process seems to live.
    pub(crate) fn live_timer(&self) -> Guard {
        Guard::try_take(&self.state().timer_lock(), "test").unwrap().unwrap()
    }

    /// The holder of the lock has not been heard of since the host was started last.
    pub(crate) fn silence_holder(&self) {
        let mut lock: LockFile = self.state().read(Kept::Lock).unwrap().unwrap();
        let long_ago = serde_json::json!({"boot": "another", "boot_ms": 1, "wall_ms": 1});
        lock.seen = serde_json::from_value(long_ago).unwrap();
        self.state().write(Kept::Lock, &lock).unwrap();
    }

    /// All files with what they are, and where they are.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, (Vec<u8>, u32, std::time::SystemTime)> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.path("/etc")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let (path, found) =
                    (entry.as_ref().unwrap().path(), entry.unwrap().metadata().unwrap());
                match found.is_dir() {
                    true => folders.push(path),
                    false => {
                        let content = fs::read(&path).unwrap();
                        let mode = found.permissions().mode();
                        files.insert(path, (content, mode, found.modified().unwrap()));
                    }
                }
            }
        }
        files
    }
}

/// A timer that only looks alive: a process that holds the lock is this one.
pub(crate) fn context(host: &Fixture) -> Context {
    Context {
        state: host.path("/state"),
        environment: BTreeMap::new(),
        interrupted: std::sync::Arc::default(),
        manifests: None,
        launcher: Launcher { program: "/bin/false".into(), args_before: Vec::new() },
        machine: host.machine(),
    }
}

pub(crate) fn owner() -> Owner {
    let cluster = "c123".parse().unwrap();
    Owner { run: "run-1".into(), cluster, by: "root@ctl, process 5".into() }
}

pub(crate) fn other_owner() -> Owner {
    Owner { run: "run-2".into(), ..owner() }
}

pub(crate) fn sleep_request() -> SleepRequest {
    SleepRequest {
        owner: owner(),
        also: Vec::new(),
        all: false,
        wake_after_seconds: 600,
        wait_seconds: 0,
    }
}

pub(crate) fn wake_request() -> WakeRequest {
    WakeRequest { owner: owner(), take_over: false, lift_fence: LiftFence::No, wait_seconds: 0 }
}
