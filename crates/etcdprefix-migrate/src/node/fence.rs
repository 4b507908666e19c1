//! The point of no return on a host: nothing wakes it by itself any more.

use crate::error::{NodeError, NodeErrorKind};
use crate::node::clock::now_ms;
use crate::node::disk::Fingerprint;
use crate::node::manifest::StaticPod;
use crate::node::runtime::{self, API_SERVER};
use crate::node::state::{Kept, Record, State};
use crate::node::{Context, lock, status, timer, wake};
use crate::protocol::{Fence, NodeStatus, Owner};

/// Makes sure that the host sleeps, and will.
///
/// The fence is on the disk before the timer is removed, and both happen under `host.lock`: a timer
/// that fires just then finds one of the two, or has woken the host before and we see that.
pub(crate) fn run(owner: &Owner, context: &Context) -> Result<NodeStatus, NodeError> {
    let state = State::open(&context.state)?;
    // Before the lock: a runtime that hangs must not keep others from waking the host.
    let runs = runtime::api_server_runs(&context.machine, runtime::ASK_LIMIT);
    {
        let _guard = state.lock_host(&format!("fence of run {}", owner.run))?;
        lock::own(&state, owner)?;
        match state.fence()? {
            Some(fence) if fence.run != owner.run => return Err(wake::fenced(&fence)),
            Some(_) => (),
            None => raise(&state, owner, runs)?,
        }
        timer::disarm(&state)?;
    }
    status::with(context, runs)
}

fn raise(state: &State, owner: &Owner, api_server_runs: bool) -> Result<(), NodeError> {
    if let Some(fired) = state.fired(&owner.run)? {
        return Err(awake(fired.outcome));
    }
    match state.record()?.filter(|record| record.run == owner.run) {
        Some(record) => check_asleep(&record)?,
        None => return Err(awake("nothing of this run sleeps here".into())),
    }
    if api_server_runs {
        return Err(awake("an API server runs".into()));
    }
    state.write(Kept::Fence, &Fence { run: owner.run.clone(), since_ms: now_ms() })
}

fn awake(why: String) -> NodeError {
    NodeError::new(NodeErrorKind::Awake, why).try_("roll back, and begin again")
}

/// All is where sleep put it, and nothing came in its place.
fn check_asleep(record: &Record) -> Result<(), NodeError> {
    for file in &record.files {
        let (here, there) = (file.in_folder(record), file.in_backup(record));
        let look = |path| Fingerprint::of(path).map_err(NodeError::io("look at", path));
        if look(&here)?.is_some() {
            return Err(awake(format!("{} is there again", here.display())));
        }
        if look(&there)?.as_ref() != Some(&file.fingerprint) {
            return Err(awake(format!("{} is not as sleep left it", there.display())));
        }
    }
    let pods = StaticPod::read_all(&record.folder)?;
    match pods.iter().find(|pod| pod.runs(API_SERVER)) {
        Some(pod) => Err(awake(format!("{} runs an API server", pod.file.display()))),
        None => Ok(()),
    }
}

#[cfg(test)]
#[path = "fence_tests.rs"]
mod tests;
