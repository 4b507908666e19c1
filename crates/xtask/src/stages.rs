//! `cargo xtask test`: everything that must hold before a change lands, in the order that finds
//! a fault soonest. Stops at the first failure and prints the time by stage either way.

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use anyhow::{Result, bail};

use crate::{bench, paths, process, provision, tidy};

type Stage = (&'static str, fn(&Path) -> Result<()>);

const STAGES: &[Stage] = &[
    ("provision", |_| provision::provision()),
    ("tidy", tidy::check),
    ("format", format),
    ("deny", deny),
    ("tree", offline_trees),
    ("clippy", clippy),
    ("docs", docs),
    ("release", |root| cargo(root, &["build", "--locked", "--release", "-p", "etcdprefix"])),
    ("test", test),
    ("fuzz", fuzz),
    ("bench", bench),
];

/// Crates that would give the offline tool a network stack or an async runtime.
const NETWORK: &[&str] =
    &["tokio", "hyper", "h2", "http", "tonic", "reqwest", "rustls", "kube", "openssh"];

/// Everything that packages ship.
const FULL: &str = "etcdprefix/full";

const FUZZ_SECONDS: u32 = 5;

/// Runs the named stages, or all of them.
pub fn run(only: &[String]) -> Result<()> {
    let root = paths::repository();
    if let Some(unknown) = only.iter().find(|name| !STAGES.iter().any(|(known, _)| known == name)) {
        let known: Vec<_> = STAGES.iter().map(|(name, _)| *name).collect();
        bail!("no stage \"{unknown}\"; there are {known:?}");
    }
    let mut times = Vec::new();
    let mut outcome = Ok(());
    for (name, stage) in STAGES.iter().filter(|(name, _)| chosen(only, name)) {
        println!("\n== {name}");
        let start = Instant::now();
        outcome = stage(&root);
        times.push((*name, start.elapsed()));
        if outcome.is_err() {
            break;
        }
    }
    print_times(&times, outcome.is_ok());
    outcome
}

fn chosen(only: &[String], name: &str) -> bool {
    only.is_empty() || only.iter().any(|wanted| wanted == name)
}

fn print_times(times: &[(&str, Duration)], passed: bool) {
    println!("\n== time by stage");
    for (index, (name, time)) in times.iter().enumerate() {
        let mark = if passed || index + 1 < times.len() { "ok" } else { "FAILED" };
        println!("{name:10} {:8.1} s  {mark}", time.as_secs_f64());
    }
    let total: Duration = times.iter().map(|(_, time)| time).sum();
    println!("{:10} {:8.1} s", "total", total.as_secs_f64());
}

fn cargo(root: &Path, arguments: &[&str]) -> Result<()> {
    process::run(Command::new("cargo").args(arguments).current_dir(root))
}

/// The fuzz crate is a workspace of its own.
fn format(root: &Path) -> Result<()> {
    cargo(root, &["fmt", "--all", "--check"])?;
    cargo(root, &["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"])
}

/// Builds with fewer features leave code out, so they are looked at as well. All of the workspace is
/// selected each time: features of dependencies stay what they are then, so that none of them is built
/// again, only the command.
fn clippy(root: &Path) -> Result<()> {
    let scope = ["clippy", "--locked", "--workspace", "--all-targets"];
    let contender = ["--features", "etcdprefix-benches/bbolt-rs"];
    for features in [FULL, "", "etcdprefix/live", "etcdprefix/store"] {
        let features = ["--features", features, "--", "-D", "warnings"];
        cargo(root, &[&scope[..], &contender, &features].concat())?;
    }
    Ok(())
}

/// What the offline build does where it has no code is tested apart, with the same dependencies.
fn test(root: &Path) -> Result<()> {
    tests(root, &["test", "--locked", "--workspace", "--features", FULL])?;
    cargo(root, &["test", "--locked", "--workspace", "--test", "cli", "offline"])
}

/// Tests with hosts and servers mostly wait, for looks that are seconds apart and for elections: two a
/// core end in about half the time of one.
fn tests(root: &Path, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(root);
    if env::var_os("RUST_TEST_THREADS").is_none() {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        command.env("RUST_TEST_THREADS", (2 * cores).to_string());
    }
    process::run(&mut command)
}

fn docs(root: &Path) -> Result<()> {
    let mut command = Command::new("cargo");
    command.args(["doc", "--locked", "--workspace", "--no-deps", "--features", FULL]);
    command.current_dir(root);
    process::run(command.env("RUSTDOCFLAGS", "-D warnings"))
}

/// The advisory database needs a network that not every builder has, so it is not asked.
fn deny(root: &Path) -> Result<()> {
    let mut command = Command::new(provision::cargo_tool("cargo-deny")?);
    command.args(["--all-features", "check", "licenses", "bans", "sources"]).current_dir(root);
    process::run(&mut command)
}

/// Proves from the dependency trees that the library stays a library and the tool stays offline.
fn offline_trees(root: &Path) -> Result<()> {
    absent(root, "etcdprefix-core", &[NETWORK, &["clap", "indicatif"]].concat())?;
    absent(root, "etcdprefix", NETWORK)
}

fn absent(root: &Path, package: &str, banned: &[&str]) -> Result<()> {
    let mut command = Command::new("cargo");
    command.args(["tree", "--locked", "-p", package, "-e", "normal", "--prefix", "none"]);
    let tree = process::capture(command.current_dir(root))?;
    let found: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| banned.contains(name))
        .collect();
    if !found.is_empty() {
        bail!("{package} depends on {found:?}: see `cargo tree -p {package} -i {}`", found[0]);
    }
    println!("{package}: none of {banned:?} among {} crates", tree.lines().count());
    Ok(())
}

/// Runs each target for a few seconds; crashes found before and the seeds are replayed by the stage
/// before it.
fn fuzz(root: &Path) -> Result<()> {
    // A few seconds are too short to grow inputs from nothing, so long ones come at once.
    fuzz_targets(root)?.iter().try_for_each(|target| fuzz_one(root, target, FUZZ_SECONDS))
}

/// The names of all fuzz targets.
pub fn fuzz_targets(root: &Path) -> Result<Vec<String>> {
    let targets = names_in(&root.join("fuzz/fuzz_targets"), "rs")?;
    if targets.is_empty() {
        bail!("fuzz/fuzz_targets holds no target");
    }
    Ok(targets)
}

/// Runs a target for so long, from the corpus that there is.
///
/// The coverage flags of cargo-fuzz are unstable options, which `RUSTC_BOOTSTRAP` opens on the
/// stable toolchain. No sanitizer: the code under test has no unsafe block but the map's.
pub fn fuzz_one(root: &Path, target: &str, seconds: u32) -> Result<()> {
    println!("-- {target}");
    let limit = format!("-max_total_time={seconds}");
    let mut command = Command::new(provision::cargo_tool("cargo-fuzz")?);
    command.args(["fuzz", "run", "--fuzz-dir", "fuzz", "--sanitizer", "none", target, "--"]);
    command.args([limit.as_str(), "-print_final_stats=1", "-len_control=0", "-max_len=600"]);
    command.current_dir(root);
    process::run(command.env("RUSTC_BOOTSTRAP", "1"))
}

/// Quick mode: it proves that the benches run and gives a first figure. Then whole runs of the
/// program are held against limits.
fn bench(root: &Path) -> Result<()> {
    // The pattern leaves out the library target, whose test harness knows no `--quick`.
    cargo(
        root,
        &["bench", "--locked", "-p", "etcdprefix-benches", "--bench", "*", "--", "--quick"],
    )?;
    bench::quick(root)
}

/// The stems of a folder's files with that extension, sorted.
fn names_in(folder: &Path, extension: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    if folder.is_dir() {
        for entry in fs::read_dir(folder)? {
            let path: PathBuf = entry?.path();
            if path.extension().is_some_and(|found| found == extension) {
                names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
            }
        }
    }
    names.sort();
    Ok(names)
}
