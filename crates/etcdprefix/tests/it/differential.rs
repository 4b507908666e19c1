//! Mutated snapshots with right checksums: whatever etcdutl refuses or panics on we never call
//! sound; what it accepts and we refuse is of a kind that docs/limits.md names. `cargo xtask torture
//! differential` tries thousands.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Output;

use anyhow::{Context, Result, ensure};
use etcdprefix_core::progress::Silent;
use etcdprefix_core::read::{ReadMode, Snapshot};
use etcdprefix_core::verify::{Depth, Expect, Status, check, check_structure, status};
use etcdprefix_core::{ChangePrefix, Error, Target, change_prefix};
use etcdprefix_testkit::mutate::mutate;
use etcdprefix_testkit::random::Random;
use etcdprefix_testkit::{EtcdServer, Version, evil, tools};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::fixtures;

/// What etcdutl accepts and we refuse: docs/limits.md, "Stricter than etcdutl".
const STRICTER: &[&str] = &[
    "BranchEmpty",
    "BucketInvalid",
    "ElementOutOfRange",
    "ElementsOverlap",
    "KeyTooLong",
    "NoValidMeta",
    "PageOutOfRange",
    "Truncated",
];

/// One of so many changed mutants is served.
const SERVED_SHARE: usize = 16;

fn mutants() -> usize {
    std::env::var("ETCDPREFIX_MUTANTS").map_or(80, |mutants| mutants.parse().unwrap())
}

/// What we say of a file: its status, or why not.
fn ours(path: &Path) -> Result<Status, String> {
    let name = |error: &Error| match error {
        Error::Damaged { damage, .. } => variant(damage),
        error => variant(error),
    };
    let snapshot = Snapshot::open(path, ReadMode::Map).map_err(|error| name(&error))?;
    let report = check_structure(&snapshot, Expect::Sound, &Silent).map_err(|e| name(&e))?;
    if let Some(code) = report.findings.totals.keys().next() {
        return Err(variant(code));
    }
    status(&snapshot, 1, &Silent).map_err(|error| name(&error))
}

/// Whether `etcdprefix check` finds no error; warnings there may be.
fn checks_out(path: &Path) -> bool {
    let opened = Snapshot::open(path, ReadMode::Map);
    opened.and_then(|file| check(&file, Depth::Full, 1, &Silent)).is_ok_and(|it| it.is_sound())
}

fn variant(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    text.chars().take_while(|c| c.is_alphanumeric()).collect()
}

#[derive(Default)]
struct Tally {
    files: usize,
    both_accept: usize,
    both_refuse: usize,
    panics: usize,
    /// By kind: how many, and the first.
    stricter: BTreeMap<String, (usize, String)>,
    changed: usize,
    served: usize,
}

impl Tally {
    fn judge(&mut self, name: &str, path: &Path) -> Result<()> {
        let theirs = tools::bounded_status_output(Version::JUDGE, path)?;
        self.files += 1;
        self.panics += usize::from(panicked(&theirs));
        if !theirs.status.success() && checks_out(path) {
            keep(name, path);
            anyhow::bail!("{name}: check calls sound what etcdutl refuses: {theirs:?}");
        }
        match (theirs.status.success(), ours(path)) {
            (true, Ok(status)) => {
                self.both_accept += 1;
                same(&theirs, &status).with_context(|| name.to_owned())?;
            }
            (false, Err(_)) => self.both_refuse += 1,
            (true, Err(why)) => {
                let kind = self.stricter.entry(why).or_insert_with(|| (0, name.to_owned()));
                kind.0 += 1;
                keep(name, path);
            }
            (false, Ok(_)) => {
                keep(name, path);
                anyhow::bail!("{name}: we call sound what etcdutl refuses: {theirs:?}");
            }
        }
        Ok(())
    }

    /// What a change makes of it is sound for etcdutl, and some of it is served.
    fn change(&mut self, name: &str, path: &Path) -> Result<()> {
        let output = path.with_extension("out");
        let options = ChangePrefix {
            db: path.into(),
            target: Target::File(output.clone()),
            dest_prefix: "/c123".into(),
            allow_empty: true,
            allow_undecryptable: true,
            sync: false,
            ..ChangePrefix::default()
        };
        if change_prefix(&options, &Silent).is_err() {
            ensure!(!output.exists(), "{name}: an error left its output");
            return Ok(());
        }
        self.changed += 1;
        let judged = tools::bounded_status_output(Version::JUDGE, &output)?;
        ensure!(judged.status.success(), "{name}: the output is refused: {judged:?}");
        ensure!(ours(&output).is_ok(), "{name}: the output is not sound to us");
        if self.changed.is_multiple_of(SERVED_SHARE) {
            // It starts and answers; what it holds the other tests compare.
            let started = EtcdServer::restored(Version::JUDGE, &output);
            started.with_context(|| format!("{name} is not served"))?;
            self.served += 1;
        }
        fs::remove_file(output)?;
        Ok(())
    }
}

impl Tally {
    fn report(&self, what: &str) -> Result<()> {
        println!(
            "{} {what}: both accept {}, both refuse {} (etcdutl panics {}), only we refuse {:?}; \
             {} changed, {} of them served",
            self.files,
            self.both_accept,
            self.both_refuse,
            self.panics,
            self.stricter,
            self.changed,
            self.served
        );
        let new = self.stricter.iter().find(|(kind, _)| !STRICTER.contains(&kind.as_str()));
        ensure!(new.is_none(), "we refuse, docs/limits.md does not say why: {new:?}");
        Ok(())
    }
}

/// For a closer look: what the two of us judge differently.
fn keep(name: &str, path: &Path) {
    if let Some(folder) = std::env::var_os("ETCDPREFIX_KEEP") {
        fs::copy(path, Path::new(&folder).join(name.replace(' ', "-"))).ok();
    }
}

fn panicked(output: &Output) -> bool {
    let said = String::from_utf8_lossy(&output.stderr);
    said.contains("panic:") || said.contains("fatal error:") || said.contains("SIGSEGV")
}

/// As 3.5 counts.
fn same(theirs: &Output, ours: &Status) -> Result<()> {
    let theirs: Value = serde_json::from_slice(&theirs.stdout)?;
    let expected = serde_json::json!({
        "hash": ours.hash,
        "revision": ours.revision,
        "totalKey": ours.total_pairs,
        "totalSize": ours.total_size,
    });
    ensure!(theirs == expected, "etcdutl says {theirs}, we say {expected}");
    Ok(())
}

#[test]
fn what_etcdutl_refuses_we_never_call_sound() -> Result<()> {
    let folder = TempDir::new()?;
    let path = folder.path().join("snap.db");
    let bases = fixtures()?.iter().map(fs::read).collect::<Result<Vec<_>, _>>()?;
    let (mut tally, mut random) = (Tally::default(), Random::new(9));
    for number in 0..mutants() {
        let base = &bases[random.below(bases.len() as u64) as usize];
        fs::write(&path, mutate(base, &mut random)?)?;
        let name = format!("mutant {number}");
        tally.judge(&name, &path)?;
        tally.change(&name, &path)?;
    }
    tally.report("mutants")
}

#[test]
fn evil_files_that_etcdutl_refuses_we_never_call_sound() -> Result<()> {
    let folder = TempDir::new()?;
    let path = folder.path().join("snap.db");
    let mut tally = Tally::default();
    for file in evil::files() {
        fs::write(&path, &file.bytes)?;
        tally.judge(file.name, &path)?;
    }
    tally.report("evil files")
}
