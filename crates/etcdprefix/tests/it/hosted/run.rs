//! The command while it runs, and what it left.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::bench::{Bench, KEY, LIMIT};

/// Of the store's key, presigned URLs and private keys in PEM or base64.
const MARKS: [&str; 5] = ["s3cr3t", "X-Amz-Signature=", "PRIVATE KEY", "UFJJVkFURSBLRVk", KEY];
/// Where secrets belong, or what they are half written to.
const EXCEPTED: [&str; 3] = ["etcd.yaml", "encryption-keys.yaml", "new.yaml"];

/// A process of the command. Ended on drop.
pub struct Running<'a> {
    of: &'a Bench<'a>,
    line: String,
    child: Child,
    said: TempDir,
}

/// What it ended with.
pub struct Run {
    line: String,
    status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl<'a> Running<'a> {
    #[track_caller]
    pub fn start(of: &'a Bench<'a>, line: &str) -> Self {
        let said = TempDir::new().unwrap();
        let file = |name: &str| File::create(said.path().join(name)).unwrap();
        let mut command = of.command(line);
        let child = command.stdout(file("stdout")).stderr(file("stderr")).spawn().unwrap();
        Self { of, line: line.to_owned(), child, said }
    }

    /// Waits until something has happened that it brings about.
    pub fn until(&mut self, mut happened: impl FnMut() -> bool) -> Result<()> {
        let start = Instant::now();
        loop {
            let has_ended = self.child.try_wait()?.is_some();
            if happened() {
                return Ok(());
            }
            ensure!(!has_ended, "{} ended before: {}", self.line, self.read("stderr"));
            ensure!(start.elapsed() < LIMIT, "{} goes on: {}", self.line, self.read("stderr"));
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until this step is announced in the journal of a run of its own.
    pub fn step(&mut self, step: &str) -> Result<()> {
        let of = self.of;
        self.until(|| {
            let journal = of.journal("folder").unwrap_or_default();
            let steps = journal["steps"].as_array().cloned().unwrap_or_default();
            journal["phase"] == "running" && steps.iter().any(|begun| begun["step"] == step)
                || step == "wake" && steps.iter().any(|begun| begun["step"] == step)
        })
    }

    /// Waits until its upload is held.
    pub fn held(&mut self) -> Result<()> {
        let of = self.of;
        self.until(|| of.front.borrow().done() > 0)
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// SIGKILL.
    #[track_caller]
    pub fn kill(mut self) -> Run {
        self.child.kill().unwrap();
        self.end()
    }

    /// Waits for its end, and searches for secrets.
    #[track_caller]
    pub fn end(mut self) -> Run {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < LIMIT, "{} goes on:\n{}", self.line, self.read("stderr"));
            std::thread::sleep(Duration::from_millis(5));
        };
        let (line, stdout, stderr) = (self.line.clone(), self.read("stdout"), self.read("stderr"));
        let run = Run { line, status, stdout, stderr };
        if !run.line.contains("--print-fragment") {
            no_secret("stdout", run.stdout.as_bytes());
        }
        no_secret("stderr", run.stderr.as_bytes());
        // Whoever was killed may leave etcd's certificates until the next comes.
        if run.status.code().is_some() {
            no_secret_below(&self.of.path("folder"));
        }
        no_secret("the HostedCluster", self.of.raw_hosted().unwrap().to_string().as_bytes());
        run
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.said.path().join(name)).unwrap_or_default()
    }
}

#[track_caller]
fn no_secret(place: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for mark in MARKS {
        assert!(!text.contains(mark), "{mark} is in {place}:\n{text}");
    }
}

#[track_caller]
fn no_secret_below(path: &Path) {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| no_secret_below(&entry.unwrap().path()));
    } else if !EXCEPTED.iter().any(|excepted| name.contains(excepted)) {
        no_secret(&path.display().to_string(), &fs::read(path).unwrap_or_default());
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Run {
    /// It ended with this code, and its last words have all these.
    #[track_caller]
    pub fn failed(&self, code: i32, words: &[&str]) {
        assert_eq!(self.status.code(), Some(code), "{self}");
        let last = self.stderr.lines().last().unwrap_or_default();
        for word in words {
            assert!(last.contains(word), "{word:?} is not in the end of: {self}");
        }
    }

    /// It succeeded.
    #[track_caller]
    pub fn succeeded(&self) -> &str {
        assert_eq!(self.status.code(), Some(0), "{self}");
        &self.stdout
    }

    /// Its result.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    pub fn was_killed(&self) -> bool {
        self.status.signal() == Some(Signal::KILL.as_raw())
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { line, status, stdout, stderr } = self;
        write!(f, "{line}: {status}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }
}
