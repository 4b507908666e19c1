//! The flags of `migrate`.

pub mod ansible;
pub mod assistant;
pub mod config;
mod help;
pub mod hosted;
pub mod kubernetes;
pub mod oos;
pub mod policy;
pub mod render;

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};

use super::go::GoDuration;
use crate::exit;
use config::{ConfigArgs, WhichArgs};
pub use help::ABOUT;
use help::{
    AFTERCARE, CONFIG, FINISH, HOSTED, OOS, PRESIGN, REHEARSE, RENDER, RESUME, ROLLBACK, RUN,
    STATUS,
};
use hosted::HostedCommand;
use kubernetes::RewriteArgs;
use oos::OosCommand;
use policy::PolicyArgs;
use render::RenderCommand;

/// What to do with a control plane.
#[derive(Debug, Subcommand)]
pub enum MigrateCommand {
    /// Try everything but the sleep, with the cluster up: what `run` needs to have
    /// been done within the hour
    Rehearse(Box<RehearseArgs>),
    /// Put the control plane to sleep, upload its etcd rewritten, and hand out keys and
    /// URL; wake it again if anything fails before that
    Run(Box<RunArgs>),
    /// Wake all hosts as they were, unless the bundle is handed out
    Rollback(Box<RollbackArgs>),
    /// Go on where a run was that has been killed
    Resume(Box<ResumeArgs>),
    /// Show how the migration and its hosts are; nothing is changed
    Status(Box<StatusArgs>),
    /// Close a migration whose managed side serves: give the hosts' locks back
    Finish(Box<FinishArgs>),
    /// Sign a URL for the same snapshot again
    Presign(Box<PresignArgs>),
    /// Look whether the managed side serves, and what is to be done there
    Aftercare(Box<AftercareArgs>),
    /// Print the migration for another engine: OOS, Ansible, a Kubernetes Job
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = RENDER.to_owned() + &exit::help()
    )]
    Render(RenderCommand),
    /// Rewrite one snapshot of a list from store to store: what a Job's index does
    Rewrite(RewriteArgs),
    /// Run a template in Alibaba Cloud's orchestration service (OOS), and watch it
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = OOS.to_owned() + &exit::help()
    )]
    Oos(OosCommand),
    /// Print the least rights that an executor needs
    Policy(PolicyArgs),
    /// Take a snapshot of a hosted control plane (HyperShift) for a new one
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = HOSTED.to_owned() + &exit::help()
    )]
    Hosted(HostedCommand),
}

#[derive(Debug, Args)]
#[command(after_help = REHEARSE.to_owned() + CONFIG + &exit::help())]
pub struct RehearseArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
}

#[derive(Debug, Args)]
#[command(after_help = RUN.to_owned() + CONFIG + &exit::help())]
pub struct RunArgs {
    /// Run though nobody rehearsed it
    #[arg(long)]
    pub skip_rehearsal: bool,

    #[command(flatten)]
    pub end: EndArgs,

    #[command(flatten)]
    pub config: ConfigArgs,
}

#[derive(Debug, Args)]
#[command(after_help = RESUME.to_owned() + CONFIG + &exit::help())]
pub struct ResumeArgs {
    // So that whoever repeats the line of `run` is understood; nothing is rehearsed here.
    #[arg(long, hide = true)]
    pub skip_rehearsal: bool,

    #[command(flatten)]
    pub end: EndArgs,

    #[command(flatten)]
    pub config: ConfigArgs,
}

/// How a run ends, well or not.
#[derive(Clone, Debug, Args)]
pub struct EndArgs {
    /// Leave the hosts as they are if it fails, to look around; their timers wake them
    /// all the same
    #[arg(long)]
    pub no_rollback: bool,

    /// Keep the snapshots in the hosts' working folders
    #[arg(long)]
    pub keep: bool,

    /// Write the bundle here (0600), in place of bundle.json in --folder
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,

    /// Print the bundle, keys and URL, on stdout: a secret
    #[arg(long, conflicts_with = "recipient")]
    pub print_bundle: bool,

    /// Encrypt the bundle for this age recipient (age1...); repeatable
    #[arg(long, value_name = "AGE", value_parser = NonEmptyStringValueParser::new())]
    pub recipient: Vec<String>,

    /// Put the cluster's CA and the API server's EncryptionConfiguration into the bundle
    /// too, for targets outside ACK
    #[arg(long, requires = "recipient")]
    pub bundle_extra: bool,
}

#[derive(Debug, Args)]
#[command(after_help = ROLLBACK.to_owned() + CONFIG + &exit::help())]
pub struct RollbackArgs {
    /// Wake the hosts although the bundle is handed out: I know that the managed side has
    /// never started with it, and never will. Its URL is made dead first
    #[arg(long)]
    pub managed_side_never_started: bool,

    /// Take hosts over from another run that was not heard of for two minutes
    #[arg(long)]
    pub take_over: bool,

    #[command(flatten)]
    pub config: ConfigArgs,
}

#[derive(Debug, Args)]
#[command(after_help = STATUS.to_owned() + CONFIG + &exit::help())]
pub struct StatusArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
}

#[derive(Debug, Args)]
#[command(after_help = FINISH.to_owned() + CONFIG + &exit::help())]
pub struct FinishArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
}

#[derive(Debug, Args)]
#[command(after_help = PRESIGN.to_owned() + CONFIG + &exit::help())]
pub struct PresignArgs {
    /// Print the URL on stdout: a key to every secret of the cluster
    #[arg(long)]
    pub print_url: bool,

    #[command(flatten)]
    pub config: ConfigArgs,
}

#[derive(Debug, Args)]
#[command(after_help = AFTERCARE.to_owned() + &exit::help())]
pub struct AftercareArgs {
    /// Do what is listed, instead of only printing it
    #[arg(long)]
    pub yes: bool,

    /// With --yes: the add-ons are installed anew, so that the old ones can be deleted
    #[arg(long, requires = "yes")]
    pub add_ons_installed: bool,

    /// How to reach the managed API from here; by default ~/.kube/config
    #[arg(long, env = "KUBECONFIG", value_name = "FILE", hide_env_values = true)]
    pub kubeconfig: Option<PathBuf>,

    /// How long to wait until it is ready
    #[arg(long, value_name = "TIME", default_value = "15m")]
    pub wait: GoDuration,

    /// The API's URL before the migration; by default that of the rehearsal
    #[arg(long, value_name = "URL")]
    pub expected_server: Option<String>,

    /// The version before the migration, such as v1.28.3; by default that of the rehearsal
    #[arg(long, value_name = "VERSION")]
    pub expected_version: Option<String>,

    /// A master, by name or address, if its labels don't tell; repeatable
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub master: Vec<String>,

    /// The image of the test pod; by default the pause image that nodes have
    #[arg(long, value_name = "IMAGE")]
    pub pod_image: Option<String>,

    #[command(flatten)]
    pub which: WhichArgs,
}
