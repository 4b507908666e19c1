//! The orchestrator: what is done on which host, in which order, and what is undone.
//!
//! ```text
//! rehearse: everything but the sleep        run: lock -> sleep -> snapshot -> bundle -> fence -> hand out -> finish
//!                                                 \____ error, Ctrl-C: rollback ____/      | nothing wakes any more
//! ```

mod after;
mod calls;
mod handout;
mod lock;
mod outage;
mod plan;
mod rehearse;
mod renew;
mod results;
mod run;
mod say;
mod session;
mod undo;
mod view;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use etcdprefix_store::Recipients;

use crate::config::Config;
use crate::error::Result;
use crate::host::Host;

pub use results::{
    Finished, HandedOut, HostReport, Outputs, Phase, PhaseTime, Presigned, Rehearsal, RolledBack,
    Status,
};
pub(crate) use session::{new_run, us};
pub use view::{Event, View};

/// All that a migration needs from outside.
#[derive(Clone)]
pub struct Setup {
    /// What to migrate.
    pub config: Config,
    /// The orchestrator's own folder for this cluster: journal, rehearsal, bundle. Made with mode 0700.
    pub folder: PathBuf,
    /// The hosts of the configuration, in its order.
    pub hosts: Vec<Arc<dyn Host>>,
    /// Credentials of the store that the hosts are given; empty if they have their own.
    pub environment: BTreeMap<String, String>,
    /// Who is told.
    pub view: Arc<dyn View>,
    /// Set to stop: before the hand-out everything is put back.
    pub interrupted: Arc<AtomicBool>,
}

impl Setup {
    /// By its name.
    fn host(&self, name: &str) -> Option<&Arc<dyn Host>> {
        self.hosts.iter().find(|host| host.name() == name)
    }
}

/// How to run.
#[derive(Clone, Default)]
pub struct RunOptions {
    /// Run without a rehearsal.
    pub skip_rehearsal: bool,
    /// Leave the hosts as they are on an error; their timers wake them nevertheless.
    pub no_rollback: bool,
    /// Keep snapshots in the hosts' working folders.
    pub keep: bool,
    /// Where the bundle goes; by default `bundle.json` in the folder (`bundle.json.age` if encrypted).
    pub bundle: Option<PathBuf>,
    /// For whom the bundle is encrypted.
    pub recipients: Option<Recipients>,
    /// With ca and EncryptionConfiguration: needs recipients.
    pub bundle_extra: bool,
}

/// How to roll back.
#[derive(Clone, Copy, Debug, Default)]
pub struct RollbackOptions {
    /// The bundle was handed out, but the managed side has never started with it.
    pub managed_side_never_started: bool,
    /// Take hosts over from another run that hasn't been heard of for two minutes.
    pub take_over: bool,
}

/// Everything but the sleep, with the cluster up. Writes `rehearsal.json`, which [`run`] asks for.
///
/// # Errors
/// [`Error::NotReady`](crate::Error::NotReady) if a check speaks against the migration, and what its
/// steps end with.
pub async fn rehearse(setup: &Setup) -> Result<Rehearsal> {
    rehearse::rehearse(setup).await
}

/// The migration.
///
/// # Errors
/// Whatever speaks against it. Before the hand-out the error says whether all hosts are awake again;
/// [`Error::HandedOut`](crate::Error::HandedOut) if the bundle was handed out before.
pub async fn run(setup: &Setup, options: &RunOptions) -> Result<HandedOut> {
    run::run(setup, options).await
}

/// Goes on where a run ended that was killed.
///
/// # Errors
/// As [`run`]; [`Error::Usage`](crate::Error::Usage) if there is none.
pub async fn resume(setup: &Setup, options: &RunOptions) -> Result<HandedOut> {
    run::resume(setup, options).await
}

/// Wakes all hosts, as they were.
///
/// # Errors
/// [`Error::HandedOut`](crate::Error::HandedOut) after the hand-out, unless the managed side never started.
pub async fn rollback(setup: &Setup, options: RollbackOptions) -> Result<RolledBack> {
    undo::rollback(setup, options).await
}

/// How the migration and the hosts are. Changes nothing.
///
/// # Errors
/// If the journal can't be read; hosts that don't answer are part of the result.
pub async fn status(setup: &Setup) -> Result<Status> {
    after::status(setup).await
}

/// Closes the journal after the managed side has started: locks are given back, fences stay.
///
/// # Errors
/// [`Error::Usage`](crate::Error::Usage) before the hand-out.
pub async fn finish(setup: &Setup) -> Result<Finished> {
    after::finish(setup).await
}

/// Signs the same object again.
///
/// # Errors
/// [`Error::Usage`](crate::Error::Usage) if nothing is uploaded.
pub async fn presign(setup: &Setup) -> Result<Presigned> {
    after::presign(setup).await
}
