//! What runs in each round, the floor first.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::output::Output;
use super::snapshot::Source;
use crate::{paths, process, provision};

/// One pass of a mature SHA-256 over the file: nothing that proves or renews a trailer is faster.
pub const FLOOR: &str = "`openssl dgst -sha256`";

/// As long as the prefix of a tenant named by a hash.
const DEST_PREFIX: &str = "/c0123456789abcdef0123456789abcdef";

/// The variants of `change-prefix`, by the flags that leave work out.
pub const NO_VERIFY: &str = "`change-prefix --no-verify --no-sync`";
pub const NO_SYNC: &str = "`change-prefix --no-sync`";
pub const DEFAULT: &str = "`change-prefix`";
pub const SKIP_HASH_CHECK: &str = "`change-prefix --skip-hash-check --no-verify --no-sync`";
pub const STATUS: &str = "`etcdprefix snapshot status --like 3.7`";

/// How many take part.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Field {
    Full,
    /// Those with a limit, the plain copy, and the newest etcdutl.
    Essential,
}

/// What is timed as one: its steps in order.
pub struct Contender {
    pub name: String,
    pub steps: Vec<Step>,
    pub output: Output,
}

/// One program with its arguments.
pub struct Step {
    program: PathBuf,
    arguments: Vec<OsString>,
    variables: Vec<(&'static str, String)>,
}

impl Step {
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), arguments: Vec::new(), variables: Vec::new() }
    }

    pub fn words(mut self, words: &str) -> Self {
        self.arguments.extend(words.split_whitespace().map(OsString::from));
        self
    }

    pub fn file(mut self, path: &Path) -> Self {
        self.arguments.push(path.into());
        self
    }

    pub fn env(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        // etcdctl 3.4 has no `snapshot` in the API that it speaks by default.
        command.args(&self.arguments).env("ETCDCTL_API", "3");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Everything that takes part, built and found.
pub fn line_up(
    root: &Path,
    source: &Source,
    output: &Path,
    field: Field,
) -> Result<Vec<Contender>> {
    process::capture(Command::new("openssl").arg("version"))
        .context("the floor needs openssl: `apt-get install openssl`")?;
    let etcdprefix = build(root, &[])?;
    let mut all = copies(source, output);
    if field == Field::Essential {
        all.retain(|contender| contender.name != CP_SYNC);
    }
    all.extend(changes(&etcdprefix, source, output));
    all.push(status(STATUS, Step::new(&etcdprefix), source, "--like 3.7"));
    let programs = provision::status_programs()?;
    let oldest = if field == Field::Essential { programs.len().saturating_sub(1) } else { 0 };
    for program in &programs[oldest..] {
        let name = format!("`{} snapshot status` {}", program.name, program.version);
        all.push(status(&name, Step::new(&program.path), source, ""));
    }
    if field == Field::Full {
        all.push(bbolt_rs(root, source, output)?);
    }
    Ok(all)
}

/// A first attempt with the Rust port of bbolt, built here as well.
fn bbolt_rs(root: &Path, source: &Source, output: &Path) -> Result<Contender> {
    const PROGRAM: &str = "bbolt-rs-change-prefix";
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "--locked", "--release", "-p", "etcdprefix-benches"]);
    process::run(cargo.args(["--features", "bbolt-rs", "--bin", PROGRAM]).current_dir(root))?;
    let program = paths::target(root).join("release").join(PROGRAM);
    let step = Step::new(program).file(&source.path).file(output).words(DEST_PREFIX);
    let name = "the same change with bbolt-rs".to_owned();
    Ok(Contender { name, steps: vec![step], output: Output::File(output.to_path_buf()) })
}

/// The release program, with more flags for cargo.
pub fn build(root: &Path, flags: &[&str]) -> Result<PathBuf> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "--locked", "--release", "-p", "etcdprefix"]).args(flags);
    process::run(cargo.current_dir(root))?;
    Ok(program(root))
}

/// Where [`build`] leaves it.
pub fn program(root: &Path) -> PathBuf {
    paths::target(root).join("release/etcdprefix")
}

const CP_SYNC: &str = "`cp`, then `sync`";

fn copies(source: &Source, output: &Path) -> Vec<Contender> {
    let copy = || Step::new("cp").file(&source.path).file(output);
    let floor = Step::new("openssl").words("dgst -sha256").file(&source.path);
    let writes = |name: &str, steps| Contender {
        name: name.into(),
        steps,
        output: Output::File(output.to_path_buf()),
    };
    vec![
        Contender { name: FLOOR.into(), steps: vec![floor], output: Output::Nothing },
        writes("`cp`", vec![copy()]),
        writes(CP_SYNC, vec![copy(), Step::new("sync").file(output)]),
    ]
}

fn changes(etcdprefix: &Path, source: &Source, output: &Path) -> Vec<Contender> {
    let change = |name: &str, db: &Path, flags: &str| {
        let step = Step::new(etcdprefix).words("change-prefix --db").file(db);
        let step = step.words("--dest-prefix").words(DEST_PREFIX).words("--output").file(output);
        let steps = vec![step.words(flags).words("--write-out json")];
        Contender { name: name.into(), steps, output: Output::File(output.to_path_buf()) }
    };
    let whole = &source.path;
    vec![
        change(NO_VERIFY, whole, "--no-verify --no-sync"),
        change(NO_SYNC, whole, "--no-sync"),
        change(DEFAULT, whole, ""),
        change(SKIP_HASH_CHECK, &source.without_trailer, "--skip-hash-check --no-verify --no-sync"),
    ]
}

fn status(name: &str, program: Step, source: &Source, flags: &str) -> Contender {
    let step = program.words("snapshot status").file(&source.path).words(flags);
    Contender { name: name.into(), steps: vec![step], output: Output::Nothing }
}
