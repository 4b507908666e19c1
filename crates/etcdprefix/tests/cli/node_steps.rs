//! Steps of a host as an orchestrator calls them, over the program itself.

use std::fs;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::Folder;

/// Nothing here takes so long.
const PATIENCE: Duration = Duration::from_secs(120);
const SECRET: &str = "full-s3cr3t-full";

/// Ended with us.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process that is taken for an API server as long as it lives.
fn api_server(folder: &Folder) -> Process {
    let script = folder.path("kube-apiserver");
    fs::write(&script, "read line\n").unwrap();
    Process(Command::new("/bin/sh").arg(script).stdin(Stdio::piped()).spawn().unwrap())
}

fn call(folder: &Folder, id: &str, request: &Value) -> Process {
    let (state, manifests) = (folder.path("state"), folder.path("manifests"));
    let line = "etcdprefix node step";
    let mut command = folder.command(line);
    command.arg("--state").arg(state).arg("--manifests").arg(manifests);
    command.env("OSS_ACCESS_KEY_SECRET", SECRET).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = Process(command.spawn().unwrap());
    let call = json!({"id": id, "limit_seconds": 100, "request": request});
    process.0.stdin.take().unwrap().write_all(call.to_string().as_bytes()).unwrap();
    process
}

fn reply(mut process: Process) -> Value {
    serde_json::from_reader(process.0.stdout.take().unwrap()).unwrap()
}

fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "nothing happened");
        sleep(Duration::from_millis(5));
    }
}

/// The number in a lock's words.
fn holder(folder: &Folder, lock: &str) -> u32 {
    until(|| {
        let text = fs::read_to_string(folder.path("state").join(lock)).unwrap_or_default();
        text.split(' ').find_map(|word| word.parse().ok())
    })
}

#[test]
fn a_cancelled_sleep_is_put_back_and_its_processes_hold_no_secret() {
    let folder = Folder::of(b"");
    fs::create_dir(folder.path("manifests")).unwrap();
    let manifest = folder.path("manifests/kube-apiserver.yaml");
    let pod = "kind: Pod\nmetadata: {name: kube-apiserver}\n\
               spec: {containers: [{name: kube-apiserver, command: [kube-apiserver]}]}\n";
    fs::write(&manifest, pod).unwrap();
    let _server = api_server(&folder);
    let owner = json!({"run": "run-1", "cluster": "c1", "by": "test"});
    let asleep = json!({"sleep": {"owner": owner, "also": [], "all": false,
        "wake_after_seconds": 600, "wait_seconds": 90}});

    let late = reply(call(&folder, "early", &asleep));
    assert_eq!(late["failed"]["kind"], "locked", "nobody holds the host yet: {late}");
    assert!(manifest.exists());

    let locked = reply(call(&folder, "l", &json!({"lock": {"owner": owner, "take_over": false}})));
    assert_eq!(locked["done"]["status"]["lock"]["owner"]["run"], "run-1", "{locked}");
    let sleeping = call(&folder, "a", &asleep);
    until(|| (!manifest.exists()).then_some(()));
    for pid in [holder(&folder, "steps/a.lock"), holder(&folder, "timer.lock")] {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
        let has = environment.windows(SECRET.len()).any(|part| part == SECRET.as_bytes());
        assert!(!has, "process {pid}");
    }
    let cancelled = reply(call(&folder, "c", &json!({"cancel": {"id": "a"}})));
    assert_eq!(cancelled, json!({"done": {"cancelled": true}}));
    assert_eq!(fs::read_to_string(&manifest).unwrap(), pod);
    assert_eq!(reply(sleeping)["failed"]["kind"], "interrupted");
    let unlocked =
        reply(call(&folder, "u", &json!({"unlock": {"owner": owner, "working_dir": null}})));
    assert!(unlocked["done"].is_object(), "{unlocked}");
    // The timer ends within a second, and takes its lock's file with it.
    let is_empty = |found: fs::ReadDir| found.count() == 0;
    until(|| fs::read_dir(folder.path("state")).map_or(true, is_empty).then_some(()));
}
