//! The first process of a host, `tools/hosts/init.py`: through it everything else is started there.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::process::{Process, last_lines};

/// Debian's own, or an image's: a host has the machine's `/usr`, but not its `/root` or `/opt`.
const PYTHONS: [&str; 2] = ["/usr/bin/python3", "/usr/local/bin/python3"];

/// Its folder also has what it says if it fails.
pub struct Init {
    /// Ends last, with all of its host.
    unshare: Process,
    pipes: Mutex<Pipes>,
}

struct Pipes {
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Init {
    /// Starts it on `init.json` of the host's folder, in namespaces of its own.
    pub fn spawn(place: &Path) -> Result<Self> {
        let mut command = Command::new("unshare");
        command.args([
            "--net",
            "--mount",
            "--pid",
            "--uts",
            "--fork",
            "--mount-proc",
            "--kill-child",
        ]);
        command.arg(python()?).arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tools/hosts/init.py"));
        command.arg(place.join("init.json")).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(fs::File::create(place.join("init.log"))?);
        let mut unshare = Process(command.spawn().context("cannot start unshare")?);
        let orders = unshare.0.stdin.take().context("it was piped")?;
        let answers = BufReader::new(unshare.0.stdout.take().context("it was piped")?);
        Ok(Self { unshare, pipes: Mutex::new(Pipes { orders, answers }) })
    }

    /// Waits until the host has its folders.
    pub fn settle(&self, place: &Path) -> Result<()> {
        let said = self.lock().answer()?;
        let log = place.join("init.log");
        ensure!(said == "ready\n", "a host can't be made; this needs root:\n{}", last_lines(&log));
        Ok(())
    }

    /// Starts a process of the host; its output is added to a file of the host. Returns its id in the host.
    pub fn start(&self, log: &str, arguments: &[&str]) -> Result<u32> {
        let mut order = vec!["start", log];
        order.extend(arguments);
        let said = self.order(json!(order))?;
        said.trim().parse().with_context(|| format!("no process id for {arguments:?}: {said}"))
    }

    /// Ends a process that [`Self::start`] started, if it has not ended, and waits until it is gone.
    pub fn kill(&self, process: u32) -> Result<()> {
        self.order(json!(["kill", process])).map(drop)
    }

    /// Sends a signal to a process that [`Self::start`] started and that runs.
    pub fn signal(&self, process: u32, signal: Signal) -> Result<()> {
        let said = self.order(json!(["signal", process, signal.as_raw()]))?;
        ensure!(said == "sent\n", "process {process} has ended");
        Ok(())
    }

    /// The id, on this machine, of a process with the host's network; its other namespaces are
    /// those of [`Self::process`].
    pub fn outer(&self) -> u32 {
        self.unshare.0.id()
    }

    /// The first process's id on this machine.
    pub fn process(&self) -> Result<u32> {
        let outer = self.outer();
        let children = fs::read_to_string(format!("/proc/{outer}/task/{outer}/children"))?;
        children.trim().parse().context("the host has ended")
    }

    fn order(&self, order: Value) -> Result<String> {
        let mut pipes = self.lock();
        writeln!(pipes.orders, "{order}")?;
        pipes.answer()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Pipes> {
        self.pipes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pipes {
    fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line)
    }
}

impl Drop for Init {
    fn drop(&mut self) {
        let process = self.process().ok().and_then(|it| Pid::from_raw(it.try_into().ok()?));
        if let Some(process) = process {
            // The kernel ends every other process of the host before this one is gone, and `unshare` waits for it.
            let ended = kill_process(process, Signal::KILL).is_ok();
            if ended {
                let _ = self.unshare.0.wait();
            }
        }
    }
}

/// A Python that hosts have too.
pub fn python() -> Result<&'static str> {
    let found = PYTHONS.into_iter().find(|python| Path::new(python).is_file());
    found.context("no python3 in /usr: install Debian's package python3")
}
