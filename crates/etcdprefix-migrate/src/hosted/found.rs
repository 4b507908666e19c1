//! What was found before anything is changed.

use serde::Serialize;

use super::After;

/// A hosted cluster, and what a run would do with it.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// NAMESPACE/NAME.
    pub hosted_cluster: String,
    /// The namespace of its control plane.
    pub control_plane: String,
    /// Of HyperShift's API, such as `v1beta1`.
    pub api_version: String,
    /// `spec.pausedUntil` as it is.
    pub paused_until: Option<String>,
    /// The Deployments that are stopped.
    pub writers: Vec<WriterFound>,
    /// How Secrets are encrypted.
    pub encryption: Encryption,
    /// The size of its volumes.
    pub volume: Option<String>,
    /// The way to etcd.
    pub way: String,
    /// The member that leads, or who answers.
    pub member: String,
    /// The size of its database.
    pub db_bytes: u64,
    /// Where the snapshot goes.
    pub object: String,
    /// The change of prefix, if one is made.
    pub prefixes: Option<(String, String)>,
    /// What is to be afterwards.
    pub after: After,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// A Deployment that writes to etcd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WriterFound {
    /// Its name.
    pub name: String,
    /// `spec.replicas`; `None` if it is not there.
    pub replicas: Option<i64>,
}

/// How Secrets in etcd are encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Encryption {
    /// Not at all.
    None,
    /// With keys in Secrets.
    Aescbc {
        /// The Secret that new ones are encrypted with.
        active_key: String,
        /// The Secret that older ones may be encrypted with.
        backup_key: Option<String>,
    },
    /// With a key of a key service.
    Kms {
        /// Which service.
        provider: String,
    },
}
