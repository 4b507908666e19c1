//! A snapshot of a hosted control plane (HyperShift) for a new one.
//!
//! ```text
//! look -> record -> asleep: pause, writers to zero -> way: snapshot -> publish: upload, quiet, URL
//!    \                        \____ error, signal: undo ____/     -> fragment, keys, into -> undo: wake
//!     `- plan                     what was is in journal and annotation, whoever puts it back
//! ```
//!
//! Everything goes through the management cluster's API. A live HostedCluster's `spec.etcd` is never
//! written: it is immutable, and what is made here is for another one.

mod asleep;
mod found;
mod fragment;
mod into;
mod journal;
mod keys;
mod look;
mod objects;
mod publish;
mod record;
mod results;
mod rollback;
mod run;
mod size;
mod status;
mod targets;
mod trial;
mod undo;
pub mod way;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::kubernetes::Cluster;
use crate::protocol::{EtcdAccess, StoreAccess};

pub use found::{Encryption, Found, WriterFound};
pub use journal::Phase;
pub use objects::WRITERS;
pub use record::{ANNOTATION, Record, Writer};
pub use results::{Made, PutBack, Status, WriterStatus};

/// A HostedCluster's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Name {
    /// Of the HostedCluster, such as `clusters`.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What is to be with the hosted cluster when the snapshot is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum After {
    /// Everything as it was before.
    Wake,
    /// Paused, its writers at zero.
    Stay,
}

/// Where what is made goes. `None` is a file in the folder.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// The fragment of a HostedCluster.
    pub output: Option<PathBuf>,
    /// The Secrets with encryption keys.
    pub secrets: Option<PathBuf>,
    /// Rendered manifests that get the fragment and the Secrets.
    pub into: Option<PathBuf>,
    /// Which HostedCluster of [`Files::into`], if it has several.
    pub into_name: Option<String>,
}

/// All that is needed to look at a hosted cluster and to put it back.
#[derive(Clone)]
pub struct Setup {
    /// The management cluster.
    pub cluster: Cluster,
    /// Which hosted cluster.
    pub name: Name,
    /// The namespace that its control plane runs in.
    pub control_plane: String,
    /// Our own folder for it, made with mode 0700.
    pub folder: PathBuf,
    /// Credentials of the store go over those of the process.
    pub environment: BTreeMap<String, String>,
    /// How long putting back is tried.
    pub put_back_limit: Duration,
    /// Who is told what goes on.
    pub view: Arc<dyn Fn(&str) + Send + Sync>,
    /// Set to stop; everything is put back then.
    pub interrupted: Arc<AtomicBool>,
}

/// How to make it.
#[derive(Clone)]
pub struct RunOptions {
    /// What is to be with it afterwards.
    pub after: After,
    /// The place below which the snapshot is put.
    pub store: StoreAccess,
    /// How etcd is asked. Without endpoints, the service of the control plane; without any certificate,
    /// those of the control plane's own Secret.
    pub etcd: EtcdAccess,
    /// Source and destination of a change of prefix.
    pub prefixes: Option<(String, String)>,
    /// Until the URL ends.
    pub presign_seconds: u64,
    /// How long the writers may take to stop.
    pub stop_limit: Duration,
    /// Where it goes.
    pub files: Files,
}

/// How to put back.
#[derive(Clone, Debug, Default)]
pub struct RollbackOptions {
    /// Also if a run that this machine knows nothing of may be at work.
    pub take_over: bool,
    /// Leave what somebody changed as it is, and what can't be removed from the store, and close.
    pub accept_changed: bool,
    /// How the store is reached, for who has no journal; the object is known.
    pub store: StoreAccess,
}

/// What is there, and what a run would do. Changes nothing.
///
/// # Errors
/// Whatever speaks against a run.
pub async fn plan(setup: &Setup, options: &RunOptions) -> Result<Found> {
    look::look(setup, options).await.map(|look| look.found)
}

/// Makes the snapshot and what a new HostedCluster needs.
///
/// # Errors
/// [`Error::PutBack`] and [`Error::NotPutBack`] if it failed after something was changed; before that,
/// what speaks against it. [`Error::Busy`] if it is paused by another run.
pub async fn run(setup: &Setup, options: &RunOptions) -> Result<Made> {
    run::run(setup, options).await
}

/// Puts everything back as the journal or the annotation says. May be repeated.
///
/// # Errors
/// [`Error::NotPutBack`] names what is not as before.
pub async fn rollback(setup: &Setup, options: &RollbackOptions) -> Result<PutBack> {
    rollback::rollback(setup, options).await
}

/// How it is. Changes nothing.
///
/// # Errors
/// [`Error::Kubernetes`], or if the journal can't be read.
pub async fn status(setup: &Setup) -> Result<Status> {
    status::status(setup).await
}

impl Setup {
    fn say(&self, text: &str) {
        (self.view)(text);
    }

    /// # Errors
    /// [`Error::Interrupted`].
    fn go_on(&self) -> Result<()> {
        match self.interrupted.load(Ordering::Relaxed) {
            true => Err(Error::Interrupted),
            false => Ok(()),
        }
    }
}

impl Name {
    /// Where HyperShift puts the control plane of it.
    pub fn control_plane(&self) -> String {
        format!("{}-{}", self.namespace, self.name.replace('.', "-"))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = |part: &str| {
            let mut bytes = part.bytes();
            let is_plain = bytes.all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
            !part.is_empty() && is_plain && part != "." && part != ".."
        };
        match text.split_once('/') {
            Some((namespace, name)) if named(namespace) && named(name) => {
                Ok(Self { namespace: namespace.into(), name: name.into() })
            }
            _ => Err("it is NAMESPACE/NAME, such as clusters/mine".into()),
        }
    }
}
