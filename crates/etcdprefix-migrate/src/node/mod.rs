//! What happens on a master: one step a call.
//!
//! ```text
//! step: a call from stdin -> detach: runs on if the connection breaks -> perform: the request
//!     kubelet -> manifest -> plan -> sleep <-> wake        state: what the host remembers
//!                              timer: wakes if nobody is heard of      fence: nothing wakes any more
//! ```

pub mod bundle;
mod cancel;
mod clock;
mod detach;
mod disk;
mod fence;
mod guard;
pub mod kubelet;
mod lock;
pub mod manifest;
pub mod members;
pub mod memory;
mod plan;
pub mod preflight;
mod process;
pub mod reach;
pub(crate) mod relay;
mod runtime;
mod shell;
mod sleep;
pub mod snapshot;
mod state;
mod status;
mod step;
mod timer;
mod unit;
mod wake;

#[cfg(test)]
mod fixture;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use detach::work;
pub(crate) use disk::sha256;
pub use kubelet::{Kubelet, Layout};
pub use lock::STALE_SECONDS;
pub use plan::{COMPONENTS, would_move};
pub use process::Machine;
pub(crate) use process::step_variables;
pub use relay::{RelayAsk, RelayWhat, relay};
pub use step::step;
pub use timer::run_timer;

use crate::error::{NodeError, NodeErrorKind};
use crate::protocol::{Owner, Request, Response};

/// Where a host remembers what was done, unless told otherwise.
pub const STATE: &str = "/var/lib/etcdprefix";

/// What a step works with, beside its request.
#[derive(Clone)]
pub struct Context {
    /// The folder where the host remembers.
    pub state: PathBuf,
    /// Of the call: credentials of the store. Not this process's, so that no child inherits it.
    pub environment: BTreeMap<String, String>,
    /// Set when the step is to end; sleep then puts everything back.
    pub interrupted: Arc<AtomicBool>,
    /// The folder with static pods, instead of the kubelet's.
    pub manifests: Option<PathBuf>,
    /// How this program is started again, for what runs on without its caller.
    pub launcher: Launcher,
    /// Where processes and programs are looked for.
    pub machine: Machine,
}

/// How to start this program's hidden commands `work` and `timer`. The first is given `--manifests DIR`
/// too, if this one was.
#[derive(Clone, Debug)]
pub struct Launcher {
    /// The program.
    pub program: PathBuf,
    /// What stands before `work --state DIR`.
    pub args_before: Vec<String>,
}

impl Launcher {
    /// This program, as `PROGRAM node work --state DIR`.
    ///
    /// # Errors
    /// If the system doesn't tell which program this is.
    pub fn this() -> io::Result<Self> {
        let program = std::env::current_exe()?;
        Ok(Self { program, args_before: vec!["node".into()] })
    }
}

impl Context {
    /// With nothing but a folder, and this program.
    ///
    /// # Errors
    /// If the system doesn't tell which program this is.
    pub fn new(state: &Path) -> Result<Self, NodeError> {
        let launcher = Launcher::this().map_err(NodeError::io("find", "/proc/self/exe"))?;
        Ok(Self {
            state: state.to_owned(),
            environment: BTreeMap::new(),
            interrupted: Arc::default(),
            manifests: None,
            launcher,
            machine: Machine::default(),
        })
    }

    /// Whether the step is to end.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// An error if the step is to end.
    ///
    /// # Errors
    /// Then.
    pub fn check_interrupted(&self) -> Result<(), NodeError> {
        match self.is_interrupted() {
            true => Err(NodeError::new(NodeErrorKind::Interrupted, "told to end")),
            false => Ok(()),
        }
    }
}

/// Whoever works for a migration holds the host.
fn own(owner: &Owner, context: &Context) -> Result<(), NodeError> {
    let state = state::State::open(&context.state)?;
    let _guard = state.lock_host(&format!("run {}", owner.run))?;
    lock::own(&state, owner)
}

/// Does what a request asks for, here and now. [`step`] is what calls it for others.
///
/// # Errors
/// What the step says. Everything may be asked for again.
pub fn perform(request: &Request, context: &Context) -> Result<Response, NodeError> {
    match request {
        Request::Status => status::of(context).map(Response::Status),
        Request::Lock { owner, take_over } => {
            status::lock(owner, *take_over, context).map(Response::Status)
        }
        Request::Unlock { owner, working_dir } => {
            let unlocked = status::unlock(owner, working_dir.as_deref(), context);
            unlocked.map(Response::Status)
        }
        Request::Sleep(request) => sleep::run(request, context).map(Response::Slept),
        Request::Wake(request) => wake::run(request, context).map(Response::Woken),
        Request::Renew { owner, wake_after_seconds } => {
            status::renew(owner, *wake_after_seconds, context).map(Response::Status)
        }
        Request::Fence { owner } => fence::run(owner, context).map(Response::Fenced),
        Request::Cancel { id } => cancel::run(id, context),
        Request::Preflight(request) => {
            preflight::run(request, context).map(|look| Response::Preflight(Box::new(look)))
        }
        Request::Members(access) => members::run(access).map(Response::Members),
        Request::Snapshot(request) => {
            own(&request.owner, context)?;
            let saved = snapshot::run(request, &context.environment, &context.interrupted);
            saved.map(|saved| Response::Snapshot(Box::new(saved)))
        }
        Request::Bundle(request) => {
            own(&request.owner, context)?;
            let bundled = bundle::run(request, &context.environment);
            bundled.map(|bundled| Response::Bundle(Box::new(bundled)))
        }
        Request::Quiet(request) => bundle::quiet(request).map(|()| Response::Quiet),
        Request::Presign(request) => {
            bundle::presign(request, &context.environment).map(Response::Presigned)
        }
        Request::Unpublish(object) => {
            bundle::unpublish(object, &context.environment).map(Response::Unpublished)
        }
    }
}
