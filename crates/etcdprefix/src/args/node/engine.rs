//! The flags of steps that engines need beside the others: those of the template, one a task.

use std::path::PathBuf;

use clap::Args;

use super::help::{FENCE, LEADER, PRESIGN, UNPUBLISH};
use super::{OwnerArgs, StateArgs};
use crate::args::go::GoDuration;
use crate::args::migrate::config::{EtcdArgs, StoreArgs};
use crate::exit;

#[derive(Debug, Args)]
#[command(after_help = LEADER.to_owned() + &exit::help())]
pub struct LeaderArgs {
    /// Print TEXT and nothing else if this host's member leads, nothing if it doesn't; exit 0
    /// both times
    #[arg(long, value_name = "TEXT")]
    pub print: Option<String>,

    #[command(flatten)]
    pub state: StateArgs,

    #[command(flatten)]
    pub etcd: EtcdArgs,
}

#[derive(Debug, Args)]
#[command(after_help = FENCE.to_owned() + &exit::help())]
pub struct FenceArgs {
    /// Exit 31 unless etcd has so many members, learners and stopped ones too: of a cluster's
    /// masters none may be forgotten
    #[arg(long, value_name = "N")]
    pub hosts: Option<usize>,

    /// What the host that made the snapshot is called, if it is not this one: its proof alone
    /// lifts this fence
    #[arg(long, value_name = "NAME")]
    pub made_on: Option<String>,

    #[command(flatten)]
    pub state: StateArgs,

    #[command(flatten)]
    pub owner: OwnerArgs,
}

/// Whose migration is meant by a step that undoes something, or only looks.
#[derive(Clone, Copy, Debug, Args)]
pub struct AnyRunArgs {
    /// Take the run of this cluster that holds the host in place of --run
    #[arg(long)]
    pub any_run: bool,
}

#[derive(Debug, Args)]
#[command(after_help = UNPUBLISH.to_owned() + &exit::help())]
pub struct UnpublishArgs {
    /// Exit 37 and change nothing if a bundle or a URL was handed out
    #[arg(long)]
    pub unless_handed_out: bool,

    /// Print the proof for other hosts' `node wake` if this host, by the name of --made-on, made
    /// a snapshot; nothing else, and nothing if it made none
    #[arg(long, value_name = "NAME")]
    pub print_proof: Option<String>,

    #[command(flatten)]
    pub any_run: AnyRunArgs,

    #[command(flatten)]
    pub state: StateArgs,

    #[command(flatten)]
    pub owner: OwnerArgs,

    #[command(flatten)]
    pub store: StoreArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = PRESIGN.to_owned() + &exit::help(),
    group(clap::ArgGroup::new("way").required(true).args(["output", "print_url"])),
)]
pub struct PresignArgs {
    /// How long the URL is to live
    #[arg(long, value_name = "TIME", default_value = "40m")]
    pub presign_lifetime: GoDuration,

    /// Write the URL here (0600); what is there is replaced
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Print the URL on stdout: a key to every secret of the cluster
    #[arg(long)]
    pub print_url: bool,

    #[command(flatten)]
    pub any_run: AnyRunArgs,

    #[command(flatten)]
    pub state: StateArgs,

    #[command(flatten)]
    pub owner: OwnerArgs,

    #[command(flatten)]
    pub store: StoreArgs,
}
