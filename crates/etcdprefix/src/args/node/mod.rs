//! The flags of `node`: one step on this host, for people and for other engines than ours.

mod help;

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};

use super::go::GoDuration;
use super::migrate::config::{EtcdArgs, StoreArgs};
use crate::exit;
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
    /// Show what we have done to this host
    Status(StatusArgs),
    /// One step of an orchestrator: JSON on stdin, JSON on stdout
    #[command(hide = true)]
    Step(StateArgs),
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
    mut_arg("etcd_endpoints", |endpoints| endpoints.required(true)),
)]
pub struct SnapshotArgs {
    /// The prefix of the keys
    #[arg(long, value_name = "PREFIX", default_value = "/registry")]
    pub src_prefix: String,

    /// Exit 21 unless a member at the endpoints leads
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
    mut_arg("store", |store| store.required(true)),
    mut_arg("etcd_endpoints", |endpoints| endpoints.required(true)),
    group(clap::ArgGroup::new("way").required(true).args(["output", "print_bundle"])),
)]
pub struct BundleArgs {
    /// The snapshot's revision, as `node snapshot` tells it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    pub revision: i64,

    /// Up to which revision writes were looked for, as `node snapshot` tells it (quiet_until);
    /// by default the snapshot's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    pub quiet_until: Option<i64>,

    /// How long the URL is to live
    #[arg(long, value_name = "TIME", default_value = "40m")]
    pub presign_lifetime: GoDuration,

    /// Write the bundle here (0600); what is there is replaced
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Print the bundle on stdout: a secret
    #[arg(long, conflicts_with_all = ["recipient", "output"])]
    pub print_bundle: bool,

    /// Encrypt the bundle for this age recipient (age1...); repeatable
    #[arg(long, value_name = "AGE", value_parser = NonEmptyStringValueParser::new())]
    pub recipient: Vec<String>,

    /// Put the cluster's CA and the API server's EncryptionConfiguration into it too
    #[arg(long, requires = "recipient")]
    pub bundle_extra: bool,

    /// Where the keys lie, under their names in a cluster of kubeadm
    #[arg(long, value_name = "DIR", default_value = "/etc/kubernetes/pki")]
    pub pki: PathBuf,

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

const WORKING_DIR: &str = "/var/lib/etcdprefix/work";
