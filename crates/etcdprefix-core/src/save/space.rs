//! Room for the output.

use std::path::Path;

use rustix::fs::{Access, access, statvfs};
use rustix::process::geteuid;

use crate::error::{Error, Result};

/// Bytes that a user may still write where `target` is or will be; `None` if the file system does
/// not say, as some network file systems.
pub fn free_bytes(target: &Path) -> Option<u64> {
    let space = statvfs(folder_of(target)).ok()?;
    // Some blocks are kept for root.
    let blocks = if geteuid().is_root() { space.f_bfree } else { space.f_bavail };
    (space.f_blocks > 0).then(|| blocks.saturating_mul(space.f_frsize))
}

/// Proves that files can be made in the folder of `target`.
///
/// # Errors
/// I/O, with the system's reason.
pub fn check_writable(target: &Path) -> Result<()> {
    access(folder_of(target), Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|errno| Error::io("write to the folder of", target)(errno.into()))
}

/// The folder that holds `target`.
pub fn folder_of(target: &Path) -> &Path {
    match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
