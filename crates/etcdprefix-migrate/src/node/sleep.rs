//! Puts the control plane of a host to sleep: moves manifests out of the kubelet's sight, and waits
//! until nothing of them runs any more.
//!
//! ```text
//! timer armed -> record on the disk -> one rename a file -> both folders on the disk -> wait
//!      \___________ any failure, any time: all is put back, timer and record are removed __/
//! ```

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{NodeError, NodeErrorKind};
use crate::node::clock::{now_ms, text_of};
use crate::node::disk::{self, Fingerprint};
use crate::node::kubelet::{Kubelet, Layout};
use crate::node::manifest::{StaticPod, names};
use crate::node::plan;
use crate::node::runtime::Runtimes;
use crate::node::state::{Kept, Moved, Record, State};
use crate::node::{Context, lock, timer, wake};
use crate::protocol::{SleepRequest, Slept};

/// Between two looks at what runs; asking a runtime costs some milliseconds of its own.
const POLL: Duration = Duration::from_millis(300);
/// For a look when the time is up.
const LAST_LOOK: Duration = Duration::from_secs(2);
/// Nothing is gone that is gone for less: between two starts of a container that crashes, and of what a
/// kubelet starts that has not noticed yet, nothing runs either.
const SETTLE: Duration = Duration::from_secs(if cfg!(test) { 0 } else { 2 });

/// Files are moved; now to wait.
struct Entered {
    record: Record,
    already: bool,
    left: Vec<String>,
    warnings: Vec<String>,
}

/// Puts the host to sleep, or puts everything back. The wait ends so long after the step's begin, not
/// after the move, so that the time to put back is left whatever took long before.
pub(crate) fn run(request: &SleepRequest, context: &Context) -> Result<Slept, NodeError> {
    let begun = Instant::now();
    let state = State::open(&context.state)?;
    let mut entered = enter(request, context, &state)?;
    let limit = Duration::from_secs(request.wait_seconds);
    match wait_until_gone(&entered, context, &state, (begun, limit)) {
        Ok(warnings) => entered.warnings.extend(warnings),
        Err(error) => return Err(undo(&state, &request.owner.run, error)),
    }
    let Entered { record, already, left, warnings, .. } = entered;
    let moved = record.asleep().moved;
    let Record { folder, backup, .. } = record;
    let seconds = begun.elapsed().as_secs_f64();
    Ok(Slept { moved, left, folder, backup, already, seconds, warnings })
}

fn enter(request: &SleepRequest, context: &Context, state: &State) -> Result<Entered, NodeError> {
    let run = &request.owner.run;
    let _guard = state.lock_host(&format!("sleep of run {run}"))?;
    lock::own(state, &request.owner)?;
    context.check_interrupted()?;
    if let Some(fence) = state.fence()? {
        return Err(wake::fenced(&fence));
    }
    match state.record()? {
        Some(record) if record.run != *run => Err(asleep_for_other(&record)),
        Some(record) => again(request, context, state, record),
        None => fall_asleep(request, context, state),
    }
}

fn asleep_for_other(record: &Record) -> NodeError {
    let why =
        format!("the host is asleep for run {} since {}", record.run, text_of(record.since_ms));
    NodeError::new(NodeErrorKind::Locked, why).try_("roll that run back first")
}

fn fall_asleep(
    request: &SleepRequest,
    context: &Context,
    state: &State,
) -> Result<Entered, NodeError> {
    let layout = Layout::of(context)?;
    let pods = StaticPod::read_all(&layout.manifests)?;
    let plan =
        plan::choose(&pods, request).map_err(|error| plan::explain(error, context, &layout))?;
    let mut record = record_of(&request.owner.run, &layout, &plan.moved)?;
    refuse_unwritable(&record)?;
    state.remove(Kept::Fired)?;
    timer::arm(state, context, &record.run, request.wake_after_seconds)?;
    let moved = make_backup(&mut record)
        .and_then(|()| state.write(Kept::Slept, &record))
        .and_then(|()| move_away(&record));
    if let Err(error) = moved {
        return Err(put_back(state, &record, error));
    }
    let mut warnings = plan.warnings;
    if Kubelet::find(&context.machine).is_none() {
        let why = "no kubelet runs here: it must stop what the manifests started";
        warnings.push(why.into());
    }
    Ok(entered(record, false, names(&plan.left), warnings))
}

/// The same run once more: what a crash left in the folder moves now.
fn again(
    request: &SleepRequest,
    context: &Context,
    state: &State,
    record: Record,
) -> Result<Entered, NodeError> {
    if let Some(fired) = state.fired(&record.run)? {
        return Err(NodeError::new(NodeErrorKind::Awake, fired.outcome));
    }
    let armed = timer::renew(state, context, &record.run, request.wake_after_seconds);
    if let Err(error) = armed.and_then(|_| move_away(&record)) {
        return Err(put_back(state, &record, error));
    }
    let left = names(&StaticPod::read_all(&record.folder)?);
    Ok(entered(record, true, left, Vec::new()))
}

fn entered(record: Record, already: bool, left: Vec<String>, warnings: Vec<String>) -> Entered {
    Entered { record, already, left, warnings }
}

/// What can't be noted can't be put back.
fn refuse_unwritable(record: &Record) -> Result<(), NodeError> {
    serde_json::to_vec(record).map(drop).map_err(|error| {
        let why = format!("{}: {error}", record.folder.display());
        NodeError::new(NodeErrorKind::NotAsExpected, why)
    })
}

fn record_of(run: &str, layout: &Layout, pods: &[StaticPod]) -> Result<Record, NodeError> {
    let Layout { manifests, backup, .. } = layout;
    let files = pods.iter().map(|pod| {
        let found = Fingerprint::of(&pod.file).map_err(NodeError::io("read", &pod.file))?;
        let name = pod.file_name();
        refuse_existing(backup, &name)?;
        let gone = || NodeError::new(NodeErrorKind::NotAsExpected, format!("{name} is gone"));
        let fingerprint = found.ok_or_else(gone)?;
        Ok(Moved { name, fingerprint })
    });
    Ok(Record {
        run: run.to_owned(),
        since_ms: now_ms(),
        folder: manifests.clone(),
        backup: backup.clone(),
        made_backup: false,
        files: files.collect::<Result<_, NodeError>>()?,
        targets: plan::targets(pods),
    })
}

fn refuse_existing(backup: &Path, name: &str) -> Result<(), NodeError> {
    let there = backup.join(name);
    match disk::exists(&there).map_err(NodeError::io("look at", &there))? {
        false => Ok(()),
        true => {
            let why = format!("{} is there already and would be overwritten", there.display());
            let error = NodeError::new(NodeErrorKind::NotAsExpected, why);
            Err(error.try_("look whose it is, and move it away"))
        }
    }
}

/// Beside the manifests, so that it is on the same file system.
fn make_backup(record: &mut Record) -> Result<(), NodeError> {
    let backup = &record.backup;
    match DirBuilder::new().mode(0o700).create(backup) {
        Ok(()) => {
            record.made_backup = true;
            let parent = backup.parent().unwrap_or(backup);
            disk::sync_folder(parent).map_err(NodeError::io("bring to the disk", parent))
        }
        Err(_) if fs::metadata(backup).is_ok_and(|found| found.is_dir()) => Ok(()),
        Err(error) => Err(NodeError::io("make the folder", backup)(error)),
    }
}

/// What is not in the backup folder yet.
fn move_away(record: &Record) -> Result<(), NodeError> {
    let Record { folder, backup, files, .. } = record;
    for file in files {
        let (here, there) = (file.in_folder(record), file.in_backup(record));
        let is_moved = disk::exists(&there).map_err(NodeError::io("look at", &there))?
            && !disk::exists(&here).map_err(NodeError::io("look at", &here))?;
        if !is_moved {
            disk::rename_new(&here, &there).map_err(cannot_move(&here, &there))?;
        }
    }
    disk::sync_folder(backup).map_err(NodeError::io("bring to the disk", backup))?;
    disk::sync_folder(folder).map_err(NodeError::io("bring to the disk", folder))
}

fn cannot_move(here: &Path, there: &Path) -> impl FnOnce(std::io::Error) -> NodeError {
    let (from, to) = (here.display().to_string(), there.display().to_string());
    move |error| {
        use std::io::ErrorKind::{AlreadyExists, CrossesDevices};
        let kind = match error.kind() {
            CrossesDevices | AlreadyExists => NodeErrorKind::NotAsExpected,
            _ => NodeErrorKind::Io,
        };
        NodeError::new(kind, format!("cannot move {from} to {to}: {error}"))
    }
}

/// Without `host.lock`, so that waking needs not wait for us; it is noticed.
fn wait_until_gone(
    entered: &Entered,
    context: &Context,
    state: &State,
    (begun, limit): (Instant, Duration),
) -> Result<Vec<String>, NodeError> {
    let left = || limit.saturating_sub(begun.elapsed());
    let mut gone = None;
    let runtimes = Runtimes::find(&context.machine, Kubelet::find(&context.machine).as_ref());
    loop {
        context.check_interrupted()?;
        if state.record()?.is_none_or(|record| record.run != entered.record.run) {
            return Err(woken_meanwhile(state, &entered.record.run));
        }
        let machine = &context.machine;
        let looked = runtimes.look(machine, &entered.record.targets, left().max(LAST_LOOK));
        match (looked.is_gone(), gone) {
            (true, Some(since)) if Instant::elapsed(&since) >= SETTLE => return Ok(looked.warnings),
            (true, _) => gone = gone.or(Some(Instant::now())),
            (false, _) => gone = None,
        }
        if gone.is_none() && left().is_zero() {
            let why = format!("after {} s there is still: {}", limit.as_secs(), looked.what());
            let hint = "look at the kubelet's log and `crictl ps`, then try again";
            return Err(NodeError::new(NodeErrorKind::StillRunning, why).try_(hint));
        }
        thread::sleep(POLL.min(if gone.is_some() { SETTLE } else { left() }));
    }
}

fn woken_meanwhile(state: &State, run: &str) -> NodeError {
    let fired = state.fired(run).ok().flatten().map(|fired| fired.outcome);
    let why = fired.unwrap_or_else(|| "the host was woken while it fell asleep".into());
    NodeError::new(NodeErrorKind::Awake, why)
}

/// Unless somebody woke the host meanwhile, or made sure that nobody may.
fn undo(state: &State, run: &str, error: NodeError) -> NodeError {
    let guard = match state.lock_host(&format!("undoing sleep of run {run}")) {
        Ok(guard) => guard,
        Err(locked) => return and_not_back(error, &locked),
    };
    let undone = match (state.record(), state.fence()) {
        (Ok(Some(record)), Ok(None)) if record.run == run => put_back(state, &record, error),
        (Err(unread), _) | (_, Err(unread)) => and_not_back(error, &unread),
        _ => error,
    };
    drop(guard);
    undone
}

/// Under `host.lock`. What can't go back stays in the record, and the timer tries again.
fn put_back(state: &State, record: &Record, error: NodeError) -> NodeError {
    match wake::put_back(record).and_then(|_| wake::forget(state)) {
        Ok(()) => error,
        Err(stuck) => and_not_back(error, &stuck),
    }
}

fn and_not_back(error: NodeError, stuck: &NodeError) -> NodeError {
    let message = format!("{}; and not everything is back: {}", error.message, stuck.message);
    NodeError { message, hint: stuck.hint.clone().or(error.hint), ..error }
}

#[cfg(test)]
#[path = "sleep_tests.rs"]
mod tests;
