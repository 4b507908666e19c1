//! Which migration holds the host. Not to be confused with `host.lock`, which a step holds.

use crate::error::{NodeError, NodeErrorKind};
use crate::node::clock::{Moment, now_ms, text_of};
use crate::node::state::{Kept, LockFile, State};
use crate::node::{detach, disk, guard, memory, relay, timer};
use crate::protocol::{Lock, Owner};

/// Of a host that is as it was before anybody may have the lock after so long: longer than any step that
/// comes before sleep, all waves of it included.
const FORGOTTEN_SECONDS: u64 = 1800;
/// So long a holder may be silent before another may take over.
pub const STALE_SECONDS: u64 = 120;

/// Takes or refreshes it. Under `host.lock`.
pub(crate) fn hold(state: &State, owner: &Owner, take_over: bool) -> Result<(), NodeError> {
    let held = check(state, owner, take_over)?;
    let taken_ms = held.map_or_else(now_ms, |held| held.taken_ms);
    let lock = LockFile { owner: owner.clone(), taken_ms, seen: Moment::now() };
    state.write(Kept::Lock, &lock)
}

/// Refreshes it, and takes nothing: a call that comes after its run has ended finds the host closed.
/// Under `host.lock`.
pub(crate) fn own(state: &State, owner: &Owner) -> Result<(), NodeError> {
    match check(state, owner, false)? {
        Some(_) => hold(state, owner, false),
        None => {
            let why =
                format!("run {} doesn't hold this host: it has ended, or not begun", owner.run);
            Err(NodeError::new(NodeErrorKind::Locked, why).try_("lock the host first"))
        }
    }
}

/// The owner's own lock, if there is one; an error if somebody else holds the host. Under `host.lock`.
pub(crate) fn check(
    state: &State,
    owner: &Owner,
    take_over: bool,
) -> Result<Option<LockFile>, NodeError> {
    let Some(held) = state.read::<LockFile>(Kept::Lock)? else { return Ok(None) };
    if held.owner.run == owner.run {
        return Ok(Some(held));
    }
    let silent_seconds = Moment::now().since_ms(&held.seen) / 1000;
    // Whoever died before it put anything to sleep, or after it woke it, holds nothing.
    let is_as_before = state.record()?.is_none() && state.fence()?.is_none();
    let stale_seconds = if take_over { STALE_SECONDS } else { FORGOTTEN_SECONDS };
    match silent_seconds >= stale_seconds && (take_over || is_as_before) {
        true => Ok(None),
        false => Err(held_by(&held, silent_seconds)),
    }
}

fn held_by(held: &LockFile, silent_seconds: u64) -> NodeError {
    let LockFile { owner, taken_ms, .. } = held;
    let why = format!(
        "migration {} of {} holds this host: {}, since {}, last heard of {silent_seconds} s ago",
        owner.run,
        owner.cluster,
        owner.by,
        text_of(*taken_ms),
    );
    let hint =
        format!("end it there; a holder that is silent for {STALE_SECONDS} s can be taken over");
    NodeError::new(NodeErrorKind::Locked, why).try_(hint)
}

/// Gives it back and removes what the run left, except the record and the fence of a host that stays
/// asleep. Under `host.lock`. Whether nothing at all is left.
///
/// # Errors
/// If the host is asleep without a fence: whoever gives it back then would leave it to nobody.
pub(crate) fn release(state: &State, owner: &Owner) -> Result<bool, NodeError> {
    if let Some(held) =
        state.read::<LockFile>(Kept::Lock)?.filter(|held| held.owner.run != owner.run)
    {
        return Err(held_by(&held, Moment::now().since_ms(&held.seen) / 1000));
    }
    let (record, fence) = (state.record()?, state.fence()?);
    if let Some(record) = record.as_ref().filter(|_| fence.is_none()) {
        let why = format!("the host is asleep since {}", text_of(record.since_ms));
        let error = NodeError::new(NodeErrorKind::NotAsExpected, why);
        return Err(error.try_("wake it first, or fence it"));
    }
    timer::disarm(state)?;
    state.remove(Kept::Fired)?;
    memory::bury(state, owner)?;
    detach::forget(state)?;
    relay::forget(state);
    forget_temporary(state)?;
    state.remove(Kept::Lock)?;
    Ok(record.is_none() && fence.is_none())
}

/// Nobody holds the host, and nothing of ours sleeps there. Under `host.lock`.
pub(crate) fn is_free(state: &State) -> Result<bool, NodeError> {
    let is_held = state.read::<LockFile>(Kept::Lock)?.is_some();
    Ok(!is_held && state.record()?.is_none() && state.fence()?.is_none())
}

fn forget_temporary(state: &State) -> Result<(), NodeError> {
    let dir = state.dir();
    for entry in std::fs::read_dir(dir).map_err(NodeError::io("read the folder", dir))?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(disk::TEMP_PREFIX) {
            disk::remove(&entry.path()).map_err(NodeError::io("remove", entry.path()))?;
        }
    }
    let timer = state.timer_lock();
    // A timer that lives on for a second removes it itself.
    match guard::Guard::try_take(&timer, "") {
        Ok(Some(guard)) => guard.remove().map_err(NodeError::io("remove", timer)),
        _ => Ok(()),
    }
}

/// For [`crate::protocol::NodeStatus`].
pub(crate) fn shown(state: &State) -> Result<Option<Lock>, NodeError> {
    let held = state.read::<LockFile>(Kept::Lock)?;
    Ok(held.map(|held| {
        let LockFile { owner, taken_ms, seen } = held;
        Lock { owner, taken_ms, seen_ms: seen.wall_ms() }
    }))
}
