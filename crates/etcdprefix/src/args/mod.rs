//! What was typed: parsed here, without opening or checking anything but the words themselves.

pub mod change_prefix;
pub mod check;
pub mod client;
pub mod endpoint;
mod etcdctl;
pub mod files;
pub mod go;
pub mod hashkv;
pub mod migrate;
pub mod names;
pub mod node;
pub mod reach;
pub mod save;
pub mod snapshot;
pub mod store;
pub mod transfer;
pub mod usage;
pub mod verify;

use std::ffi::OsString;

use clap::builder::Resettable;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::exit;
use change_prefix::ChangePrefixArgs;
use check::CheckArgs;
use endpoint::EndpointCommand;
use hashkv::HashKvArgs;
use migrate::MigrateCommand;
use names::Name;
use node::NodeCommand;
use save::SaveArgs;
use snapshot::StatusArgs;
use store::StoreCommand;
use verify::VerifyArgs;

/// The forms of a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Simple,
    /// Boxed, one row for each value.
    Table,
    /// One line, for programs.
    Json,
    /// `"name" : value`, one a line, for grep.
    Fields,
}

/// The place of common flags in help: after those of the command.
const LAST: usize = 900;

/// Flags of every command.
#[derive(Clone, Copy, Debug, Args)]
pub struct Global {
    /// Form of the result on stdout
    #[arg(
        short = 'w',
        long,
        global = true,
        display_order = LAST,
        value_name = "FORMAT",
        default_value = "simple",
        hide_possible_values = true,
        help = "Form of the result on stdout: simple, table, json or fields"
    )]
    pub write_out: Format,

    /// No progress and no warnings on stderr; the result and errors stay
    #[arg(long, global = true, display_order = LAST)]
    pub quiet: bool,
}

/// Changes the key prefix inside etcd snapshot files.
#[derive(Debug, Parser)]
#[command(
    name = "etcdprefix",
    version,
    arg_required_else_help = true,
    after_help = TOP_EXAMPLES.to_owned() + &exit::help(),
)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const TOP_EXAMPLES: &str = "\
Examples:
  etcdprefix change-prefix --db snap.db --dest-prefix /c123 --dry-run
  etcdprefix change-prefix --db snap.db --dest-prefix /c123
  etcdprefix verify snap.db c123.db --dest-prefix /c123
  etcdprefix check snap.db
  etcdprefix hashkv snap.db
  etcdprefix snapshot status snap.db -w table
  etcdprefix snapshot save snap.db --endpoints https://10.0.0.1:2379 --cacert ca.pem
  etcdprefix endpoint status --cluster
  etcdprefix store put c123.db oss://backups/c123.db --region cn-hangzhou
  etcdprefix store presign oss://backups/c123.db --region cn-hangzhou
  etcdprefix migrate rehearse --config c123.yaml
  etcdprefix migrate run --config c123.yaml

";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Rewrite the prefix of every key of a snapshot, history included
    ChangePrefix(Box<ChangePrefixArgs>),
    /// Find everything that is wrong with a snapshot: pages, records, trailer
    Check(CheckArgs),
    /// Print HashKV as a server that starts on the snapshot would answer it, read-only
    #[command(name = "hashkv")]
    HashKv(HashKvArgs),
    /// Save a snapshot from a live cluster, or look at one
    #[command(subcommand, arg_required_else_help = true)]
    Snapshot(SnapshotCommand),
    /// Ask the members of a live cluster: status, HashKV, whether anybody writes
    #[command(subcommand, arg_required_else_help = true)]
    Endpoint(EndpointCommand),
    /// Move snapshots to and from object stores: OSS, S3 and what speaks S3
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = store::ABOUT.to_owned() + store::REACH + &exit::help()
    )]
    Store(StoreCommand),
    /// Prove that one snapshot is another with its prefix changed, whoever made it
    Verify(VerifyArgs),
    /// Move a cluster's control plane: sleep, snapshot, rewrite, presigned URL; or as it was
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = migrate::ABOUT.to_owned() + &exit::help()
    )]
    Migrate(MigrateCommand),
    /// One step of a migration, on this host
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = node::ABOUT.to_owned() + &exit::help()
    )]
    Node(NodeCommand),
    /// Print a completion script for a shell
    #[command(
        after_help = "Example:\n  etcdprefix completion bash > /etc/bash_completion.d/etcdprefix"
    )]
    Completion {
        /// The shell
        shell: Shell,
    },
}

/// What to do with a snapshot.
#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    /// Save a snapshot of a live cluster from its leader, proved before it has its name
    Save(Box<SaveArgs>),
    /// Print hash, revision, keys and size as etcdutl does, after checking the structure
    Status(StatusArgs),
}

/// A parsed command line.
#[derive(Debug)]
pub struct Invocation {
    /// Flags of every command.
    pub global: Global,
    /// What to do.
    pub command: Command,
}

/// Parses `words`, the first being the name the program was called by.
///
/// # Errors
/// clap's error, which may also be the answer to `--help` or `--version`.
pub fn parse(words: Vec<OsString>) -> Result<Invocation, clap::Error> {
    let name = words.first().map_or(Name::Own, |word| Name::of(word));
    match name {
        Name::Own => {
            let words = etcdctl::reordered(words);
            let matches = without_empty(Cli::command()).try_get_matches_from(words)?;
            let Cli { global, command } = Cli::from_arg_matches(&matches)?;
            Ok(Invocation { global, command })
        }
        Name::ModifyPrefixV2 => names::parse_v2(words),
        Name::ModifyPrefix => names::parse_v1(words),
    }
}

/// Takes empty environment variables for unset, as etcdctl does (etcd's `pkg/flags/flag.go`).
fn without_empty(command: clap::Command) -> clap::Command {
    let is_empty = |arg: &clap::Arg| {
        let value = arg.get_env().and_then(std::env::var_os);
        value.is_some_and(|value| value.is_empty())
    };
    let command =
        command.mut_args(|arg| if is_empty(&arg) { arg.env(Resettable::Reset) } else { arg });
    command.mut_subcommands(without_empty)
}

/// The command's own definition, for completions.
pub fn definition() -> clap::Command {
    Cli::command()
}
