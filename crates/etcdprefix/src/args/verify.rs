//! The flags of `verify`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use etcdprefix_core::Unmatched;

use super::transfer::PLACES;
use crate::exit;

const EXAMPLES: &str = "\
Examples:
  etcdprefix verify snap.db c123.db --dest-prefix /c123
  A database that was rewritten and defragmented by other tools:
    etcdprefix verify snap.db member/snap/db --dest-prefix /c123 --skip-hash-check

";

/// What became of keys outside the source prefix. Failing makes no output to verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LeftArg {
    Keep,
    Drop,
}

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES.to_owned() + PLACES + &exit::help())]
pub struct VerifyArgs {
    /// The snapshot before the change
    #[arg(value_name = "SRC")]
    pub source: PathBuf,

    /// The snapshot or database after it
    #[arg(value_name = "OUT")]
    pub output: PathBuf,

    /// The prefix that was replaced; empty or / if the destination was put before
    /// every key that begins with a slash
    #[arg(long, value_name = "PREFIX", default_value = "/registry")]
    pub src_prefix: String,

    /// The prefix that was put in its place
    #[arg(long, value_name = "PREFIX")]
    pub dest_prefix: String,

    /// What became of keys outside the source prefix: keep or drop
    #[arg(long, value_name = "MODE", default_value = "keep", hide_possible_values = true)]
    pub unmatched: LeftArg,

    /// Accept files without SHA-256 trailer, such as a copied member/snap/db
    #[arg(long)]
    pub skip_hash_check: bool,

    /// Accept ranges of roles that have no equivalent and are as they were
    #[arg(long)]
    pub allow_unmapped_roles: bool,

    /// Threads that compare; by default one for each core, at most four
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,

    /// Read with positioned reads instead of memory maps
    #[arg(long)]
    pub no_mmap: bool,
}

impl From<LeftArg> for Unmatched {
    fn from(arg: LeftArg) -> Self {
        match arg {
            LeftArg::Keep => Self::Keep,
            LeftArg::Drop => Self::Drop,
        }
    }
}
