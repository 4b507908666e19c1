//! Runs contenders in turn and takes the figures of each run.

use std::fs;
use std::process::Stdio;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};

use super::contenders::{Contender, Step};

const SAMPLE_EVERY: Duration = Duration::from_millis(10);

/// The figures of one run.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    pub wall_seconds: f64,
    /// User and system time of all its processes and threads.
    pub cpu_seconds: f64,
    /// The most anonymous memory seen: pages of mapped files, which the kernel may drop at any
    /// time, are not in it.
    pub anonymous_bytes: u64,
    pub output_bytes: Option<u64>,
    pub stdout: String,
}

/// All measured runs of one contender; the n-th is of the n-th round.
pub struct Runs<'a> {
    pub contender: &'a Contender,
    pub samples: Vec<Sample>,
}

/// Every contender once in each round, so that a change of the machine's speed meets all of them.
pub fn rounds(contenders: &[Contender], rounds: u64) -> Result<Vec<Runs<'_>>> {
    let empty = |contender| Runs { contender, samples: Vec::new() };
    let mut results: Vec<_> = contenders.iter().map(empty).collect();
    for round in 0..=rounds {
        for result in &mut results {
            eprintln!("round {round} of {rounds}: {}", result.contender.name);
            let sample = run_and_clear(result.contender)?;
            // Round 0 loads programs and libraries and lets the disk find room.
            if round > 0 {
                result.samples.push(sample);
            }
        }
    }
    Ok(results)
}

fn run_and_clear(contender: &Contender) -> Result<Sample> {
    contender.output.make_room()?;
    let mut sample = run(&contender.steps)
        .with_context(|| format!("{} failed, which ends the bench", contender.name))?;
    sample.output_bytes =
        contender.output.take().with_context(|| format!("what {} left", contender.name))?;
    Ok(sample)
}

fn run(steps: &[Step]) -> Result<Sample> {
    let before = children_cpu_seconds()?;
    let mut whole = Sample::default();
    for step in steps {
        let part = run_step(step)?;
        whole.wall_seconds += part.wall_seconds;
        whole.anonymous_bytes = whole.anonymous_bytes.max(part.anonymous_bytes);
        whole.stdout += &part.stdout;
    }
    whole.cpu_seconds = children_cpu_seconds()? - before;
    Ok(whole)
}

fn run_step(step: &Step) -> Result<Sample> {
    let mut command = step.command();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let started = Instant::now();
    let child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
    let pid = child.id();
    let (ended, watch_end) = mpsc::channel::<()>();
    let watch = thread::spawn(move || peak_anonymous_bytes(pid, &watch_end));
    let output = child.wait_with_output()?;
    let wall_seconds = started.elapsed().as_secs_f64();
    drop(ended);
    let anonymous_bytes = watch.join().unwrap_or_default();
    if !output.status.success() {
        bail!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(Sample { wall_seconds, anonymous_bytes, stdout, ..Sample::default() })
}

/// Looks until the other end of `ended` is gone.
fn peak_anonymous_bytes(pid: u32, ended: &Receiver<()>) -> u64 {
    let status = format!("/proc/{pid}/status");
    let mut peak = 0;
    loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        peak = peak.max(anonymous_bytes(&text).unwrap_or(0));
        if ended.recv_timeout(SAMPLE_EVERY) != Err(RecvTimeoutError::Timeout) {
            return peak;
        }
    }
}

/// From the text of `/proc/PID/status`; a process that has just ended has no such line.
fn anonymous_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

/// Of all children waited for. Unlike the fields of `/proc/self/stat`, which count in hundredths
/// of a second, it resolves the short runs of the quick bench.
fn children_cpu_seconds() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("cannot read the CPU time")?;
    let seconds = [usage.user_time(), usage.system_time()]
        .map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6);
    Ok(seconds.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anonymous_memory_is_one_line_of_the_status() {
        let status = "VmRSS:\t  900 kB\nRssAnon:\t     128 kB\nRssFile:\t  772 kB\n";
        assert_eq!(anonymous_bytes(status), Some(128 << 10));
        assert_eq!(anonymous_bytes("Name:\tsh\nState:\tZ (zombie)\n"), None);
    }
}
