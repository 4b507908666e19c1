//! The project's chores: `cargo xtask provision`, `cargo xtask test`, `cargo xtask torture`,
//! `cargo xtask bench`, `cargo xtask tidy`.

mod bench;
mod paths;
mod process;
mod provision;
mod stages;
mod tidy;
mod torture;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's chores")]
struct Args {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Fetch real etcd servers, object stores, sshd, protoc and the cargo tools into the cache folder, and
    /// build kube-apiserver there.
    Provision,
    /// Provision, then check, build, test, fuzz and bench everything; prints the time by stage.
    Test {
        /// Run only the stages of these names.
        #[arg(long = "only", value_name = "STAGE")]
        only: Vec<String>,
    },
    /// Run the randomised tests for longer than `test` does; docs/reliability.md has recorded runs.
    #[command(subcommand)]
    Torture(torture::Kind),
    /// Measure whole runs beside openssl, cp and etcd's own tools; docs/performance.md explains it.
    Bench(bench::Args),
    /// Check the house rules that no compiler knows.
    Tidy,
}

fn main() -> ExitCode {
    let done = match Args::parse().chore {
        Chore::Provision => provision::provision(),
        Chore::Test { only } => stages::run(&only),
        Chore::Torture(kind) => torture::run(&kind),
        Chore::Bench(args) => bench::run(&args),
        Chore::Tidy => tidy::check(&paths::repository()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The chain of causes on one line; a backtrace of xtask itself helps nobody.
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
