//! Files that only their owner can read, whole or not at all.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

use super::sync_folder;
use crate::error::{Error, Result};

/// Behind the name of a file that is not whole yet, and hidden.
const UNFINISHED: &str = ".new";

/// Writes a file that only its owner can read: the old one or the new one is there, whole.
///
/// # Errors
/// [`Error::File`].
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = || Error::file("write", path);
    let mut staged = stage_private(path).map_err(failed())?;
    staged.write_all(bytes).map_err(failed())?;
    staged.as_file().sync_all().map_err(failed())?;
    staged.persist(path).map_err(|error| failed()(error.error))?;
    sync_folder(folder_of(path))
}

/// An empty file, mode 0600 whatever the umask, that is to be given this name. Its own name is always the
/// same: what somebody left who was killed may hold secrets, and goes.
///
/// # Errors
/// Of the file system.
pub fn stage_private(path: &Path) -> io::Result<NamedTempFile> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let (hidden, folder) = (format!(".{name}"), folder_of(path));
    match fs::remove_file(folder.join(format!("{hidden}{UNFINISHED}"))) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    Builder::new().prefix(&hidden).rand_bytes(0).suffix(UNFINISHED).tempfile_in(folder)
}

/// Removes what was not finished in a folder that is ours alone, as far as it can be: it is no reason to leave
/// hosts as they are.
pub fn remove_unfinished(folder: &Path) {
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') && name.ends_with(UNFINISHED) {
            let _ = fs::remove_file(&path);
        }
    }
}

/// Of a file that may be named without one.
fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_a_killed_process_left_is_gone_with_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bundle.json");
        let left = folder.path().join(".bundle.json.new");
        fs::write(&left, "half a s3cr3t").unwrap();
        write_private(&path, b"whole").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert!(!left.exists());
        fs::write(&left, "half a s3cr3t").unwrap();
        remove_unfinished(folder.path());
        assert!(!left.exists() && path.exists());
    }
}
