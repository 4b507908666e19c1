//! The flags of `node`: one step on this host, for people and for other engines than ours.

pub mod engine;
mod help;

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};

use super::go::GoDuration;
use super::migrate::config::{EtcdArgs, StoreArgs};
use crate::exit;
use engine::{AnyRunArgs, FenceArgs, LeaderArgs, PresignArgs, UnpublishArgs};
pub use help::ABOUT;
use help::{BUNDLE, PREFLIGHT, SLEEP, SNAPSHOT, STATUS, WAKE};

/// What to do on this host.
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// Look at everything on this host that could speak against a migration
    Preflight(Box<PreflightArgs>),
    /// Put this host's control plane to sleep, and arm the timer that wakes it
    Sleep(SleepArgs),
    /// Put back what sleep moved away
    Wake(WakeArgs),
    /// Save etcd, rewrite it and upload it
    Snapshot(Box<SnapshotArgs>),
    /// Read the keys and sign the snapshot's URL
    Bundle(Box<BundleArgs>),
    /// Tell whether this host's member of etcd leads
    Leader(LeaderArgs),
    /// Disarm the timer and forbid to wake: a bundle is about to be handed out
    Fence(FenceArgs),
    /// Make the snapshot that this host made go away, and prove it
    Unpublish(Box<UnpublishArgs>),
    /// Sign a URL for the snapshot that this host made again
    Presign(Box<PresignArgs>),
    /// Show what we have done to this host
    Status(StatusArgs),
    /// One step of an orchestrator: JSON on stdin, JSON on stdout
    #[command(hide = true)]
    Step(StateArgs),
    /// A step whose reply goes through other hands: sealed, and in pages
    #[command(hide = true)]
    Relay(RelayArgs),
    /// The step itself, which goes on without whoever asked for it
    #[command(hide = true)]
    Work(StateArgs),
    /// The timer itself
    #[command(hide = true)]
    Timer(StateArgs),
}

/// Where we keep what we know on this host.
#[derive(Clone, Debug, Args)]
pub struct StateArgs {
    /// Where our state lies on this host
    #[arg(long, value_name = "DIR", default_value = "/var/lib/etcdprefix")]
    pub state: PathBuf,

    /// The folder with static pods; by default what the kubelet's configuration says
    #[arg(long, value_name = "DIR")]
    pub manifests: Option<PathBuf>,
}

/// Who does it: the same for all steps of a migration, on all its hosts.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "The migration")]
pub struct OwnerArgs {
    /// The cluster's id on the managed side
    #[arg(long, value_name = "ID")]
    pub cluster_id: String,

    /// What this migration is called; a host is held by one at a time
    #[arg(long, value_name = "NAME", default_value = "by-hand",
        value_parser = NonEmptyStringValueParser::new())]
    pub run: String,
}

/// Which components sleep.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "What sleeps")]
pub struct ComponentArgs {
    /// Put this component to sleep too; repeatable
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub also: Vec<String>,

    /// Put every static pod to sleep but etcd, as the cloud's template does
    #[arg(long)]
    pub all: bool,
}

#[derive(Debug, Args)]
#[command(after_help = PREFLIGHT.to_owned() + &exit::help())]
pub struct PreflightArgs {
    /// Where snapshots would be put meanwhile
    #[arg(long, value_name = "DIR", default_value = WORKING_DIR)]
    pub working_dir: PathBuf,

    /// How long a URL would have to live
    #[arg(long, value_name = "TIME", default_value = "40m")]
    pub presign_lifetime: GoDuration,

    /// Don't ask the Kubernetes API
    #[arg(long)]
    pub no_cluster_checks: bool,

    /// The kubeconfig to ask it with [default: /etc/kubernetes/admin.conf]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    #[command(flatten)]
    pub state: StateArgs,

    #[command(flatten)]
    pub components: ComponentArgs,

    #[command(flatten)]
    pub etcd: EtcdArgs,

    #[command(flatten)]
    pub store: StoreArgs,
}

#[derive(Debug, Args)]
#[command(after_help = SLEEP.to_owned() + &exit::help())]
pub struct SleepArgs {
    /// Until the host wakes by itself, at least 5m
    #[arg(long, value_name = "TIME", default_value = "20m")]
    pub wake_after: GoDuration,

    /// How long to wait until nothing is left running; then everything is put back
    #[arg(long, value_name = "TIME", default_value = "3m")]
    pub wait: GoDuration,

    #[command(flatten)]
    pub state: StateArgs,

    #[command(flatten)]
    pub components: ComponentArgs,

    #[command(flatten)]
    pub owner: OwnerArgs,
}

#[derive(Debug, Args)]
#[command(after_help = WAKE.to_owned() + &exit::help())]
pub struct WakeArgs {
    /// Take the host over from a migration that was not heard of for two minutes
    #[arg(long)]
    pub take_over: bool,

    /// Wake it although a bundle was handed out: I know that the managed side has never
    /// started with it, and have made its URL dead, which this command doesn't
    #[arg(long)]
    pub managed_side_never_started: bool,

    /// Wake it although it is fenced, if it made the snapshot and handed nothing out, or that is
    /// dead; on other hosts with --proof
    #[arg(long, conflicts_with = "managed_side_never_started")]
    pub not_handed_out: bool,

    /// What `node unpublish --print-proof` printed on the host that made the snapshot;
    /// repeatable, those of other runs are passed over
    #[arg(long, value_name = "PROOF", requires = "not_handed_out")]
    pub proof: Vec<String>,

    #[command(flatten)]
    pub any_run: AnyRunArgs,

    /// How long to wait until an API server runs again
    #[arg(long, value_name = "TIME", default_value = "90s")]
    pub wait: GoDuration,

    #[command(flatten)]
    pub state: StateArgs,

    #[command(flatten)]
    pub owner: OwnerArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = SNAPSHOT.to_owned() + &exit::help(),
    mut_arg("store", |store| store.required(true)),
)]
pub struct SnapshotArgs {
    /// The prefix of the keys; by default the API server's --etcd-prefix
    #[arg(long, value_name = "PREFIX")]
    pub src_prefix: Option<String>,

    /// Exit 21 unless a member at the endpoints leads; without --etcd-endpoints unless this
    /// host's does
    #[arg(long)]
    pub require_leader: bool,

    /// With the cluster up: upload nothing but a probe, and take writes for no fault
    #[arg(long)]
    pub rehearsal: bool,

    /// How long the rehearsal's probe's URL is to live
    #[arg(long, value_name = "TIME", default_value = "40m")]
    pub presign_lifetime: GoDuration,

    /// Keep the files in the working folder
    #[arg(long)]
    pub keep: bool,

    /// Where they are put meanwhile
    #[arg(long, value_name = "DIR", default_value = WORKING_DIR)]
    pub working_dir: PathBuf,

    /// Accept encrypted values that can't be decrypted after the move
    #[arg(long)]
    pub allow_undecryptable: bool,

    /// Refuse a snapshot of more than this many bytes
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    pub target_quota: Option<u64>,

    #[command(flatten)]
    pub state: StateArgs,

    #[command(flatten)]
    pub owner: OwnerArgs,

    #[command(flatten)]
    pub etcd: EtcdArgs,

    #[command(flatten)]
    pub store: StoreArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = BUNDLE.to_owned() + &exit::help(),
    group(clap::ArgGroup::new("way").required(true).args(["output", "print_bundle"])),
)]
pub struct BundleArgs {
    /// The snapshot's revision, as `node snapshot` tells it; by default, with the object in
    /// --store, what it made here last
    #[arg(long, value_name = "N", requires = "store",
        value_parser = clap::value_parser!(i64).range(1..))]
    pub revision: Option<i64>,

    /// Up to which revision writes were looked for, as `node snapshot` tells it (quiet_until);
    /// by default the snapshot's
    #[arg(long, value_name = "N", requires = "revision",
        value_parser = clap::value_parser!(i64).range(1..))]
    pub quiet_until: Option<i64>,

    /// How long the URL is to live
    #[arg(long, value_name = "TIME", default_value = "40m")]
    pub presign_lifetime: GoDuration,

    /// Write the bundle here (0600); what is there is replaced
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Print the bundle on stdout: a secret, unless it is encrypted (armored then)
    #[arg(long, conflicts_with = "output")]
    pub print_bundle: bool,

    /// Encrypt the bundle for this age recipient (age1...); repeatable
    #[arg(long, value_name = "AGE", value_parser = NonEmptyStringValueParser::new())]
    pub recipient: Vec<String>,

    /// Put the cluster's CA and the API server's EncryptionConfiguration into it too
    #[arg(long, requires = "recipient")]
    pub bundle_extra: bool,

    /// Where the keys lie, under their names in a cluster of kubeadm; by default where the
    /// API server's manifest says
    #[arg(long, value_name = "DIR")]
    pub pki: Option<PathBuf>,

    /// The API server's EncryptionConfiguration, for --bundle-extra
    #[arg(long, value_name = "FILE", requires = "bundle_extra")]
    pub encryption_config: Option<PathBuf>,

    #[command(flatten)]
    pub state: StateArgs,

    #[command(flatten)]
    pub owner: OwnerArgs,

    #[command(flatten)]
    pub etcd: EtcdArgs,

    #[command(flatten)]
    pub store: StoreArgs,
}

#[derive(Debug, Args)]
#[command(after_help = STATUS.to_owned() + &exit::help())]
pub struct StatusArgs {
    #[command(flatten)]
    pub state: StateArgs,
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["recipient", "offset"])))]
pub struct RelayArgs {
    /// Where our state lies on this host
    #[arg(long, value_name = "DIR", default_value = "/var/lib/etcdprefix")]
    pub state: PathBuf,

    /// The same id is the same run
    #[arg(long, value_name = "ID")]
    pub id: String,

    /// How long a page of the sealed reply may be, before Base64
    #[arg(long, value_name = "BYTES")]
    pub page_bytes: usize,

    /// Run this program, seal what it ends with to this age recipient, print the first page
    #[arg(long, value_name = "AGE")]
    pub recipient: Option<String>,

    /// Print the page that begins there
    #[arg(long, value_name = "BYTES")]
    pub offset: Option<u64>,

    /// Remove this reply; repeatable
    #[arg(long, value_name = "ID", requires = "recipient")]
    pub forget: Vec<String>,

    /// What to run this program with
    #[arg(last = true, value_name = "WORD", requires = "recipient")]
    pub words: Vec<String>,
}

pub const WORKING_DIR: &str = "/var/lib/etcdprefix/work";
