//! Everything that could speak against a migration, looked at on one host.
//!
//! ```text
//! host: kubelet, folders, runtime, clock  -> apiserver: the manifest -> encryption, keys
//!     -> etcd: all members -> space       -> store: rights            -> cluster: the Kubernetes API
//! across: what several hosts together tell
//! ```

mod across;
mod address;
mod apiserver;
mod cluster;
mod der;
mod encryption;
mod etcd;
mod host;
mod keys;
mod known;
mod run;
mod space;
mod store;
mod topic;
mod version;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::protocol::{EtcdAccess, KeyFiles, MemberFacts};

pub use across::{across, not_found};
pub use known::{Known, known, own_members};
pub use run::run;

/// What was found on a host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Preflight {
    /// In the order in which they matter.
    pub checks: Vec<Check>,
    /// What the orchestrator goes by.
    pub facts: Facts,
}

/// One thing looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// `etcd_prefix`, `clock`, …: stable, for programs.
    pub name: String,
    /// How it stands.
    pub standing: Standing,
    /// What was found, in a few words.
    pub found: String,
    /// Why it matters.
    pub why: String,
    /// What to do; empty if all is well.
    pub advice: String,
}

/// How a check stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Well.
    Ok,
    /// Worth a look.
    Warn,
    /// Can't be known from here: a person has to look.
    Ask,
    /// Speaks against the migration.
    Fail,
}

/// What was learnt of a host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// As the host calls itself.
    pub hostname: String,
    /// `x86_64` or `aarch64`.
    pub arch: String,
    /// Of the binary that answers.
    pub version: String,
    /// The host's clock when it answered, in milliseconds since 1970.
    pub now_ms: u64,
    /// How far that is ahead of the orchestrator's, the way there included; `None` if it didn't tell.
    #[serde(default)]
    pub clock_offset_ms: Option<i64>,
    /// `--etcd-prefix`; `/registry` if the manifest has none.
    pub etcd_prefix: String,
    /// As the API server reaches etcd.
    pub etcd: EtcdAccess,
    /// Members at those endpoints, and those that they know of.
    pub members: Vec<MemberFacts>,
    /// The id of the member on this host, if there is one.
    #[serde(default)]
    pub own_member: Option<String>,
    /// `v1.28.3`, from the API if it was asked, or else from the image.
    pub kubernetes_version: Option<String>,
    /// The URL of the API, if it was asked.
    #[serde(default)]
    pub api_server: Option<String>,
    /// `Asia/Shanghai`.
    pub time_zone: Option<String>,
    /// Where the keys of the bundle lie.
    pub keys: KeyFiles,
    /// The SHA-256 of what is public of the bundle's keys: `sapub`, `frontcrt`.
    #[serde(default)]
    pub public_keys: BTreeMap<String, String>,
    /// Manifests that sleep would move.
    pub would_move: Vec<String>,
    /// Manifests that stay.
    pub would_stay: Vec<String>,
}
