//! What the orchestrator and a host say to each other: JSON on stdin of `etcdprefix node step`, and
//! JSON on its stdout.
//!
//! All requests may be repeated: what is done already is found done.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::bundle::{Bundle, Extra};
use crate::cluster_id::ClusterId;
use crate::error::NodeError;
use crate::node::preflight::Preflight;

/// One step, asked for.
#[derive(Clone, Serialize, Deserialize)]
pub struct Call {
    /// The same id is the same step: a second call waits for the first one's result. Letters, digits,
    /// `-` and `.`.
    pub id: String,
    /// After so long the step is ended, its children too.
    pub limit_seconds: u64,
    /// What to do.
    pub request: Request,
    /// Variables that the step needs and nobody else may see: credentials of the store.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

/// What a host answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It is done.
    Done(Box<Response>),
    /// It is not.
    Failed(NodeError),
}

/// Who migrates: the holder of the lock on every host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Of this run.
    pub run: String,
    /// The cluster's id on the managed side.
    pub cluster: ClusterId,
    /// For people: user, host and process.
    pub by: String,
}

/// What to do.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Tell how the host is, without changing anything.
    Status,
    /// Take the lock, or refresh it.
    Lock {
        /// Who.
        owner: Owner,
        /// Take it over from a holder that hasn't been heard of for two minutes.
        take_over: bool,
    },
    /// Give the lock back, and remove what the run left on the host.
    Unlock {
        /// Who.
        owner: Owner,
        /// Where snapshots were put, if those that were left behind are to be removed.
        working_dir: Option<PathBuf>,
    },
    /// Look at everything that could speak against the migration.
    Preflight(PreflightRequest),
    /// Put the control plane to sleep and arm the timer.
    Sleep(SleepRequest),
    /// Put back what sleep moved.
    Wake(WakeRequest),
    /// Refresh lock and timer; start the timer's process if it is gone.
    Renew {
        /// Who.
        owner: Owner,
        /// From now.
        wake_after_seconds: u64,
    },
    /// Disarm the timer and forbid to wake: the bundle is about to be handed out.
    Fence {
        /// Who.
        owner: Owner,
    },
    /// Ask etcd who its members are.
    Members(EtcdAccess),
    /// Save, rewrite, verify, upload.
    Snapshot(Box<SnapshotRequest>),
    /// Read the keys and sign the URL. The answer is secret and is kept nowhere.
    Bundle(Box<BundleRequest>),
    /// Look once more whether somebody has written.
    Quiet(QuietRequest),
    /// Sign the URL alone. The answer is secret.
    Presign(PresignRequest),
    /// Delete the object, and prove that a URL finds it no more.
    Unpublish(ObjectAccess),
    /// End the step of this id, wherever it is.
    Cancel {
        /// Its id.
        id: String,
    },
}

/// What was found or done.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// To [`Request::Status`], [`Request::Lock`], [`Request::Unlock`], [`Request::Renew`].
    Status(NodeStatus),
    /// To [`Request::Preflight`].
    Preflight(Box<Preflight>),
    /// To [`Request::Sleep`].
    Slept(Slept),
    /// To [`Request::Wake`].
    Woken(Woken),
    /// To [`Request::Fence`].
    Fenced(NodeStatus),
    /// To [`Request::Members`].
    Members(Vec<MemberFacts>),
    /// To [`Request::Snapshot`].
    Snapshot(Box<Snapshotted>),
    /// To [`Request::Bundle`].
    Bundle(Box<Bundled>),
    /// To [`Request::Quiet`]: nobody has.
    Quiet,
    /// To [`Request::Presign`].
    Presigned(Signed),
    /// To [`Request::Unpublish`]: how it was done.
    Unpublished(String),
    /// To [`Request::Cancel`]: whether it was running.
    Cancelled(bool),
}

/// How a host is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// As the host calls itself.
    pub hostname: String,
    /// `x86_64` or `aarch64`.
    pub arch: String,
    /// Of the binary that answers.
    pub version: String,
    /// The host's clock, in milliseconds since 1970.
    pub now_ms: u64,
    /// Who holds it, and when they were last heard of.
    pub lock: Option<Lock>,
    /// Whether manifests are moved away by us, and which.
    pub asleep: Option<Asleep>,
    /// The timer that wakes it.
    pub timer: Option<Timer>,
    /// What the timer did, if it has fired in this run.
    pub fired: Option<String>,
    /// Whether waking is forbidden, and since when.
    pub fence: Option<Fence>,
    /// Whether a kube-apiserver runs: a process, or a container.
    pub api_server_runs: bool,
}

/// The migration that holds a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// Who.
    pub owner: Owner,
    /// Milliseconds since 1970, by the host's clock.
    pub taken_ms: u64,
    /// The last call of its holder.
    pub seen_ms: u64,
}

/// Manifests that sleep moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asleep {
    /// Of which run.
    pub run: String,
    /// When, in milliseconds since 1970.
    pub since_ms: u64,
    /// The file names.
    pub moved: Vec<String>,
}

/// A timer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timer {
    /// Of which run.
    pub run: String,
    /// Until it wakes the host.
    pub left_seconds: u64,
    /// Whether its process is there.
    pub alive: bool,
    /// Whether it had to be started again by this call: somebody killed it, or the host.
    #[serde(default)]
    pub restarted: bool,
}

/// A host that nothing wakes by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// Of which run.
    pub run: String,
    /// When, in milliseconds since 1970.
    pub since_ms: u64,
}

/// What to look at.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PreflightRequest {
    /// How etcd is asked; by default as the API server's manifest says.
    pub etcd: Option<EtcdAccess>,
    /// Where the snapshot goes; without it the store is not tried.
    pub store: Option<StoreAccess>,
    /// Where snapshots are put on the host.
    pub working_dir: PathBuf,
    /// How long a URL must live.
    pub presign_seconds: u64,
    /// Components to put to sleep beside the four.
    pub also: Vec<String>,
    /// Put all to sleep but etcd.
    pub all: bool,
    /// Ask the Kubernetes API too, with this kubeconfig; by default `/etc/kubernetes/admin.conf`.
    pub kubeconfig: Option<PathBuf>,
    /// Whether to look at what is the same from every host: the Kubernetes API.
    pub cluster_checks: bool,
    /// Whether the bundle is to have the cluster's own authority, too.
    #[serde(default)]
    pub extra: bool,
    /// The orchestrator's clock when it asked, in milliseconds since 1970; 0 for no comparison.
    pub asked_ms: u64,
}

/// How to put to sleep.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SleepRequest {
    /// Who.
    pub owner: Owner,
    /// Components beside the four.
    pub also: Vec<String>,
    /// All but etcd.
    pub all: bool,
    /// Until the timer wakes the host.
    pub wake_after_seconds: u64,
    /// How long to wait until nothing is left; then everything is put back.
    pub wait_seconds: u64,
}

/// How to wake.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WakeRequest {
    /// Who.
    pub owner: Owner,
    /// Take the lock over from a holder that hasn't been heard of for two minutes.
    pub take_over: bool,
    /// What allows to wake a fenced host.
    pub lift_fence: LiftFence,
    /// How long to wait until an API server runs again; 0 not to wait.
    pub wait_seconds: u64,
}

/// Why a fence may be lifted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LiftFence {
    /// It may not.
    #[default]
    No,
    /// The orchestrator's journal proves that the bundle was not handed out.
    NotHandedOut,
    /// The host itself remembers an engine's run that handed nothing out, or one of these proofs is of
    /// the host that made the run's snapshot: see [`crate::node::memory::Memory::proof`].
    Proven(Vec<String>),
    /// A person says that the managed side never started, and the URL is dead.
    NeverStarted,
}

/// What sleep did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slept {
    /// Manifests that lie in the backup folder now.
    pub moved: Vec<String>,
    /// Manifests that stay.
    pub left: Vec<String>,
    /// Where they were.
    pub folder: PathBuf,
    /// Where they are.
    pub backup: PathBuf,
    /// It was asleep before.
    pub already: bool,
    /// Until nothing was left running.
    pub seconds: f64,
    /// What is odd.
    pub warnings: Vec<String>,
}

/// What wake did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Woken {
    /// Manifests that are back.
    pub restored: Vec<String>,
    /// Nothing was asleep.
    pub already: bool,
    /// Whether an API server runs again; `None` if that was not waited for.
    pub api_server_runs: Option<bool>,
    /// How long it took.
    pub seconds: f64,
    /// What is odd.
    pub warnings: Vec<String>,
}

/// How etcd is asked from a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EtcdAccess {
    /// `https://127.0.0.1:2379`; several.
    pub endpoints: Vec<String>,
    /// Files on the host.
    #[serde(default)]
    pub cacert: Option<PathBuf>,
    /// The client's certificate.
    #[serde(default)]
    pub cert: Option<PathBuf>,
    /// Its key.
    #[serde(default)]
    pub key: Option<PathBuf>,
}

/// A member as a host sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberFacts {
    /// Where it was asked.
    pub endpoint: String,
    /// Its id, in hexadecimal.
    pub member_id: String,
    /// Its cluster's.
    pub cluster_id: String,
    /// Its name.
    pub name: Option<String>,
    /// Its etcd.
    pub version: String,
    /// Whether it leads.
    pub is_leader: bool,
    /// Whether it has no vote.
    pub is_learner: bool,
    /// The size of its file.
    pub db_size_bytes: u64,
    /// The part of it in use.
    pub db_in_use_bytes: u64,
    /// Its revision.
    pub revision: i64,
    /// Its alarms.
    pub alarms: Vec<String>,
}

/// A place in a store and how it is reached. Credentials come with the [`Call`], or are the host's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreAccess {
    /// `oss://bucket/prefix` or `s3://bucket/prefix`.
    pub url: String,
    /// The store's endpoint.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// The endpoint that presigned URLs name.
    #[serde(default)]
    pub presign_endpoint: Option<String>,
    /// The bucket's region.
    #[serde(default)]
    pub region: Option<String>,
    /// Use the internal network of the region.
    #[serde(default)]
    pub internal: bool,
    /// A folder with credential files on the host.
    #[serde(default)]
    pub credentials: Option<PathBuf>,
    /// A profile of the vendors' files on the host.
    #[serde(default)]
    pub profile: Option<String>,
    /// A file with authorities for the store's TLS on the host.
    #[serde(default)]
    pub cacert: Option<PathBuf>,
    /// Bucket in the path instead of the host name.
    #[serde(default)]
    pub path_style: bool,
}

/// One object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectAccess {
    /// Where, with the object's key in [`StoreAccess::url`].
    pub store: StoreAccess,
}

/// What to save and where it goes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SnapshotRequest {
    /// Who.
    pub owner: Owner,
    /// How etcd is asked.
    pub etcd: EtcdAccess,
    /// Refuse unless a member at the endpoints leads.
    pub require_leader: bool,
    /// Where the object goes, its key included.
    pub store: StoreAccess,
    /// Where files are put on the host meanwhile.
    pub working_dir: PathBuf,
    /// The prefix of the source.
    pub src_prefix: String,
    /// Accept values that can't be decrypted after the move.
    pub allow_undecryptable: bool,
    /// What the managed side's etcd holds at most.
    pub target_quota_bytes: Option<u64>,
    /// With the cluster up: nothing but a probe is uploaded, and writes are no fault.
    pub rehearsal: bool,
    /// Keep the files in the working folder.
    pub keep: bool,
    /// For the rehearsal's probe.
    pub presign_seconds: u64,
}

/// What was saved, rewritten and uploaded.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Snapshotted {
    /// The object's URL: no secret.
    pub object: String,
    /// Its size; in a rehearsal what it would be.
    pub bytes: u64,
    /// The SHA-256 of its pages, which is its trailer.
    pub sha256: String,
    /// The revision of the store.
    pub revision: i64,
    /// Records whose key was rewritten.
    pub matched: u64,
    /// Records that stayed as they were.
    pub unmatched: u64,
    /// The member it is from.
    pub member: String,
    /// Why this one.
    pub chosen: String,
    /// Whether file and member agree on HashKV, and on which.
    pub hashkv: Option<u32>,
    /// Everything after this revision is still to be looked at.
    pub quiet_until: i64,
    /// Writes between the start of the watch and its last look; none in a rehearsal.
    pub quiet: Option<serde_json::Value>,
    /// How long each part took, in order.
    pub phases: Vec<(String, f64)>,
    /// Files that were kept.
    pub kept: Vec<PathBuf>,
    /// What is odd.
    pub warnings: Vec<String>,
}

/// What the bundle is made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BundleRequest {
    /// Who.
    pub owner: Owner,
    /// The object.
    pub object: ObjectAccess,
    /// Until the URL ends.
    pub presign_seconds: u64,
    /// How etcd is asked whether somebody wrote.
    pub etcd: EtcdAccess,
    /// The snapshot's revision, and up to which the watch has seen all.
    pub revision: i64,
    /// See [`Snapshotted::quiet_until`].
    pub quiet_until: i64,
    /// Where the keys lie.
    pub keys: KeyFiles,
    /// With ca and EncryptionConfiguration too.
    pub extra: bool,
}

/// From where on to look whether somebody has written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QuietRequest {
    /// How etcd is asked.
    pub etcd: EtcdAccess,
    /// The snapshot's revision.
    pub revision: i64,
    /// See [`Snapshotted::quiet_until`].
    pub quiet_until: i64,
}

/// Where a host has the keys, as its API server's manifest says: paths of the host, not of the
/// container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFiles {
    /// `--service-account-signing-key-file`.
    pub sakey: PathBuf,
    /// The public key of it, or the first of `--service-account-key-file` that belongs to it.
    pub sapub: PathBuf,
    /// `--requestheader-client-ca-file`.
    pub frontcrt: PathBuf,
    /// Its key, which no flag names: beside it.
    pub frontkey: PathBuf,
    /// `--client-ca-file`.
    pub cacrt: PathBuf,
    /// Its key, beside it.
    pub cakey: PathBuf,
    /// `--encryption-provider-config`, if there is one.
    pub encryption_config: Option<PathBuf>,
}

impl Default for KeyFiles {
    /// As kubeadm and ACK lay them.
    fn default() -> Self {
        let pki = |name: &str| PathBuf::from("/etc/kubernetes/pki").join(name);
        Self {
            sakey: pki("sa.key"),
            sapub: pki("sa.pub"),
            frontcrt: pki("front-proxy-ca.crt"),
            frontkey: pki("front-proxy-ca.key"),
            cacrt: pki("ca.crt"),
            cakey: pki("ca.key"),
            encryption_config: None,
        }
    }
}

/// A bundle, and what was found when it was made. Secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bundled {
    /// Keys and URL.
    pub bundle: Bundle,
    /// For targets that need more.
    pub extra: Option<Extra>,
    /// When the URL ends, in milliseconds since 1970.
    pub ends_ms: u64,
    /// Whether the URL was tried from the host, or why not.
    pub probe: String,
    /// Writes since the snapshot.
    pub quiet: serde_json::Value,
    /// What is odd.
    pub warnings: Vec<String>,
}

/// What to sign.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PresignRequest {
    /// The object.
    pub object: ObjectAccess,
    /// Until the URL ends.
    pub presign_seconds: u64,
}

/// A URL. Secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Signed {
    /// The URL.
    pub url: crate::bundle::Sensitive,
    /// When it ends, in milliseconds since 1970.
    pub ends_ms: u64,
    /// Whether it was tried from the host, or why not.
    pub probe: String,
    /// What is odd.
    pub warnings: Vec<String>,
}
