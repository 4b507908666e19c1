//! The flags of `snapshot status`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::transfer::PLACES;
use crate::exit;

const EXAMPLES: &str = "\
Examples:
  etcdprefix snapshot status snap.db
  etcdprefix snapshot status snap.db -w table --like 3.5
  etcdprefix snapshot status snap.db -w json --check-trailer

";

/// The etcdutl whose output is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Like {
    /// Counts all records, history included; no version; ASCII table.
    #[value(name = "3.5")]
    V3_5,
    /// As 3.5; table of box-drawing characters, as late patch releases draw it.
    #[value(name = "3.5.30")]
    V3_5_30,
    /// Counts live keys; version; ASCII table.
    #[default]
    #[value(name = "3.6")]
    V3_6,
    /// Counts live keys; version; table of box-drawing characters.
    #[value(name = "3.7")]
    V3_7,
}

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES.to_owned() + PLACES + &exit::help())]
pub struct StatusArgs {
    /// The snapshot
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// The etcdutl to print like: 3.5 (all records), 3.6 or 3.7 (live keys)
    #[arg(long, value_name = "VERSION", default_value = "3.6", hide_possible_values = true)]
    pub like: Like,

    /// Verify the SHA-256 trailer first, which etcdutl does not
    #[arg(long)]
    pub check_trailer: bool,

    /// Threads that read; by default one for each core
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,

    /// Read with positioned reads instead of a memory map
    #[arg(long)]
    pub no_mmap: bool,
}
