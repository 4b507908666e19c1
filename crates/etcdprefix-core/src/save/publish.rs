//! Puts a finished file in its place: the target is the old file or the new one, never a part.
//!
//! The file is written without a name where the file system can (`O_TMPFILE`), so a killed process
//! leaves nothing behind; elsewhere under a temporary name in the target's folder, locked while its
//! writer lives, so that a later run can tell an orphan and remove it.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FlockOperation, Gid, Mode, OFlags, RenameFlags, Uid, fallocate,
    fchmod, fchown, flock, linkat, open, renameat_with,
};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::save::space::folder_of;

/// Tries for a temporary name that nobody else takes.
const NAME_TRIES: usize = 16;
const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);

/// A file being written, not yet under its name. Dropped, it is gone.
pub struct Staged {
    file: File,
    folder: File,
    target: PathBuf,
    /// The temporary name, where there is one.
    name: Option<PathBuf>,
    replace: bool,
}

impl Staged {
    /// A new file of `bytes` bytes that will become `target`, replacing what is there if
    /// `replace`. Until then only its owner can read it.
    ///
    /// # Errors
    /// [`Error::OutputExists`]; [`Error::Io`] if the folder can't be written or has no room.
    pub fn create(target: &Path, bytes: u64, replace: bool) -> Result<Self> {
        if !replace && target.symlink_metadata().is_ok() {
            return Err(Error::OutputExists { path: target.into() });
        }
        let path = folder_of(target);
        let folder = File::open(path).map_err(Error::io("open the folder of", target))?;
        remove_orphans(path, target);
        let (file, name) = match create_unnamed(path) {
            Some(file) => (file, None),
            None => create_named(path, target).map(|(file, name)| (file, Some(name)))?,
        };
        let staged = Self { file, folder, target: target.into(), name, replace };
        staged.reserve(bytes)?;
        Ok(staged)
    }

    /// The file, readable and writable.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Brings the file's bytes to the disk.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_all().map_err(Error::io("sync", &self.target))
    }

    /// Gives the file its name, with the owner and mode of `like`; the folder is brought to the
    /// disk too if `sync`. Returns what could not be done although the file is in its place.
    ///
    /// # Errors
    /// [`Error::OutputExists`] if somebody else made the target meanwhile and it is not to be
    /// replaced; I/O. The target is as it was.
    pub fn publish(mut self, like: &Metadata, sync: bool) -> Result<Vec<String>> {
        let mut warnings = self.take_over(like)?;
        if self.replace {
            self.rename_over()?
        } else {
            self.link_anew()?
        }
        if sync && let Err(error) = self.folder.sync_all() {
            // Some file systems have no such call; of the others the file may be lost with power.
            let path = self.target.display();
            warnings.push(format!("{path}: its folder could not be synced: {error}"));
        }
        Ok(warnings)
    }

    fn rename_over(&mut self) -> Result<()> {
        let name = self.named()?;
        std::fs::rename(&name, &self.target).map_err(Error::io("rename to", &self.target))?;
        self.name = None;
        Ok(())
    }

    /// Links the file to the target, which fails if there is one by now. File systems without
    /// links are asked to rename without replacing.
    fn link_anew(&mut self) -> Result<()> {
        let from = self.name.clone().unwrap_or_else(|| proc_path(&self.file));
        let linked = linkat(CWD, &from, CWD, &self.target, AtFlags::SYMLINK_FOLLOW);
        let done = match (linked, self.name.take()) {
            (Ok(()), name) => {
                // What is left of a second name is an orphan, which the next run removes.
                name.map(std::fs::remove_file);
                Ok(())
            }
            (Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS), Some(name)) => {
                let renamed = renameat_with(CWD, &name, CWD, &self.target, RenameFlags::NOREPLACE);
                self.name = renamed.is_err().then_some(name);
                renamed
            }
            (Err(errno), name) => {
                self.name = name;
                Err(errno)
            }
        };
        match done {
            Err(Errno::EXIST) => Err(Error::OutputExists { path: self.target.clone() }),
            done => done.map_err(|errno| Error::io("name", &self.target)(errno.into())),
        }
    }

    /// Takes the space now, so that a full disk is known before the work.
    fn reserve(&self, bytes: u64) -> Result<()> {
        match fallocate(&self.file, FallocateFlags::empty(), 0, bytes) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => Ok(()),
            Err(errno) => Err(Error::io("reserve space for", &self.target)(errno.into())),
        }
    }

    fn take_over(&self, like: &Metadata) -> Result<Vec<String>> {
        let mine = self.file.metadata().map_err(Error::io("inspect", &self.target))?;
        let mut warnings = Vec::new();
        if (mine.uid(), mine.gid()) != (like.uid(), like.gid()) {
            let (uid, gid) = (Uid::from_raw(like.uid()), Gid::from_raw(like.gid()));
            if fchown(&self.file, Some(uid), Some(gid)).is_err() {
                let (owner, path) = (format!("{}:{}", like.uid(), like.gid()), &self.target);
                warnings.push(format!("{}: owner {owner} could not be kept", path.display()));
            }
        }
        // After the owner, since a change of owner takes mode bits away.
        let mode = Mode::from_raw_mode(like.mode() & 0o7777);
        fchmod(&self.file, mode)
            .map_err(|errno| Error::io("set the mode of", &self.target)(errno.into()))?;
        Ok(warnings)
    }

    /// The temporary name, given now if there is none.
    fn named(&mut self) -> Result<PathBuf> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        let own = proc_path(&self.file);
        for _ in 0..NAME_TRIES {
            let name = temporary_name(folder_of(&self.target), &self.target);
            match linkat(CWD, &own, CWD, &name, AtFlags::SYMLINK_FOLLOW) {
                Ok(()) => return Ok(self.name.insert(name).clone()),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(Error::io("name", &self.target)(errno.into())),
            }
        }
        Err(Error::io("name", &self.target)(io::ErrorKind::AlreadyExists.into()))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // Nothing more can be done if it fails; the next run removes it.
            std::fs::remove_file(name).ok();
        }
    }
}

fn create_unnamed(folder: &Path) -> Option<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = File::from(open(folder, flags, PRIVATE).ok()?);
    flock(&file, FlockOperation::NonBlockingLockExclusive).ok();
    // Without /proc it could never get a name.
    proc_path(&file).exists().then_some(file)
}

fn create_named(folder: &Path, target: &Path) -> Result<(File, PathBuf)> {
    for _ in 0..NAME_TRIES {
        let name = temporary_name(folder, target);
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
        let file = match open(&name, flags, PRIVATE) {
            Err(Errno::EXIST) => continue,
            opened => opened.map_err(|errno| Error::io("create", &name)(errno.into()))?,
        };
        let file = File::from(file);
        let locked = flock(&file, FlockOperation::NonBlockingLockExclusive);
        // Another run may have taken it for an orphan before the lock was there.
        if locked != Err(Errno::WOULDBLOCK) && name.exists() {
            return Ok((file, name));
        }
    }
    Err(Error::io("create a temporary file beside", target)(io::ErrorKind::AlreadyExists.into()))
}

/// Removes what killed runs left for the same target; whatever fails here does not matter.
fn remove_orphans(folder: &Path, target: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        if !is_temporary_name(&entry.file_name(), target) {
            continue;
        }
        // Not a pipe, which would be waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(file) = open(entry.path(), flags, Mode::empty()) else { continue };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            std::fs::remove_file(entry.path()).ok();
        }
    }
}

fn temporary_name(folder: &Path, target: &Path) -> PathBuf {
    let mut name = temporary_prefix(target);
    name.push(format!("{:016x}", RandomState::new().hash_one(0_u8)));
    name.push(TEMPORARY_SUFFIX);
    folder.join(name)
}

fn is_temporary_name(name: &OsStr, target: &Path) -> bool {
    let prefix = temporary_prefix(target);
    let rest = name.as_bytes().strip_prefix(prefix.as_bytes());
    let random = rest.and_then(|rest| rest.strip_suffix(TEMPORARY_SUFFIX.as_bytes()));
    random.is_some_and(|random| random.len() == 16 && random.iter().all(u8::is_ascii_hexdigit))
}

const TEMPORARY_SUFFIX: &str = ".tmp";

fn temporary_prefix(target: &Path) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(target.file_name().unwrap_or_default());
    prefix.push(".etcdprefix-");
    prefix
}

fn proc_path(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<OsString> {
        let mut names: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_published_file_replaces_with_mode_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("snap.db");
        std::fs::write(&target, "old").unwrap();
        fchmod(File::open(&target).unwrap(), Mode::from_raw_mode(0o640)).unwrap();
        let like = target.metadata().unwrap();
        let staged = Staged::create(&target, 3, true).unwrap();
        std::os::unix::fs::FileExt::write_all_at(staged.file(), b"new", 0).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"old");
        assert!(staged.publish(&like, true).unwrap().is_empty());
        assert_eq!(std::fs::read(&target).unwrap(), b"new");
        assert_eq!(target.metadata().unwrap().mode() & 0o7777, 0o640);
        assert_eq!(names(folder.path()), ["snap.db"]);
    }

    #[test]
    fn an_existing_output_is_not_replaced_even_if_it_comes_late() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("out.db");
        let staged = Staged::create(&target, 1, false).unwrap();
        std::fs::write(&target, "mine").unwrap();
        let like = target.metadata().unwrap();
        assert!(matches!(staged.publish(&like, true), Err(Error::OutputExists { .. })));
        assert!(matches!(Staged::create(&target, 1, false), Err(Error::OutputExists { .. })));
        assert_eq!(std::fs::read(&target).unwrap(), b"mine");
        assert_eq!(names(folder.path()), ["out.db"]);
    }

    #[test]
    fn orphans_are_removed_but_not_files_being_written() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("snap.db");
        let (_alive, alive) = create_named(folder.path(), &target).unwrap();
        let (dead_file, _dead) = create_named(folder.path(), &target).unwrap();
        drop(dead_file);
        std::fs::write(folder.path().join(".snap.db.etcdprefix-notes.tmp"), "").unwrap();
        remove_orphans(folder.path(), &target);
        let mut left = vec![
            OsString::from(".snap.db.etcdprefix-notes.tmp"),
            alive.file_name().unwrap().to_owned(),
        ];
        left.sort();
        assert_eq!(names(folder.path()), left);
    }
}
