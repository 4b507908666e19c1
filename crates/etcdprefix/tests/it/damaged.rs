//! Damaged and random files: a documented exit code, one line of error, nothing touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context, Result};
use etcdprefix_testkit::random::Random;
use etcdprefix_testkit::{Version, tools};
use tempfile::TempDir;

use crate::status::recorded;
use crate::support::{DEST, fixture, run, said};

/// docs/cli-contract.md; never a panic's 101, never a signal.
const DOCUMENTED: [i32; 22] =
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 130];

/// Offset and bit of the recorded `damaged/flip`: a byte in a value of s-3.5.1.db.
const FLIPPED_BYTE: usize = 18_888;

const PAGE: usize = 4096;

/// The kinds of `damaged/*` in testdata/status-outputs.json; `None` is a missing file.
fn damaged(kind: &str) -> Result<Option<Vec<u8>>> {
    let mut bytes = fs::read(fixture("s-3.5.1.db"))?;
    let end = bytes.len();
    match kind {
        "flip" => bytes[FLIPPED_BYTE] ^= 1,
        "nohash" => bytes.truncate(end - 32),
        "zerohash" => bytes[end - 32..].fill(0),
        "meta0" => bytes[16..PAGE].fill(0xff),
        "trunc" => bytes.truncate(20_001),
        "trunc512" => bytes.truncate(20_480),
        "text" => bytes = b"not a database\n".repeat(400),
        "empty" => bytes.clear(),
        "missing" => return Ok(None),
        other => anyhow::bail!("no recipe for {other}"),
    }
    Ok(Some(bytes))
}

/// One file in a folder of its own, which must look the same after every refusal.
struct Case {
    folder: TempDir,
    bytes: Option<Vec<u8>>,
}

impl Case {
    fn new(bytes: Option<Vec<u8>>) -> Result<Self> {
        let folder = TempDir::new()?;
        let case = Self { folder, bytes };
        if let Some(bytes) = &case.bytes {
            fs::write(case.path(), bytes)?;
        }
        Ok(case)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("snap.db")
    }

    fn change_prefix(&self, extra: &[&str]) -> Result<Output> {
        let path = self.path();
        let path = path.to_str().context("the path is UTF-8")?;
        let head = ["change-prefix", "--dest-prefix", "/c123", "--db", path];
        run(head.iter().chain(extra))
    }

    fn status(&self, like: &str) -> Result<Output> {
        let path = self.path();
        run(["snapshot", "status", "--like", like, path.to_str().context("the path is UTF-8")?])
    }

    /// It ends with a report or without, but never with a panic, and the file stays; so does
    /// `hashkv`, which does not look at everything.
    fn assert_checked(&self, name: &str) -> Result<Option<i32>> {
        let path = self.path();
        let path = path.to_str().context("the path is UTF-8")?;
        let output = run(["check", path, "--quiet"])?;
        let code = output.status.code();
        assert!(matches!(code, Some(0 | 3 | 4 | 9)), "check of {name}: {}", said(&output));
        let errors = String::from_utf8(output.stderr.clone())?.lines().count();
        assert_eq!(errors, usize::from(code != Some(0)), "check of {name}: {}", said(&output));
        self.assert_untouched(name)?;
        let good = fixture("s-3.5.30.db");
        let good = good.to_str().context("the path is UTF-8")?;
        let output = run(["verify", good, path, "--dest-prefix", DEST, "--skip-hash-check"])?;
        self.assert_refused(&format!("verify of {name}"), &output)?;
        let output = run(["hashkv", path, "--quiet"])?;
        if output.status.success() {
            self.assert_untouched(name)?;
        } else {
            self.assert_refused(&format!("hashkv of {name}"), &output)?;
        }
        Ok(code)
    }

    fn assert_refused(&self, name: &str, output: &Output) -> Result<()> {
        let code = output.status.code();
        let known = code.is_some_and(|code| code != 0 && DOCUMENTED.contains(&code));
        assert!(known, "{name}: {}", said(output));
        let errors = String::from_utf8(output.stderr.clone())?;
        assert_eq!(errors.lines().count(), 1, "{name}: not one line: {errors}");
        assert!(output.stdout.is_empty(), "{name}: {}", said(output));
        self.assert_untouched(name)
    }

    fn assert_untouched(&self, name: &str) -> Result<()> {
        let files = fs::read_dir(self.folder.path())?.count();
        assert_eq!(files, usize::from(self.bytes.is_some()), "{name}: files in the folder");
        if let Some(bytes) = &self.bytes {
            assert!(fs::read(self.path())? == *bytes, "{name}: the file was touched");
        }
        Ok(())
    }
}

#[test]
fn change_prefix_refuses_every_recorded_kind() -> Result<()> {
    let codes = [
        ("flip", 3),
        ("nohash", 7),
        ("zerohash", 3),
        ("meta0", 3),
        ("trunc", 9),
        ("trunc512", 9),
        ("text", 3),
        ("empty", 3),
        ("missing", 4),
    ];
    let recorded = recorded()?;
    let kinds = recorded.as_object().context("an object")?.keys();
    assert_eq!(kinds.filter(|name| name.starts_with("damaged/")).count(), codes.len());
    for (kind, code) in codes {
        let case = Case::new(damaged(kind)?)?;
        let output = case.change_prefix(&[])?;
        case.assert_refused(kind, &output)?;
        assert_eq!(output.status.code(), Some(code), "{kind}: {}", said(&output));
        // Neither a missing trailer nor a meta page too few ends an etcd that reads it.
        let checked = if code == 7 { 0 } else { code };
        assert_eq!(case.assert_checked(kind)?, Some(checked), "check of {kind}");
    }
    Ok(())
}

/// etcdutl's output where it has one; an error, and no panic, where it fails or panics.
#[test]
fn status_answers_every_recorded_kind() -> Result<()> {
    let recorded = recorded()?;
    for (name, programs) in recorded.as_object().context("an object")? {
        let Some(kind) = name.strip_prefix("damaged/") else { continue };
        let case = Case::new(damaged(kind)?)?;
        for (like, program) in
            [("3.5", "etcdutl-3.5.1"), ("3.6", "etcdutl-3.6.14"), ("3.7", "etcdutl-3.7.1")]
        {
            let theirs = &programs[program]["simple"];
            let output = case.status(like)?;
            if theirs["rc"] == 0 {
                assert!(output.status.success(), "{name}: {}", said(&output));
                let ours = String::from_utf8(output.stdout)?;
                assert_eq!(Some(ours.as_str()), theirs["stdout"].as_str(), "{name} {program}");
                case.assert_untouched(name)?;
            } else {
                case.assert_refused(name, &output)?;
            }
        }
    }
    Ok(())
}

#[test]
fn random_files_are_refused() -> Result<()> {
    let mut random = Random::new(2);
    for size in [0, 1, 31, 32, 33, 79, 80, 511, 512, 4_096, 8_192, 8_224, 36_896, 100_000] {
        let mut bytes = vec![0; size];
        random.fill(&mut bytes);
        let case = Case::new(Some(bytes))?;
        for extra in [&[][..], &["--skip-hash-check", "--accept-corrupt-trailer"]] {
            let name = format!("{size} random bytes {extra:?}");
            case.assert_refused(&name, &case.change_prefix(extra)?)?;
        }
        case.assert_refused(&format!("status of {size} random bytes"), &case.status("3.6")?)?;
        assert_eq!(case.assert_checked("random bytes")?, Some(3));
    }
    Ok(())
}

/// Real metas in front of random pages: the file looks like a snapshot until it is walked.
#[test]
fn random_pages_are_refused() -> Result<()> {
    let mut random = Random::new(3);
    for _ in 0..20 {
        let mut bytes = fs::read(fixture("s-3.5.1.db"))?;
        random.fill(&mut bytes[2 * PAGE..]);
        let case = Case::new(Some(bytes))?;
        let output = case.change_prefix(&["--skip-hash-check", "--accept-corrupt-trailer"])?;
        case.assert_refused("random pages", &output)?;
        case.assert_refused("status of random pages", &case.status("3.6")?)?;
        assert_eq!(case.assert_checked("random pages")?, Some(3));
    }
    Ok(())
}

/// A changed byte anywhere: refused by the hash; and when the hash is to be ignored, refused by
/// the structure or rewritten into a file that the judge accepts.
#[test]
fn single_changes_are_refused_or_harmless() -> Result<()> {
    let mut random = Random::new(4);
    let (mut refused, mut rewritten) = (0, 0);
    for _ in 0..200 {
        let mut bytes = fs::read(fixture("s-3.5.16.db"))?;
        let at = random.below(bytes.len() as u64 - 32) as usize;
        let flip = 1 + random.below(255) as u8;
        bytes[at] ^= flip;
        let case = Case::new(Some(bytes))?;
        let name = format!("byte {at} ^ {flip:#x}");
        case.assert_refused(&name, &case.change_prefix(&[])?)?;
        assert_eq!(case.assert_checked(&name)?, Some(3), "check of {name}");
        let output = case.change_prefix(&["--skip-hash-check", "--accept-corrupt-trailer"])?;
        if output.status.success() {
            judged(&case.path()).with_context(|| name)?;
            rewritten += 1;
        } else {
            case.assert_refused(&name, &output)?;
            refused += 1;
        }
    }
    assert!(refused > 10 && rewritten > 10, "{refused} refused, {rewritten} rewritten");
    Ok(())
}

fn judged(path: &Path) -> Result<()> {
    tools::status(Version::JUDGE, path, None).map(drop)
}
