//! What was before, so that anybody can put it back.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::After;
use crate::error::{Error, Result};
use crate::protocol::StoreAccess;

/// On the HostedCluster for as long as it is not as before: what to put back, and a lock.
pub const ANNOTATION: &str = "etcdprefix.github.io/asleep";

/// What a run found before it changed anything. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Of the run.
    pub run: String,
    /// The HostedCluster's: another one of this name is not ours to change.
    pub uid: String,
    /// The API server that it was found at, for people.
    pub server: String,
    /// The namespace that its control plane runs in.
    pub control_plane: String,
    /// Who runs it, for people.
    pub by: String,
    /// When it was begun.
    pub began: String,
    /// What is to be afterwards.
    pub after: After,
    /// Whether the snapshot is made, and all is left asleep as asked for.
    pub made: bool,
    /// `spec.pausedUntil`; `None` if it was not there.
    pub paused_until: Option<String>,
    /// Every Deployment that was there.
    pub writers: Vec<Writer>,
    /// The object that the snapshot goes to.
    pub object: StoreAccess,
}

/// A Deployment that writes to etcd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Writer {
    /// Its name.
    pub name: String,
    /// Its uid: another one of this name is not ours to scale.
    pub uid: String,
    /// `spec.replicas`.
    pub replicas: i64,
}

impl Record {
    /// Of a HostedCluster, if it has one.
    ///
    /// # Errors
    /// [`Error::NotFit`] for one that can't be read.
    pub fn of(hosted_cluster: &Value) -> Result<Option<Self>> {
        let Some(text) = hosted_cluster["metadata"]["annotations"][ANNOTATION].as_str() else {
            return Ok(None);
        };
        let read = serde_json::from_str(text);
        read.map(Some).map_err(|error| {
            Error::NotFit(format!(
                "the annotation {ANNOTATION} of the HostedCluster can't be read ({error}); try: to \
                 put pausedUntil and replicas back by hand as it says, then to remove it"
            ))
        })
    }

    /// Whether it is to stay asleep until somebody wakes it.
    pub fn is_left(&self) -> bool {
        self.made && self.after == After::Stay
    }

    /// For the annotation: without the paths of this machine.
    pub fn annotation(&self) -> String {
        let object =
            StoreAccess { credentials: None, profile: None, cacert: None, ..self.object.clone() };
        serde_json::to_string(&Self { object, ..self.clone() }).unwrap_or_default()
    }
}
