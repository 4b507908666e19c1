//! etcd's own offline tools: `snapshot status`, `snapshot restore` and `defrag`.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};

use crate::Version;

/// What `snapshot restore` is asked for beyond the plain case.
#[derive(Clone, Copy, Debug, Default)]
pub struct RestoreOptions {
    /// Needed for files without the SHA-256 trailer.
    pub skip_hash_check: bool,
    /// Raises the store's revision and marks the old one compacted; 3.5.16 only.
    pub bump_revision: Option<u64>,
}

/// Restores `snapshot` into `data_dir`, which must not exist, as a one-member cluster.
pub fn restore(
    version: Version,
    snapshot: &Path,
    data_dir: &Path,
    options: RestoreOptions,
) -> Result<()> {
    let mut command = tool(version)?;
    command.args(["snapshot", "restore"]).arg(snapshot).arg("--data-dir").arg(data_dir);
    if options.skip_hash_check {
        command.arg("--skip-hash-check");
    }
    if let Some(by) = options.bump_revision {
        command.args(["--mark-compacted", "--bump-revision", &by.to_string()]);
    }
    let output = command.output().context("cannot start the restore")?;
    if !output.status.success() {
        bail!("{version} can't restore {}: {}", snapshot.display(), said(&output));
    }
    Ok(())
}

/// Defragments the database of `data_dir`, which no server may have open: it is written anew.
pub fn defrag(version: Version, data_dir: &Path) -> Result<()> {
    let output = tool(version)?.arg("defrag").arg("--data-dir").arg(data_dir).output();
    let output = output.context("cannot start the defragmentation")?;
    if !output.status.success() {
        bail!("{version} can't defragment {}: {}", data_dir.display(), said(&output));
    }
    Ok(())
}

/// Runs `snapshot status`, in the default format if none is given, and returns everything it said.
pub fn status_output(version: Version, snapshot: &Path, format: Option<&str>) -> Result<Output> {
    let mut command = tool(version)?;
    command.args(["snapshot", "status"]).arg(snapshot);
    if let Some(format) = format {
        command.args(["-w", format]);
    }
    command.output().context("cannot start the status command")
}

/// As [`status_output`] for a file that may lead it in circles: within five seconds and two
/// gigabytes of addresses; ended by these it is no success.
pub fn bounded_status_output(version: Version, snapshot: &Path) -> Result<Output> {
    let mut command = Command::new("prlimit");
    command.args(["--as=2147483648", "timeout", "5"]).arg(version.snapshot_tool()?);
    command.env("ETCDCTL_API", "3").args(["snapshot", "status", "-w", "json"]).arg(snapshot);
    command.output().context("cannot start the status command")
}

/// The standard output of a `snapshot status` that succeeds.
pub fn status(version: Version, snapshot: &Path, format: Option<&str>) -> Result<String> {
    let output = status_output(version, snapshot, format)?;
    if !output.status.success() {
        bail!("{version} refuses {}: {}", snapshot.display(), said(&output));
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn tool(version: Version) -> Result<Command> {
    let mut command = Command::new(version.snapshot_tool()?);
    // 3.4's etcdctl speaks the old API unless told otherwise; the others ignore it.
    command.env("ETCDCTL_API", "3");
    Ok(command)
}

fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    let text = [String::from_utf8_lossy(out), String::from_utf8_lossy(err)].concat();
    format!("{} {}", output.status, text.trim())
}
