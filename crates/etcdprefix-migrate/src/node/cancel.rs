//! Ends steps that run without their callers.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::error::{NodeError, NodeErrorKind};
use crate::node::detach::Files;
use crate::node::guard::{self, Guard};
use crate::node::state::State;
use crate::node::{Context, detach, lock};
use crate::protocol::{Request, Response};

const POLL: Duration = Duration::from_millis(50);
/// Whoever only looks whether the step is at work holds its lock for moments.
const LOOK_LIMIT: Duration = Duration::from_millis(100);
/// As long as the way back of sleep; the orchestrator waits a little longer.
const LIMIT: Duration = Duration::from_secs(40);
/// What is not to go on when the host wakes ends within so long.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Asks the step's process to end, and waits until it has: sleep puts everything back first. A step
/// that is not at work is refused from now on: its call may still be on its way.
pub(crate) fn run(id: &str, context: &Context) -> Result<Response, NodeError> {
    let Some(state) = State::existing(&context.state)? else {
        return Ok(Response::Cancelled(false));
    };
    let files = Files::of(&state, id);
    if forbid(&state, &files)? {
        return Ok(Response::Cancelled(false));
    }
    let begun = Instant::now();
    let mut is_told = false;
    while is_running(&files)? {
        // A process that has just taken the lock may not have said yet which it is.
        is_told = is_told || tell(&files.lock, Signal::TERM)?;
        if begun.elapsed() >= LIMIT {
            let why = format!("step {id} was told to end and has not within {} s", LIMIT.as_secs());
            return Err(NodeError::new(NodeErrorKind::OutOfTime, why));
        }
        thread::sleep(POLL);
    }
    Ok(Response::Cancelled(true))
}

/// Whether it is not at work, and will not be. A host that nobody holds takes no step anyway, and
/// should not be left with traces.
fn forbid(state: &State, files: &Files) -> Result<bool, NodeError> {
    if lock::shown(state)?.is_none() {
        return Ok(!is_running(files)?);
    }
    detach::make_folder(state)?;
    let taken = Guard::take(&files.lock, "", LOOK_LIMIT);
    let taken = taken.map_err(NodeError::io("lock", &files.lock))?;
    let Some(_guard) = taken else { return Ok(false) };
    files.forbid(NodeError::new(NodeErrorKind::Interrupted, "cancelled before it had begun"))?;
    Ok(true)
}

fn is_running(files: &Files) -> Result<bool, NodeError> {
    guard::is_held(&files.lock).map_err(NodeError::io("look at", &files.lock))
}

/// Ends steps of these kinds, whoever called them. One that doesn't heed it is killed, unless it puts
/// things back itself.
pub(crate) fn stop(state: &State, tasks: &[Task]) {
    stop_within(state, tasks, STOP_LIMIT);
}

fn stop_within(state: &State, tasks: &[Task], limit: Duration) {
    let mut left = at_work(state, tasks);
    for (lock, _) in &left {
        let _ = tell(lock, Signal::TERM);
    }
    let begun = Instant::now();
    while !left.is_empty() && begun.elapsed() < limit {
        thread::sleep(POLL);
        left.retain(|(lock, _)| guard::is_held(lock).unwrap_or(false));
    }
    for (lock, _) in left.iter().filter(|(_, task)| *task == Task::Snapshot) {
        let _ = tell(lock, Signal::KILL);
    }
}

/// What a step's process does, as its lock says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Sleep,
    Wake,
    Snapshot,
}

impl Task {
    const ALL: [(Self, &str); 3] =
        [(Self::Sleep, "sleep"), (Self::Wake, "wake"), (Self::Snapshot, "snapshot")];

    /// Of those that run on without their callers.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        match request {
            Request::Sleep(_) => Some(Self::Sleep),
            Request::Wake(_) => Some(Self::Wake),
            Request::Snapshot(_) => Some(Self::Snapshot),
            _ => None,
        }
    }

    /// `123 sleep`, in a step's lock.
    pub(crate) fn holder(task: Option<Self>) -> String {
        let named = Self::ALL.iter().find(|(named, _)| Some(*named) == task);
        let name = named.map_or("", |(_, name)| name);
        format!("{} {name}", std::process::id()).trim_end().to_owned()
    }
}

fn at_work(state: &State, tasks: &[Task]) -> Vec<(PathBuf, Task)> {
    let entries = fs::read_dir(state.steps()).into_iter().flatten().flatten();
    let locks = entries.map(|entry| entry.path());
    let locks = locks.filter(|path| path.extension().is_some_and(|end| end == "lock"));
    let found = locks.filter_map(|lock| {
        let holder = guard::holder(&lock);
        let name = holder.split_once(' ')?.1;
        let (task, _) = Task::ALL.into_iter().find(|(_, named)| *named == name)?;
        let is_held = tasks.contains(&task) && guard::is_held(&lock).unwrap_or(false);
        is_held.then_some((lock, task))
    });
    found.collect()
}

/// The lock is looked at once more when the process can't be mistaken for another any more.
fn tell(lock: &Path, signal: Signal) -> Result<bool, NodeError> {
    let holder = guard::holder(lock);
    let pid = holder.split(' ').next().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
    let Some(process) = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
        return Ok(false);
    };
    if !guard::is_held(lock).map_err(NodeError::io("look at", lock))? {
        return Ok(false);
    }
    Ok(pidfd_send_signal(&process, signal).is_ok())
}

#[cfg(test)]
#[path = "cancel_tests.rs"]
mod tests;
