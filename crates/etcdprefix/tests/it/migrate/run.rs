//! The command while it runs, and what it left.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::bench::{LIMIT, Migration};

/// A process of the command. Ended on drop.
pub struct Running<'a> {
    of: &'a Migration,
    line: String,
    child: Child,
    said: TempDir,
    /// Lines of the journal that were there before.
    lines_before: usize,
}

/// What it ended with.
pub struct Run {
    line: String,
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

impl<'a> Running<'a> {
    #[track_caller]
    pub fn start(of: &'a Migration, line: &str) -> Self {
        let said = TempDir::new().unwrap();
        let file = |name: &str| File::create(said.path().join(name)).unwrap();
        let lines_before = of.journal().len();
        let mut command = of.command(line);
        let child = command.stdout(file("stdout")).stderr(file("stderr")).spawn().unwrap();
        Self { of, line: line.to_owned(), child, said, lines_before }
    }

    /// Waits until it has written a line of the journal for which this is true.
    pub fn marked(&mut self, is_it: impl Fn(&Value) -> bool) -> Result<Value> {
        let (of, before) = (self.of, self.lines_before);
        let mut found = None;
        self.until(|| {
            found = of.journal().into_iter().skip(before).find(|line| is_it(line));
            found.is_some()
        })?;
        found.context("found just now")
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

    /// Waits until a step has begun or is done; `host` is empty for any.
    pub fn step(&mut self, mark: &str, step: &str, host: &str) -> Result<Value> {
        let is_host = |line: &Value| host.is_empty() || line["host"] == host;
        self.marked(|line| line["mark"] == mark && line["step"] == step && is_host(line))
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// SIGKILL. ssh's own processes, and what runs on hosts, go on.
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
        self.judge(&run);
        run
    }

    #[track_caller]
    fn judge(&self, run: &Run) {
        let secrets = &self.of.secrets;
        if !["--print-bundle", "--print-url"].iter().any(|flag| run.line.contains(flag)) {
            secrets.are_not_in("stdout", run.stdout.as_bytes());
        }
        secrets.are_not_in("stderr", run.stderr.as_bytes());
        for folder in [self.of.folder(), self.of.path("home"), self.of.path("tmp")] {
            secrets.are_not_below(&folder);
        }
        self.of.hosts.all().iter().for_each(|host| secrets.are_not_on(host));
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.said.path().join(name)).unwrap_or_default()
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
    /// It ended with this code; the text of stderr is returned.
    #[track_caller]
    pub fn code(&self, code: i32) -> &str {
        assert_eq!(self.status.code(), Some(code), "{self}");
        &self.stderr
    }

    /// It ended with this code, and its last words have all these.
    #[track_caller]
    pub fn failed(&self, code: i32, words: &[&str]) {
        self.code(code);
        let last = self.stderr.lines().last().unwrap_or_default();
        for word in words {
            assert!(last.contains(word), "{word:?} is not in the end of: {self}");
        }
    }

    /// It succeeded.
    #[track_caller]
    pub fn succeeded(&self) -> &str {
        self.code(0);
        &self.stdout
    }

    /// Its result, whatever its exit code.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    pub fn was_killed(&self) -> bool {
        self.status.signal() == Some(Signal::KILL.as_raw())
    }

    pub fn stdout(&self) -> &str {
        &self.stdout
    }

    pub fn stderr(&self) -> &str {
        &self.stderr
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { line, status, stdout, stderr } = self;
        write!(f, "{line}: {status}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }
}
