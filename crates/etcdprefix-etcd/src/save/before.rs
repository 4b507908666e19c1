//! What can be known to be wrong before any member is asked.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use etcdprefix_core::Error as CoreError;
use etcdprefix_core::rewrite::PrefixRule;
use etcdprefix_core::save::disk::RealDisk;
use etcdprefix_core::save::receive::Receiver;

use crate::error::{Error, Result};
use crate::save::{Change, SaveOptions};

/// Refuses what would fail only after the stream.
pub fn check(options: &SaveOptions) -> Result<()> {
    if let Some(change) = &options.change {
        check_change(change, &options.target)?;
        check_writable(&options.target)?;
    }
    check_writable(options.saved_target())
}

fn check_change(change: &Change, target: &Path) -> Result<()> {
    let rule = &change.options;
    PrefixRule::new(&rule.src_prefix, &rule.dest_prefix, rule.unmatched)?;
    if target.symlink_metadata().is_ok() {
        return Err(CoreError::OutputExists { path: target.into() }.into());
    }
    match &change.keep {
        // The saved file would silently replace what was made of it.
        Some(keep) if place(keep).is_some_and(|kept| place(target) == Some(kept)) => {
            let target = target.display();
            let text = format!("{target} cannot be both the saved file and the rewritten one");
            Err(Error::Usage(text))
        }
        _ => Ok(()),
    }
}

/// Folder and name, whatever way leads there; `None` if there is no such folder.
fn place(path: &Path) -> Option<(PathBuf, OsString)> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).canonicalize().ok()?;
    Some((folder, path.file_name()?.into()))
}

/// Begins a file there and drops it, which leaves nothing.
fn check_writable(target: &Path) -> Result<()> {
    Receiver::create(Arc::new(RealDisk), target, None)?;
    Ok(())
}
