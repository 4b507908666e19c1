//! The flags of `hashkv`.

use std::path::PathBuf;

use clap::Args;

use super::transfer::PLACES;
use crate::exit;

const EXAMPLES: &str = "\
Examples:
  Compare with a server that restored the snapshot:
    etcdprefix hashkv snap.db
    etcdctl endpoint hashkv
  At an older revision, for a script:
    etcdprefix hashkv snap.db --rev 12345 -w json

";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES.to_owned() + PLACES + &exit::help())]
pub struct HashKvArgs {
    /// The snapshot, or a copied member/snap/db; never opened for writing
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// The revision to hash up to; 0 for the latest
    #[arg(long, value_name = "N", default_value = "0",
        value_parser = clap::value_parser!(i64).range(0..))]
    pub rev: i64,

    /// Threads that read; by default one for each core
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,

    /// Read with positioned reads instead of a memory map
    #[arg(long)]
    pub no_mmap: bool,
}
