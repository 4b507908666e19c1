//! A watch of a collection, event by event.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process::Process;

/// An open watch; it ends on drop.
pub struct Watch {
    _process: Process,
    lines: Receiver<String>,
}

impl Watch {
    pub(super) fn start(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = Process(command.spawn().context("cannot start kubectl")?);
        let stdout = process.0.stdout.take().context("kubectl has no standard output")?;
        let (sender, lines) = channel();
        // Ends with the process, at the end of its output.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { _process: process, lines })
    }

    /// The next event, waited for that long.
    pub fn next(&self, limit: Duration) -> Result<Value> {
        let line = self.lines.recv_timeout(limit);
        let line = line.with_context(|| format!("no event came within {limit:?}"))?;
        Ok(serde_json::from_str(&line)?)
    }

    /// The next events up to the one that `last` accepts, that one included.
    pub fn until(&self, limit: Duration, last: impl Fn(&Value) -> bool) -> Result<Vec<Value>> {
        let mut events = Vec::new();
        loop {
            let event = self.next(limit).with_context(|| format!("after {events:?}"))?;
            let found = last(&event);
            events.push(event);
            if found {
                return Ok(events);
            }
        }
    }
}
