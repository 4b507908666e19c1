//! `cargo xtask torture`: tests that are a few seconds in `cargo xtask test`, as long as one likes.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use clap::Subcommand;

use crate::{paths, process, stages};

/// What is tortured.
#[derive(Subcommand)]
pub enum Kind {
    /// Kill the program at random moments; the target is the old file or the new one.
    Kills {
        /// How often.
        #[arg(long, default_value_t = 400)]
        runs: u32,
    },
    /// Flip every byte of a real snapshot, and a sample of a large one; each is noticed.
    Flips {
        /// About how many of the real one; a thirtieth of it in the large one.
        #[arg(long, default_value_t = 40_000)]
        flips: u32,
    },
    /// Compare our verdict on mutated snapshots with etcdutl's, and serve some that were changed.
    Differential {
        /// How many.
        #[arg(long, default_value_t = 4_000)]
        files: u32,
    },
    /// Fuzz from seeds that are parts of real and evil files; new inputs stay in fuzz/corpus.
    Fuzz {
        /// For each target.
        #[arg(long, default_value_t = 3600)]
        seconds: u32,
        /// Only these targets.
        #[arg(long = "target", value_name = "TARGET")]
        targets: Vec<String>,
    },
}

/// Runs one kind.
pub fn run(kind: &Kind) -> Result<()> {
    let root = paths::repository();
    match kind {
        Kind::Kills { runs } => {
            test(&root, "etcdprefix", "cli", "kills::a_killed_run", ("ETCDPREFIX_KILLS", *runs))
        }
        Kind::Flips { flips } => {
            test(&root, "etcdprefix-core", "it", "flips::flipped", ("ETCDPREFIX_FLIPS", *flips))
        }
        Kind::Differential { files } => {
            test(&root, "etcdprefix", "it", "differential::", ("ETCDPREFIX_MUTANTS", *files))
        }
        Kind::Fuzz { seconds, targets } => fuzz(&root, *seconds, targets),
    }
}

fn fuzz(root: &Path, seconds: u32, only: &[String]) -> Result<()> {
    let mut seeds = Command::new("cargo");
    seeds.args(["test", "--locked", "-p", "etcdprefix-core", "--test", "it", "fuzzed::seeds"]);
    process::run(seeds.env("ETCDPREFIX_CORPUS", root.join("fuzz/corpus")).current_dir(root))?;
    let targets = stages::fuzz_targets(root)?;
    let chosen = targets.iter().filter(|name| only.is_empty() || only.contains(name));
    chosen.into_iter().try_for_each(|target| stages::fuzz_one(root, target, seconds))
}

/// Runs one test, told by a variable how much to do, and shows what it prints.
fn test(root: &Path, package: &str, target: &str, name: &str, much: (&str, u32)) -> Result<()> {
    let mut command = Command::new("cargo");
    command.args(["test", "--locked", "-p", package, "--test", target, name, "--", "--nocapture"]);
    process::run(command.env(much.0, much.1.to_string()).current_dir(root))
}
