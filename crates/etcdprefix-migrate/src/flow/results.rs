//! What the orchestrator ends with.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::bundle::{Bundle, Sensitive};
use crate::node::preflight::{Check, Preflight};
use crate::protocol::{NodeStatus, Snapshotted};

/// A step of all hosts, and how long it took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhaseTime {
    /// `sleep`, `save`, `rewrite`, `upload`, …
    pub name: String,
    /// From its begin to its end.
    pub seconds: f64,
}

/// A rehearsal, also `rehearsal.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rehearsal {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// Of what it was: another configuration needs another rehearsal.
    pub config_digest: String,
    /// By host, in the configuration's order.
    pub hosts: Vec<(String, Preflight)>,
    /// What only all hosts together show.
    pub across: Vec<Check>,
    /// The snapshot that was saved and rewritten.
    pub snapshot: Snapshotted,
    /// Which host it was made on.
    pub snapshot_host: String,
    /// How long each part took.
    pub phases: Vec<PhaseTime>,
    /// From the first sleep to the URL, predicted.
    pub expected_outage_seconds: f64,
    /// What is odd.
    pub warnings: Vec<String>,
}

/// A migration that is handed out.
#[derive(Clone, Debug)]
pub struct HandedOut {
    /// Of the run.
    pub run: String,
    /// Where the bundle is.
    pub bundle_file: PathBuf,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// What is in it. Secret.
    pub bundle: Bundle,
    /// The object.
    pub snapshot: Snapshotted,
    /// Which host made it.
    pub snapshot_host: String,
    /// When the URL ends, in milliseconds since 1970.
    pub url_ends_ms: u64,
    /// From the first sleep to the URL.
    pub outage_seconds: f64,
    /// By host, what the cloud's template would have printed.
    pub outputs: Outputs,
    /// How long each part took, in order.
    pub phases: Vec<PhaseTime>,
    /// What is odd.
    pub warnings: Vec<String>,
}

/// The outputs of the cloud's template, by its names; one text for each host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outputs {
    /// What putting to sleep said.
    pub sleep_or_wakeup_control_plane_outputs: Vec<String>,
    /// What saving, rewriting and uploading said.
    pub etcd_checkout_outputs: Vec<String>,
    /// The host with the leader.
    pub find_leader_outputs: Vec<String>,
    /// The bundle: a secret, so here only where it lies.
    pub read_sign_outputs: Vec<String>,
}

/// A rollback.
#[derive(Clone, Debug, Serialize)]
pub struct RolledBack {
    /// By host: the manifests that are back.
    pub hosts: Vec<(String, Vec<String>)>,
    /// Whether the object was deleted, if there was one.
    pub object_deleted: Option<bool>,
    /// What is odd.
    pub warnings: Vec<String>,
}

/// How far a migration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// There is no journal.
    None,
    /// It was begun, and nothing is handed out.
    Running,
    /// The bundle may have been handed out, or was.
    HandedOut,
    /// It was rolled back.
    RolledBack,
    /// It was closed.
    Finished,
}

/// How everything is.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// By the journal.
    pub phase: Phase,
    /// Of which run.
    pub run: Option<String>,
    /// The last line of the journal, for people.
    pub last: Option<String>,
    /// The object, if it is uploaded.
    pub object: Option<String>,
    /// Every host.
    pub hosts: Vec<HostReport>,
    /// What to do now.
    pub advice: String,
}

/// A host's answer.
#[derive(Clone, Debug, Serialize)]
pub struct HostReport {
    /// Which.
    pub host: String,
    /// Its status.
    pub status: Option<NodeStatus>,
    /// Why there is none.
    pub error: Option<String>,
}

/// A migration that is closed.
#[derive(Clone, Debug, Serialize)]
pub struct Finished {
    /// Of the run.
    pub run: String,
    /// Hosts that did not answer: their locks are still there.
    pub silent: Vec<String>,
}

/// A URL for the same object. Secret.
#[derive(Clone, Debug)]
pub struct Presigned {
    /// The object.
    pub object: String,
    /// The URL.
    pub url: Sensitive,
    /// When it ends, in milliseconds since 1970.
    pub ends_ms: u64,
    /// Where the bundle with the new URL is.
    pub bundle_file: Option<PathBuf>,
}
