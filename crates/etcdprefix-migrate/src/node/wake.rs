//! Puts back what sleep moved, by the record that sleep made before. May be repeated, by anybody who
//! may hold the host, after a crash at any point.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{NodeError, NodeErrorKind};
use crate::node::cancel::{self, Task};
use crate::node::clock::text_of;
use crate::node::disk::{self, Fingerprint};
use crate::node::memory::Memory;
use crate::node::state::{Kept, Moved, Record, State};
use crate::node::{Context, lock, memory, runtime, timer};
use crate::protocol::{Fence, LiftFence, WakeRequest, Woken};

const POLL: Duration = Duration::from_millis(500);
/// Longer than anything else waits: nobody may keep a host asleep.
const LOCK_LIMIT: Duration = Duration::from_secs(60);

/// Wakes the host, and waits for its API server if asked.
pub(crate) fn run(request: &WakeRequest, context: &Context) -> Result<Woken, NodeError> {
    let begun = Instant::now();
    let mut woken = wake(request, context)?;
    if request.wait_seconds > 0 {
        let limit = Duration::from_secs(request.wait_seconds);
        woken.api_server_runs = Some(wait_for_api_server(context, limit));
    }
    woken.seconds = begun.elapsed().as_secs_f64();
    Ok(woken)
}

fn wake(request: &WakeRequest, context: &Context) -> Result<Woken, NodeError> {
    let Some(state) = State::existing(&context.state)? else {
        return Ok(woken(Back::default(), true));
    };
    let what = format!("wake for run {}", request.owner.run);
    {
        let _guard = state.lock_host_for(&what, LOCK_LIMIT)?;
        lock::check(&state, &request.owner, request.take_over)?;
        may_lift_fence(&state, request)?;
    }
    // Without the lock, which a sleep that ends needs to put back.
    cancel::stop(&state, &[Task::Sleep, Task::Snapshot]);
    let _guard = state.lock_host_for(&what, LOCK_LIMIT)?;
    lock::check(&state, &request.owner, request.take_over)?;
    lift_fence(&state, request)?;
    let unseen = refresh(&state, request).err();
    let Some(record) = state.record()? else {
        timer::disarm(&state)?;
        return Ok(woken(Back::default(), true));
    };
    let mut back = put_back(&record)?;
    back.warnings.extend(unseen.map(|error| error.message));
    forget(&state)?;
    Ok(woken(back, false))
}

fn woken(back: Back, already: bool) -> Woken {
    let Back { restored, warnings } = back;
    Woken { restored, already, api_server_runs: None, seconds: 0.0, warnings }
}

/// Nothing is taken that nobody held. On a full disk this fails, and waking must not.
fn refresh(state: &State, request: &WakeRequest) -> Result<(), NodeError> {
    match lock::shown(state)? {
        Some(_) => lock::hold(state, &request.owner, request.take_over),
        None => Ok(()),
    }
}

/// The fence goes first: if we die in between, the host sleeps on without it and can be woken.
fn lift_fence(state: &State, request: &WakeRequest) -> Result<(), NodeError> {
    if may_lift_fence(state, request)? {
        state.remove(Kept::Fence)?;
    }
    Ok(())
}

/// Whether there is one; an error if it has to stay.
fn may_lift_fence(state: &State, request: &WakeRequest) -> Result<bool, NodeError> {
    let Some(fence) = state.fence()? else { return Ok(false) };
    let is_own = fence.run == request.owner.run;
    match &request.lift_fence {
        LiftFence::NeverStarted => Ok(true),
        LiftFence::NotHandedOut if is_own => not_out(&fence, state),
        LiftFence::Proven(proofs) if is_own => {
            memory::may_lift(&fence.run, proofs, state).map(|()| true)
        }
        _ => Err(fenced(&fence)),
    }
}

/// The journal says so; but steps by hand under the same name are not in it.
fn not_out(fence: &Fence, state: &State) -> Result<bool, NodeError> {
    match memory::of(&fence.run, state)?.filter(Memory::is_out) {
        Some(memory) => Err(memory::out(&memory)),
        None => Ok(true),
    }
}

/// What everything says that would change a fenced host.
pub(crate) fn fenced(fence: &Fence) -> NodeError {
    let why = format!(
        "the bundle of run {} was handed out or about to be since {}: two control planes would write",
        fence.run,
        text_of(fence.since_ms),
    );
    let hint =
        "only if the managed side never started: roll back with --managed-side-never-started";
    NodeError::new(NodeErrorKind::Fenced, why).try_(hint)
}

/// What is back, and what is odd about it.
#[derive(Debug, Default)]
pub(crate) struct Back {
    pub(crate) restored: Vec<String>,
    pub(crate) warnings: Vec<String>,
}

/// Each file goes back by itself: one that can't doesn't hold up the others.
///
/// # Errors
/// If one can't. All that could are back, and the record is still needed.
pub(crate) fn put_back(record: &Record) -> Result<Back, NodeError> {
    let mut back = Back::default();
    let mut errors = Vec::new();
    for file in record.files.iter().rev() {
        match put_back_one(record, file, &mut back.warnings) {
            Ok(()) => back.restored.push(file.name.clone()),
            Err(error) => errors.push(error),
        }
    }
    errors.extend(settle(record).err());
    match errors.is_empty() {
        true => Ok(back),
        false => Err(joined(errors)),
    }
}

fn put_back_one(
    record: &Record,
    file: &Moved,
    warnings: &mut Vec<String>,
) -> Result<(), NodeError> {
    let (here, there) = (file.in_folder(record), file.in_backup(record));
    let look = |path| Fingerprint::of(path).map_err(NodeError::io("look at", path));
    match (look(&here)?, look(&there)?) {
        (Some(found), None) => {
            if found != file.fingerprint {
                warnings
                    .push(format!("{} is not what slept: somebody put it there", here.display()));
            }
            Ok(())
        }
        (Some(new), Some(old)) if new == old => {
            disk::remove(&there).map(|_| ()).map_err(NodeError::io("remove the copy", &there))
        }
        (Some(_), Some(_)) => Err(differ(record, file)),
        (None, None) => Err(lost(record, file)),
        (None, Some(found)) => {
            if found != file.fingerprint {
                warnings.push(format!("{} was changed while it slept", there.display()));
            }
            disk::rename_new(&there, &here).map_err(NodeError::io("put back", &there))
        }
    }
}

fn differ(record: &Record, file: &Moved) -> NodeError {
    let (here, there) = (file.in_folder(record), file.in_backup(record));
    let why = format!(
        "{} is there again and differs from {}, which slept",
        here.display(),
        there.display()
    );
    NodeError::new(NodeErrorKind::Differs, why).try_("keep one of the two, and wake again")
}

fn lost(record: &Record, file: &Moved) -> NodeError {
    let Moved { name, fingerprint } = file;
    let why = format!(
        "{name} is neither in {} nor in {}: {} bytes, SHA-256 {}",
        record.folder.display(),
        record.backup.display(),
        fingerprint.size_bytes,
        fingerprint.sha256,
    );
    NodeError::new(NodeErrorKind::NotAsExpected, why)
        .try_("put it back from a backup, and wake again")
}

/// Brings both folders to the disk, and removes the backup folder if there was none.
fn settle(record: &Record) -> Result<(), NodeError> {
    let Record { folder, backup, .. } = record;
    disk::sync_folder(folder).map_err(NodeError::io("bring to the disk", folder))?;
    if record.made_backup && fs::remove_dir(backup).is_ok() {
        let parent = backup.parent().unwrap_or(folder);
        return disk::sync_folder(parent).map_err(NodeError::io("bring to the disk", parent));
    }
    match disk::sync_folder(backup) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        synced => synced.map_err(NodeError::io("bring to the disk", backup)),
    }
}

fn joined(errors: Vec<NodeError>) -> NodeError {
    let messages: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
    let message = messages.join("; ");
    let first = errors.first();
    let kind = first.map_or(NodeErrorKind::Failed, |error| error.kind);
    NodeError { kind, message, hint: first.and_then(|error| error.hint.clone()) }
}

/// All is back: no timer is needed, and last of all no record.
pub(crate) fn forget(state: &State) -> Result<(), NodeError> {
    timer::disarm(state)?;
    state.remove(Kept::Slept)?;
    Ok(())
}

fn wait_for_api_server(context: &Context, limit: Duration) -> bool {
    let begun = Instant::now();
    loop {
        let left = limit.saturating_sub(begun.elapsed());
        if runtime::api_server_runs(&context.machine, left.max(POLL)) {
            return true;
        }
        if begun.elapsed() >= limit || context.is_interrupted() {
            return false;
        }
        thread::sleep(POLL.min(limit));
    }
}

#[cfg(test)]
#[path = "wake_tests.rs"]
mod tests;
