use std::process::{Child, Command};

use super::*;
use crate::node::fixture::Fixture;

/// Holds a step's lock as a worker does.
struct Worker(Child);

impl Worker {
    fn new(host: &Fixture, task: &str, trap: &str) -> Self {
        fs::create_dir_all(host.path("/state/steps")).unwrap();
        let lock = host.path(&format!("/state/steps/{task}.lock"));
        let script = r#"exec 9<>"$1"; flock 9; eval "$3"; echo -n "$$ $2" >&9; exec sleep 600"#;
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(&lock).args([task, trap]);
        let worker = Self(command.spawn().unwrap());
        while !guard::holder(&lock).ends_with(task) {
            thread::sleep(Duration::from_millis(5));
        }
        worker
    }

    fn lives(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn steps_that_are_named_end_and_no_others() {
    let host = Fixture::new();
    let (mut sleep, mut wake) = (Worker::new(&host, "sleep", ""), Worker::new(&host, "wake", ""));
    stop(&host.state(), &[Task::Sleep, Task::Snapshot]);
    assert!(!sleep.lives() && wake.lives());
}

#[test]
fn an_upload_that_does_not_heed_it_is_killed_and_what_puts_back_is_not() {
    let host = Fixture::new();
    let deaf = "trap '' TERM";
    let mut sleep = Worker::new(&host, "sleep", deaf);
    let mut snapshot = Worker::new(&host, "snapshot", deaf);
    stop_within(&host.state(), &[Task::Sleep, Task::Snapshot], Duration::from_millis(100));
    while snapshot.lives() {
        thread::sleep(Duration::from_millis(5));
    }
    assert!(sleep.lives());
}

#[test]
fn what_a_dead_step_left_names_nobody() {
    let host = Fixture::new();
    host.file("/state/steps/a.lock", &format!("{} sleep", std::process::id()));
    host.file("/state/steps/b.reply", "x");
    stop(&host.state(), &[Task::Sleep, Task::Snapshot]);
    assert_eq!(Task::holder(Some(Task::Wake)), format!("{} wake", std::process::id()));
    assert_eq!(Task::holder(None), std::process::id().to_string());
}
