//! The flags of `check`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use etcdprefix_core::verify::Depth;

use super::transfer::PLACES;
use crate::exit;

const EXAMPLES: &str = "\
Examples:
  Everything, before a file is restored or archived:
    etcdprefix check snap.db
  The pages only, as `bbolt check` (and fuller), on a copied database:
    etcdprefix check --depth structure member/snap/db
  For a script:
    etcdprefix check snap.db -w json | jq '.findings[] | select(.level == \"error\")'

The report goes to stdout, and the exit code is 3 if there is an error in it.
Warnings are told and leave it 0.

";

/// Mirrors the library's choice, so that the library needs no clap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DepthArg {
    Structure,
    Records,
    Full,
}

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES.to_owned() + PLACES + &exit::help())]
pub struct CheckArgs {
    /// The snapshot, or a copied member/snap/db
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// How far to look: structure (pages, trees, freelist, every byte), records
    /// (and every record, lease and number) or full (and the SHA-256 trailer)
    #[arg(long, value_name = "DEPTH", default_value = "full", hide_possible_values = true)]
    pub depth: DepthArg,

    /// Threads that decode records; by default one for each core
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,

    /// Read with positioned reads instead of a memory map
    #[arg(long)]
    pub no_mmap: bool,
}

impl From<DepthArg> for Depth {
    fn from(arg: DepthArg) -> Self {
        match arg {
            DepthArg::Structure => Self::Structure,
            DepthArg::Records => Self::Records,
            DepthArg::Full => Self::Full,
        }
    }
}
