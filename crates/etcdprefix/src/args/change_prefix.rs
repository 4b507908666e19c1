//! The flags of `change-prefix`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use etcdprefix_core::read::ReadMode;
use etcdprefix_core::{ChangePrefix, Target, Unmatched, options};

use super::files::{Files, Made};
use super::transfer::{OpenArgs, PLACES, SendArgs};
use crate::exit;

const EXAMPLES: &str = "\
Examples:
  See what would happen, writing nothing:
    etcdprefix change-prefix --db snap.db --dest-prefix /c123 --dry-run
  Replace the file:
    etcdprefix change-prefix --db snap.db --dest-prefix /c123
  Keep the source, crop other tenants out:
    etcdprefix change-prefix --db snap.db --src-prefix /tenant1 --dest-prefix /registry \\
        --unmatched drop --output tenant1.db
  From one bucket into another store's:
    etcdprefix change-prefix --db s3://saved/snap.db --dest-prefix /c123 \\
        --output oss://backups/c123.db

";

/// For the name `modify-prefix-v2`.
pub const EXAMPLES_V2: &str = "\
Example:
  modify-prefix-v2 change-prefix --db=snap.db --dest-prefix=/c123

";

/// For the name `modify-prefix`.
pub const EXAMPLES_V1: &str = "\
Example:
  modify-prefix modify-prefix --db=snap.db --src-prefix=/registry --dest-prefix=/c123 --bucket=key

";

/// Mirrors the library's choice, so that the library needs no clap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum UnmatchedArg {
    Keep,
    Drop,
    Fail,
}

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES.to_owned() + PLACES + &exit::help())]
pub struct ChangePrefixArgs {
    /// The snapshot to read; replaced unless --output is given
    #[arg(long, value_name = "FILE")]
    db: PathBuf,

    /// The prefix to put in its place, as in kube-apiserver's --etcd-prefix
    #[arg(long, value_name = "PREFIX")]
    dest_prefix: String,

    /// Write a new file instead of replacing the source
    #[arg(long, value_name = "FILE", conflicts_with = "in_place")]
    output: Option<PathBuf>,

    /// Replace the source even if the change can't be undone
    #[arg(long)]
    in_place: bool,

    #[command(flatten)]
    rule: RuleArgs,

    /// Plan and refuse as ever, but write nothing
    #[arg(long)]
    dry_run: bool,

    /// Accept a file without SHA-256 trailer, such as a copied member/snap/db
    #[arg(long)]
    skip_hash_check: bool,

    /// Accept a wrong SHA-256 trailer too
    #[arg(long, requires = "skip_hash_check")]
    accept_corrupt_trailer: bool,

    /// Don't read the output back to prove it equal
    #[arg(long)]
    no_verify: bool,

    /// Don't wait for the disk; a power failure may then lose the file
    #[arg(long)]
    no_sync: bool,

    /// Read with positioned reads instead of a memory map
    #[arg(long)]
    no_mmap: bool,

    /// Threads that size and write; by default one for each core
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,

    #[command(flatten)]
    pub open: OpenArgs,

    #[command(flatten)]
    pub send: SendArgs,
}

/// What becomes of which keys, and what may speak against it.
#[derive(Debug, Args)]
pub struct RuleArgs {
    /// The prefix to replace; empty or / puts the destination before every key
    /// that begins with a slash
    #[arg(long, value_name = "PREFIX", default_value = "/registry")]
    src_prefix: String,

    /// What to do with keys outside the source prefix: keep, drop or fail
    #[arg(long, value_name = "MODE", default_value = "keep", hide_possible_values = true)]
    unmatched: UnmatchedArg,

    /// Accept that no key matches the source prefix
    #[arg(long)]
    allow_empty: bool,

    /// Accept encrypted values that can't be decrypted under the new prefix
    #[arg(long)]
    allow_undecryptable: bool,

    /// Keep ranges of roles that have no equivalent under the new prefix
    #[arg(long)]
    allow_unmapped_roles: bool,

    /// Refuse an output of more than this many bytes (etcd's --quota-backend-bytes)
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    target_quota: Option<u64>,
}

impl RuleArgs {
    /// A change of that destination, all else as the library has it by default.
    pub fn change_to(&self, dest_prefix: String) -> ChangePrefix {
        ChangePrefix {
            src_prefix: self.src_prefix.clone(),
            dest_prefix,
            unmatched: self.unmatched.into(),
            allow_empty: self.allow_empty,
            allow_undecryptable: self.allow_undecryptable,
            allow_unmapped_roles: self.allow_unmapped_roles,
            target_quota_bytes: self.target_quota,
            ..ChangePrefix::default()
        }
    }
}

impl ChangePrefixArgs {
    /// The source, and the output if there is to be one.
    pub fn files(&mut self) -> Files<'_> {
        let in_place = self.output.is_none() && !self.dry_run;
        let made = self.output.iter_mut().map(|file| Made { file, must_be_new: true });
        Files {
            read: vec![&mut self.db],
            made: made.collect(),
            in_place,
            send: Some(self.send.clone()),
            identity: self.open.identity.clone(),
        }
    }

    /// What the library is to do.
    pub fn resolve(self) -> ChangePrefix {
        ChangePrefix {
            db: self.db,
            target: target(self.output, self.in_place),
            skip_hash_check: self.skip_hash_check,
            accept_corrupt_trailer: self.accept_corrupt_trailer,
            verify: !self.no_verify,
            sync: !self.no_sync,
            read_mode: read_mode(self.no_mmap),
            dry_run: self.dry_run,
            threads: threads(self.threads),
            ..self.rule.change_to(self.dest_prefix)
        }
    }
}

impl From<UnmatchedArg> for Unmatched {
    fn from(arg: UnmatchedArg) -> Self {
        match arg {
            UnmatchedArg::Keep => Self::Keep,
            UnmatchedArg::Drop => Self::Drop,
            UnmatchedArg::Fail => Self::Fail,
        }
    }
}

fn target(output: Option<PathBuf>, in_place: bool) -> Target {
    match output {
        Some(file) => Target::File(file),
        None if in_place => Target::InPlaceForced,
        None => Target::InPlace,
    }
}

/// How files are read, `--no-mmap` given or not.
pub fn read_mode(no_mmap: bool) -> ReadMode {
    if no_mmap { ReadMode::Positioned } else { ReadMode::Map }
}

/// The value of `--threads`, or what the machine offers.
pub fn threads(given: Option<u16>) -> usize {
    given.map_or_else(options::default_threads, usize::from)
}
