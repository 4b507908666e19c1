//! Files that are whole after a crash, and renames that overwrite nothing.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// No file of ours, and no manifest, is larger.
pub(crate) const LIMIT_BYTES: u64 = 16 << 20;

/// What a crash may leave of [`write_whole`].
pub(crate) const TEMP_PREFIX: &str = ".tmp-";

/// The old content or the new, on the disk; only for its owner to read.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut temp = tempfile::Builder::new().prefix(TEMP_PREFIX).tempfile_in(folder)?;
    temp.write_all(bytes)?;
    temp.as_file().sync_all()?;
    temp.persist(path)?;
    sync_folder(folder)
}

/// `None` if there is no such file.
pub(crate) fn read_bounded(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut bytes = Vec::new();
    file.take(LIMIT_BYTES + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > LIMIT_BYTES {
        true => Err(io::Error::other(format!("it has more than {} MiB", LIMIT_BYTES >> 20))),
        false => Ok(Some(bytes)),
    }
}

/// Whether there was such a file. It is gone on the disk too.
pub(crate) fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        removed => {
            removed?;
            sync_folder(path.parent().unwrap_or(Path::new("/")))?;
            Ok(true)
        }
    }
}

/// Brings new and gone names of a folder to the disk.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Never over an existing file. Where the file system can't promise that, it is looked at before.
pub(crate) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => rename_checked(from, to),
        renamed => Ok(renamed?),
    }
}

fn rename_checked(from: &Path, to: &Path) -> io::Result<()> {
    match exists(to)? {
        true => Err(Errno::EXIST.into()),
        false => fs::rename(from, to),
    }
}

/// Whether there is something of this name, a dangling link included.
pub(crate) fn exists(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        found => found.map(|_| true),
    }
}

/// What a file is: its content; of a link its target, which is what a rename moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fingerprint {
    pub(crate) sha256: String,
    pub(crate) size_bytes: u64,
    #[serde(default)]
    pub(crate) is_link: bool,
}

impl Fingerprint {
    /// `None` if there is nothing of this name.
    pub(crate) fn of(path: &Path) -> io::Result<Option<Self>> {
        let found = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => found?,
        };
        if found.is_symlink() {
            let target = fs::read_link(path)?;
            return Ok(Some(Self::of_bytes(target.as_os_str().as_bytes(), true)));
        }
        if !found.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        Ok(read_bounded(path)?.map(|bytes| Self::of_bytes(&bytes, false)))
    }

    fn of_bytes(bytes: &[u8], is_link: bool) -> Self {
        Self { sha256: sha256(bytes), size_bytes: bytes.len() as u64, is_link }
    }
}

/// In hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn files_are_written_whole_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write_whole(&path, b"old").unwrap();
        write_whole(&path, b"new").unwrap();
        assert_eq!(read_bounded(&path).unwrap().unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(remove(&path).unwrap() && !remove(&path).unwrap());
        assert_eq!(read_bounded(&path).unwrap(), None);
    }

    #[test]
    fn renames_overwrite_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::write(&from, "from").unwrap();
        symlink("dangling", &to).unwrap();
        for rename in [rename_new, rename_checked] {
            let refused = rename(&from, &to).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        }
        fs::remove_file(&to).unwrap();
        rename_checked(&from, &to).unwrap();
        rename_new(&to, &from).unwrap();
        assert_eq!(fs::read(&from).unwrap(), b"from");
    }

    #[test]
    fn links_are_known_by_where_they_lead() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "file").unwrap();
        symlink("file", &link).unwrap();
        let (file, link) = (Fingerprint::of(&file).unwrap(), Fingerprint::of(&link).unwrap());
        assert_eq!(file.as_ref().unwrap().sha256, link.as_ref().unwrap().sha256);
        assert_ne!(file, link);
        assert!(Fingerprint::of(folder.path()).is_err());
        assert_eq!(Fingerprint::of(&folder.path().join("none")).unwrap(), None);
    }
}
