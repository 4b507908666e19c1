//! What a contender leaves: measured after each run, and gone before the next.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::contenders::Step;
use super::servers;
use crate::process;

/// Where a contender writes to.
pub enum Output {
    Nothing,
    File(PathBuf),
    Object(Object),
}

/// An object in a store, through the eyes of the store's own SDK.
pub struct Object {
    /// How large it must be.
    pub bytes: u64,
    /// Prints how large it is.
    pub size: Step,
    /// Removes it.
    pub remove: Step,
    /// The server that is to give back the disk that removed objects take.
    pub vacuum: Option<String>,
}

impl Output {
    /// Removes what an interrupted bench left. Servers, and so objects, don't outlive it.
    pub fn make_room(&self) -> Result<()> {
        match self {
            Self::File(path) => remove(path),
            Self::Nothing | Self::Object(_) => Ok(()),
        }
    }

    /// Looks at what was written, and removes it.
    pub fn take(&self) -> Result<Option<u64>> {
        match self {
            Self::Nothing => Ok(None),
            Self::File(path) => take_file(path).map(Some),
            Self::Object(object) => object.take().map(Some),
        }
    }
}

impl Object {
    fn take(&self) -> Result<u64> {
        let size = process::capture(&mut self.size.command())?;
        let size: u64 = size.trim().parse().context("the SDK tells no size")?;
        ensure!(size == self.bytes, "the store has {size} bytes of {}", self.bytes);
        process::capture(&mut self.remove.command())?;
        self.vacuum.as_deref().map_or(Ok(()), servers::vacuum)?;
        Ok(size)
    }
}

fn take_file(path: &Path) -> Result<u64> {
    let bytes = fs::metadata(path)?.len();
    remove(path)?;
    // What one left to the disk must not slow the next.
    let folder = path.parent().unwrap_or(Path::new("."));
    process::run(Command::new("sync").arg("--file-system").arg(folder))?;
    Ok(bytes)
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
