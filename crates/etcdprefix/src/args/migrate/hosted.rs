//! The flags of `migrate hosted`.

mod help;
mod reach;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::args::go::GoDuration;
use crate::exit;
use help::{ROLLBACK, RUN, STATUS, STORE};
pub use reach::{EtcdArgs, StoreArgs, StoreReachArgs};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum HostedCommand {
    /// Pause it, stop what writes to its etcd, save and upload a snapshot, and write what a
    /// new HostedCluster needs; everything is put back if anything fails
    Run(Box<RunArgs>),
    /// Put everything back as it was: after a run that was killed, or after --after stay
    Rollback(Box<RollbackArgs>),
    /// Show how it is, and what it was before; nothing is changed
    Status(Box<StatusArgs>),
}

/// Which one it is.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "The hosted cluster")]
pub struct HostedArgs {
    /// The HostedCluster
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub hosted_cluster: String,

    /// Where its control plane runs [default: NAMESPACE-NAME]
    #[arg(long, value_name = "NAMESPACE")]
    pub control_plane_namespace: Option<String>,

    /// How to reach the management cluster; by default ~/.kube/config
    #[arg(long, env = "KUBECONFIG", value_name = "FILE", hide_env_values = true)]
    pub kubeconfig: Option<PathBuf>,

    /// The folder of it here: journal, and what is made (0700); by default below
    /// ETCDPREFIX_HOME or ~/.etcdprefix
    #[arg(long, value_name = "DIR")]
    pub folder: Option<PathBuf>,
}

/// What is to be with it afterwards; mirrors the library's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AfterArg {
    Wake,
    Stay,
}

#[derive(Debug, Args)]
#[command(after_help = RUN.to_owned() + STORE + &exit::help())]
pub struct RunArgs {
    #[command(flatten)]
    pub hosted: HostedArgs,

    /// What is to be afterwards: everything as before (wake; later writes are not in the
    /// snapshot), or paused and stopped as long as you like (stay)
    #[arg(long, value_name = "wake|stay", hide_possible_values = true)]
    pub after: AfterArg,

    /// Look at everything, tell what would be done, and change nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Change the keys' prefix from this; only with --dest-prefix. Without both nothing is
    /// rewritten: a hosted API server uses /kubernetes.io on both sides
    #[arg(long, value_name = "PREFIX", requires = "dest_prefix")]
    pub src_prefix: Option<String>,

    /// To this
    #[arg(long, value_name = "PREFIX", requires = "src_prefix")]
    pub dest_prefix: Option<String>,

    /// How long the URL is to live, at most 168h
    #[arg(long, value_name = "TIME", default_value = "1h")]
    pub presign_lifetime: GoDuration,

    /// How long the writers may take to stop
    #[arg(long, value_name = "TIME", default_value = "5m")]
    pub stop_limit: GoDuration,

    /// How long putting everything back is tried if the API does not answer
    #[arg(long, value_name = "TIME", default_value = "2m")]
    pub put_back_limit: GoDuration,

    #[command(flatten)]
    pub files: FileArgs,

    #[command(flatten)]
    pub etcd: EtcdArgs,

    #[command(flatten)]
    pub store: StoreArgs,
}

/// What is made.
#[derive(Clone, Debug, Args)]
#[command(
    next_help_heading = "What is made: files for you alone (0600), for there are secrets in them"
)]
pub struct FileArgs {
    /// spec.etcd of a new HostedCluster, with the URL [default: etcd.yaml in --folder]
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// The Secrets with the encryption keys [default: encryption-keys.yaml in --folder]
    #[arg(long, value_name = "FILE")]
    pub secrets: Option<PathBuf>,

    /// Put both into these manifests (hcp create cluster --render); all else in them stays
    #[arg(long, value_name = "FILE")]
    pub into: Option<PathBuf>,

    /// The HostedCluster in --into, if it has several
    #[arg(long, value_name = "NAME", requires = "into")]
    pub into_name: Option<String>,

    /// Print the fragment on stdout: its URL is a key to every secret of the cluster
    #[arg(long)]
    pub print_fragment: bool,
}

#[derive(Debug, Args)]
#[command(after_help = ROLLBACK.to_owned() + &exit::help())]
pub struct RollbackArgs {
    #[command(flatten)]
    pub hosted: HostedArgs,

    /// Also if it was begun on another machine, and the snapshot is not made: I know that
    /// nobody is at work there
    #[arg(long)]
    pub take_over: bool,

    /// Leave what somebody changed meanwhile as it is now, and what can't be removed from
    /// the store, and close
    #[arg(long)]
    pub accept_changed: bool,

    /// How long it is tried if the API does not answer
    #[arg(long, value_name = "TIME", default_value = "2m")]
    pub put_back_limit: GoDuration,

    #[command(flatten)]
    pub store: StoreReachArgs,
}

#[derive(Debug, Args)]
#[command(after_help = STATUS.to_owned() + &exit::help())]
pub struct StatusArgs {
    #[command(flatten)]
    pub hosted: HostedArgs,
}
