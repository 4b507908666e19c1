//! The file that everything is measured on: made by a real etcd, or given.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Args;
use crate::process;

/// Other versions of etcd lay pages out alike; one is chosen so that files can be compared.
const ETCD: &str = "3.5.1";

/// The same seed gives the same records, so a snapshot that is there already is as good as new.
const SEED: &str = "1";

/// The SHA-256 that etcd puts after the pages, and the size that pages are a multiple of.
const TRAILER_BYTES: u64 = 32;
const SECTOR_BYTES: u64 = 512;

/// The snapshot, in the page cache.
pub struct Source {
    pub path: PathBuf,
    /// The same pages, as a copied `member/snap/db` has them.
    pub without_trailer: PathBuf,
    pub bytes: u64,
    /// For file names and titles, without folders.
    pub name: String,
    /// How to get the same file again.
    pub origin: String,
}

pub fn prepare(root: &Path, folder: &Path, args: &Args) -> Result<Source> {
    let (path, origin) = match &args.file {
        Some(file) => (file.clone(), "given".to_owned()),
        None => made(root, folder, args)?,
    };
    let stem = path.file_stem().with_context(|| format!("{} names no file", path.display()))?;
    let name = stem.to_string_lossy().into_owned();
    let without_trailer = folder.join(format!("{name}.without-trailer.db"));
    let bytes = cut_trailer(&path, &without_trailer)?;
    // Disks differ more than processors do, and a snapshot just saved is in the cache anyway.
    for file in [&path, &without_trailer] {
        io::copy(&mut File::open(file)?, &mut io::sink())?;
    }
    Ok(Source { path, without_trailer, bytes, name, origin })
}

fn made(root: &Path, folder: &Path, args: &Args) -> Result<(PathBuf, String)> {
    let (records, value_bytes) = (args.records.to_string(), args.value_bytes.to_string());
    let path = folder.join(format!("{}-{records}x{value_bytes}.db", args.mix));
    let load = ["--records", &records, "--value-bytes", &value_bytes, "--mix", &args.mix];
    let load = [&load[..], &["--seed", SEED, "--version", ETCD]].concat();
    if !path.exists() {
        // An interrupted load must not pass for the snapshot.
        let part = path.with_extension("part");
        let mut command = Command::new("cargo");
        command.args(["run", "--quiet", "--locked", "-p", "etcdprefix-testkit"]);
        command.args(["--bin", "load-snapshot", "--"]).args(&load).arg("--out").arg(&part);
        process::run(command.current_dir(root))?;
        fs::rename(&part, &path)?;
    }
    Ok((path, format!("`load-snapshot {}`", load.join(" "))))
}

/// Returns the size of the whole file.
fn cut_trailer(from: &Path, to: &Path) -> Result<u64> {
    let bytes =
        fs::metadata(from).with_context(|| format!("cannot read {}", from.display()))?.len();
    if bytes % SECTOR_BYTES != TRAILER_BYTES {
        bail!("{} has no SHA-256 trailer: save it with `etcdctl snapshot save`", from.display());
    }
    fs::copy(from, to).with_context(|| format!("cannot copy to {}", to.display()))?;
    File::options().write(true).open(to)?.set_len(bytes - TRAILER_BYTES)?;
    Ok(bytes)
}
