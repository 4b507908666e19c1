//! What commands end with.

use std::path::PathBuf;

use serde::Serialize;

use super::found::{Encryption, WriterFound};
use super::journal::Phase;
use super::{After, Record};
use crate::bundle::Sensitive;
use crate::flow::PhaseTime;

/// A snapshot, and what a new HostedCluster needs.
#[derive(Clone, Debug)]
pub struct Made {
    /// Of the run.
    pub run: String,
    /// NAMESPACE/NAME.
    pub hosted_cluster: String,
    /// What is now.
    pub after: After,
    /// The object.
    pub object: String,
    /// Its size.
    pub bytes: u64,
    /// The SHA-256 of its pages.
    pub sha256: String,
    /// The store's revision.
    pub revision: i64,
    /// The member that it came from.
    pub member: String,
    /// Why this one.
    pub chosen: String,
    /// HashKV that the saved file and the member agree on.
    pub hashkv: Option<u32>,
    /// Records rewritten; `None` if no prefix was changed.
    pub rewritten: Option<u64>,
    /// The size of the new volumes.
    pub volume: String,
    /// By which the new cluster fetches the snapshot. Secret.
    pub url: Sensitive,
    /// When it ends, in milliseconds since 1970.
    pub url_ends_ms: u64,
    /// The fragment. Secret: the URL is in it.
    pub fragment: Sensitive,
    /// Where it is.
    pub output: PathBuf,
    /// Manifests that have it too.
    pub into: Option<PathBuf>,
    /// The Secrets with encryption keys.
    pub secrets: Option<PathBuf>,
    /// How Secrets are encrypted.
    pub encryption: Encryption,
    /// The Deployments that were stopped, as they were before.
    pub writers: Vec<WriterFound>,
    /// From the pause until it was lifted, or until now.
    pub asleep_seconds: f64,
    /// How long what took.
    pub phases: Vec<PhaseTime>,
    /// What is odd.
    pub warnings: Vec<String>,
}

/// Everything as it was.
#[derive(Clone, Debug, Serialize)]
pub struct PutBack {
    /// Of which run; `None` if nothing was asleep.
    pub run: Option<String>,
    /// What was changed for it, for people.
    pub changed: Vec<String>,
    /// Whether the object of a run that came to nothing is gone; `None` if there was none to remove.
    pub object_deleted: Option<bool>,
    /// What is odd.
    pub warnings: Vec<String>,
}

/// How it is.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// NAMESPACE/NAME.
    pub hosted_cluster: String,
    /// `spec.pausedUntil` now.
    pub paused_until: Option<String>,
    /// The record in the annotation, if there is one.
    pub asleep: Option<Record>,
    /// Each writer now and before.
    pub writers: Vec<WriterStatus>,
    /// How far the last run of this machine is.
    pub journal: Option<Phase>,
    /// What to do.
    pub advice: String,
}

/// A Deployment.
#[derive(Clone, Debug, Serialize)]
pub struct WriterStatus {
    /// Its name.
    pub name: String,
    /// `spec.replicas` now; `None` if it is not there.
    pub replicas: Option<i64>,
    /// As recorded before.
    pub before: Option<i64>,
}
