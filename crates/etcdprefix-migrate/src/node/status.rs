//! How a host is, and the small steps around it: lock, unlock, renew.

use std::path::Path;
use std::time::Duration;

use crate::error::{NodeError, NodeErrorKind};
use crate::node::clock::now_ms;
use crate::node::runtime;
use crate::node::state::{Fired, Kept, Record, State};
use crate::node::{Context, lock, snapshot, timer, wake};
use crate::protocol::{NodeStatus, Owner};

/// A runtime that hangs is not waited for: the rest is worth knowing.
const RUNTIME_LIMIT: Duration = Duration::from_secs(3);

/// Changes nothing, and waits for nobody.
pub(crate) fn of(context: &Context) -> Result<NodeStatus, NodeError> {
    with(context, runtime::api_server_runs(&context.machine, RUNTIME_LIMIT))
}

/// For steps that must answer at once: no runtime is asked.
fn quickly(context: &Context) -> Result<NodeStatus, NodeError> {
    with(context, runtime::api_server_process_runs(&context.machine))
}

/// With what is known of the API server.
pub(crate) fn with(context: &Context, api_server_runs: bool) -> Result<NodeStatus, NodeError> {
    let found = State::existing(&context.state)?;
    let state = found.unwrap_or_else(|| State::at(&context.state));
    let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let fired = state.read::<Fired>(Kept::Fired)?;
    Ok(NodeStatus {
        hostname,
        arch: std::env::consts::ARCH.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        now_ms: now_ms(),
        lock: lock::shown(&state)?,
        asleep: state.record()?.as_ref().map(Record::asleep),
        timer: timer::shown(&state)?,
        fired: fired.map(|fired| fired.outcome),
        fence: state.fence()?,
        api_server_runs,
    })
}

/// Takes or refreshes the lock.
pub(crate) fn lock(
    owner: &Owner,
    take_over: bool,
    context: &Context,
) -> Result<NodeStatus, NodeError> {
    let state = State::open(&context.state)?;
    let guard = state.lock_host(&format!("lock for run {}", owner.run))?;
    lock::hold(&state, owner, take_over)?;
    drop(guard);
    quickly(context)
}

/// Gives the lock back. Of a host that is as before nothing of ours stays in the folder.
pub(crate) fn unlock(
    owner: &Owner,
    working_dir: Option<&Path>,
    context: &Context,
) -> Result<NodeStatus, NodeError> {
    if let Some(state) = State::existing(&context.state)? {
        let guard = state.lock_host(&format!("unlock for run {}", owner.run))?;
        let is_empty = lock::release(&state, owner)?;
        if let Some(folder) = working_dir {
            snapshot::remove_leftovers(folder, &owner.run);
        }
        if is_empty {
            guard.remove().map_err(NodeError::io("remove the lock in", state.dir()))?;
            // The folder stays if it has other things.
            let _ = std::fs::remove_dir(state.dir());
        }
    }
    quickly(context)
}

/// Refreshes lock and timer of a host that sleeps.
pub(crate) fn renew(
    owner: &Owner,
    seconds: u64,
    context: &Context,
) -> Result<NodeStatus, NodeError> {
    let state = State::open(&context.state)?;
    let guard = state.lock_host(&format!("renew for run {}", owner.run))?;
    lock::own(&state, owner)?;
    if let Some(fence) = state.fence()? {
        return Err(wake::fenced(&fence));
    }
    refuse_awake(&state, owner)?;
    let restarted = timer::renew(&state, context, &owner.run, seconds)?;
    drop(guard);
    let mut status = quickly(context)?;
    status.timer = status.timer.map(|timer| crate::protocol::Timer { restarted, ..timer });
    Ok(status)
}

fn refuse_awake(state: &State, owner: &Owner) -> Result<(), NodeError> {
    let fired = state.fired(&owner.run)?.map(|fired| fired.outcome);
    let sleeps = state.record()?.is_some_and(|record| record.run == owner.run);
    let awake = "nothing of this run sleeps here".to_owned();
    match fired.or_else(|| (!sleeps).then_some(awake)) {
        Some(why) => Err(NodeError::new(NodeErrorKind::Awake, why)),
        None => Ok(()),
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
