//! Runs the command, and proves one rewritten snapshot with everything that real etcd can tell.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use etcdprefix_testkit::compare::{Compared, compare};
use etcdprefix_testkit::{EtcdServer, PrefixMap, Version, tools};
use serde_json::Value;

/// A cluster id as the migration's template uses it.
pub const DEST: &str = "/c0123456789abcdef0123456789abcdef";

/// The formats of `snapshot status`; `None` is the default.
pub const FORMATS: [Option<&str>; 5] =
    [None, Some("simple"), Some("fields"), Some("json"), Some("table")];

/// The path of the program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_etcdprefix");

/// Runs the program to its end.
pub fn run<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Result<Output> {
    Command::new(PROGRAM).args(arguments).output().context("cannot start the program")
}

/// Runs the program, which must succeed, and returns its standard output.
pub fn stdout<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Result<String> {
    let output = run(arguments)?;
    ensure!(output.status.success(), "{}", said(&output));
    Ok(String::from_utf8(output.stdout)?)
}

/// Everything that a program said, for a failure's message.
pub fn said(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{}: {}{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// A snapshot in testdata.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/snapshots").join(name)
}

/// All snapshots in testdata, sorted.
pub fn fixtures() -> Result<Vec<PathBuf>> {
    let folder = fs::read_dir(fixture(""))?;
    let mut paths = folder.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "db"));
    paths.sort();
    ensure!(paths.len() >= 10, "testdata has lost snapshots: {paths:?}");
    Ok(paths)
}

/// Rewrites one prefix to another into `output`; the result is the command's JSON.
pub fn change(
    source: &Path,
    output: &Path,
    [src, dest]: [&str; 2],
    extra: &[&str],
) -> Result<Value> {
    let words = ["change-prefix", "-w", "json", "--src-prefix", src, "--dest-prefix", dest];
    let mut arguments: Vec<&OsStr> = words.iter().chain(extra).map(OsStr::new).collect();
    let (db, out) = (OsStr::new("--db"), OsStr::new("--output"));
    arguments.extend([db, source.as_os_str(), out, output.as_os_str()]);
    let text = stdout(arguments).with_context(|| format!("rewriting {}", source.display()))?;
    Ok(serde_json::from_str(&text)?)
}

/// A number of the command's JSON.
pub fn number(result: &Value, field: &str) -> u64 {
    result[field].as_u64().unwrap_or_else(|| panic!("no number {field} in {result}"))
}

/// Rewrites `/registry` of `source` to [`DEST`] and proves the output in every way but serving it.
/// The result is the command's JSON.
pub fn rewrite_and_judge(source: &Path, output: &Path, extra: &[&str]) -> Result<Value> {
    let result = change(source, output, ["/registry", DEST], extra)?;
    for version in [Version::V3_5_1, Version::JUDGE] {
        let (before, after) = (pairs(version, source)?, pairs(version, output)?);
        ensure!(before == after, "{version} counts {before} pairs before, {after} after");
        same_status(version, output)?;
    }
    // A rename is injective: as many keys live afterwards.
    let live = |path: &Path| -> Result<Value> {
        let path = path.to_str().context("the path is UTF-8")?;
        let text = stdout(["snapshot", "status", "--like", "3.6", "-w", "json", path])?;
        Ok(serde_json::from_str::<Value>(&text)?["totalKey"].clone())
    };
    let (before, after) = (live(source)?, live(output)?);
    ensure!(before == after, "{before} live keys before, {after} after");
    Ok(result)
}

/// Our `snapshot status --like 3.5` prints what that etcdutl prints, in every format.
pub fn same_status(version: Version, snapshot: &Path) -> Result<()> {
    for format in FORMATS {
        let theirs = tools::status(version, snapshot, format)?;
        let mut arguments = vec![OsStr::new("snapshot"), OsStr::new("status")];
        arguments.extend([OsStr::new("--like"), OsStr::new("3.5"), snapshot.as_os_str()]);
        if let Some(format) = format {
            arguments.extend([OsStr::new("-w"), OsStr::new(format)]);
        }
        let ours = stdout(arguments)?;
        ensure!(ours == theirs, "{version} {format:?} prints {theirs:?}, we print {ours:?}");
    }
    Ok(())
}

/// Pairs in all buckets, which is what 3.5 calls keys.
fn pairs(version: Version, snapshot: &Path) -> Result<u64> {
    let text = tools::status(version, snapshot, Some("json"))?;
    let status: Value = serde_json::from_str(&text)?;
    status["totalKey"].as_u64().context("no totalKey")
}

/// Restores source and output with the tool of that version, its hash check on, serves both and
/// compares everything that a client can see.
pub fn serve_and_compare(version: Version, source: &Path, output: &Path) -> Result<Compared> {
    let map = PrefixMap::new("/registry", DEST);
    let original = EtcdServer::restored(version, source)?;
    let rewritten = EtcdServer::restored(version, output)?;
    compare(&original, &rewritten, &map, source)
        .with_context(|| format!("{} on etcd {version}", source.display()))
}
