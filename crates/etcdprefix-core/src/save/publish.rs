//! Puts a finished file in its place: the target is the old file or the new one, never a part.
//!
//! The file is written without a name where the file system can (`O_TMPFILE`), so a killed process
//! leaves nothing behind; elsewhere under a temporary name in the target's folder, locked while its
//! writer lives, so that a later run can tell an orphan and remove it.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::save::disk::{Disk, proc_path};
use crate::save::space::folder_of;

/// Tries for a temporary name that nobody else takes.
const NAME_TRIES: usize = 16;

/// A file being written, not yet under its name. Dropped, it is gone.
pub struct Staged {
    disk: Arc<dyn Disk>,
    file: File,
    folder: File,
    target: PathBuf,
    /// The temporary name, where there is one.
    name: Option<PathBuf>,
    replace: bool,
}

impl Staged {
    /// A new file of `bytes` bytes, 0 if that is not known, that will become `target`, replacing what
    /// is there if `replace`. Until then only its owner can read it.
    ///
    /// # Errors
    /// [`Error::OutputExists`]; [`Error::Io`] if the folder can't be written or has no room.
    pub fn create(disk: Arc<dyn Disk>, target: &Path, bytes: u64, replace: bool) -> Result<Self> {
        if !replace && disk.exists(target) {
            return Err(Error::OutputExists { path: target.into() });
        }
        let path = folder_of(target);
        let folder = disk.open_folder(path).map_err(Error::io("open the folder of", target))?;
        remove_orphans(disk.as_ref(), path, target);
        let (file, name) = match create_unnamed(disk.as_ref(), path) {
            Some(file) => (file, None),
            None => {
                let (file, name) = create_named(disk.as_ref(), path, target)?;
                (file, Some(name))
            }
        };
        let staged = Self { disk, file, folder, target: target.into(), name, replace };
        staged.reserve(bytes)?;
        Ok(staged)
    }

    /// The file, readable and writable.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The name that it will have.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Brings the file's bytes to the disk.
    pub fn sync(&self) -> Result<()> {
        self.disk.sync(&self.file).map_err(Error::io("sync", &self.target))
    }

    /// Gives the file its name, with the owner and mode of `like`, else as private as it was made;
    /// the folder is brought to the disk too if `sync`. Returns what could not be done although the
    /// file is in its place.
    ///
    /// # Errors
    /// [`Error::OutputExists`] if somebody else made the target meanwhile and it is not to be
    /// replaced; I/O. The target is as it was.
    pub fn publish(mut self, like: Option<&Metadata>, sync: bool) -> Result<Vec<String>> {
        let taken = like.map(|like| self.take_over(like)).transpose()?;
        let mut warnings = taken.unwrap_or_default();
        if self.replace {
            self.rename_over()?
        } else {
            self.name_anew()?
        }
        if sync && let Err(error) = self.disk.sync(&self.folder) {
            // Some file systems have no such call; of the others the file may be lost with power.
            let path = self.target.display();
            warnings.push(format!("{path}: its folder could not be synced: {error}"));
        }
        Ok(warnings)
    }

    fn rename_over(&mut self) -> Result<()> {
        let name = self.named()?;
        let renamed = self.disk.rename(&name, &self.target);
        renamed.map_err(Error::io("rename to", &self.target))?;
        self.name = None;
        Ok(())
    }

    /// Names the file, which fails if there is a target by now.
    fn name_anew(&mut self) -> Result<()> {
        let named = match &self.name {
            None => self.disk.link(&proc_path(&self.file), &self.target),
            Some(name) => self.rename_anew(name),
        };
        match named {
            Ok(()) => {
                self.name = None;
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Err(Error::OutputExists { path: self.target.clone() })
            }
            Err(error) => Err(Error::io("name", &self.target)(error)),
        }
    }

    /// In one step where the file system can. Else a kill in between leaves a second name, which is
    /// an orphan.
    fn rename_anew(&self, name: &Path) -> io::Result<()> {
        match self.disk.rename_new(name, &self.target) {
            Err(error) if cannot_rename_new(&error) => {
                self.disk.link(name, &self.target)?;
                // Once more than it would have to be: a second name of the result would stay.
                self.disk.remove(name).or_else(|_| self.disk.remove(name)).ok();
                Ok(())
            }
            renamed => renamed,
        }
    }

    /// Takes the space now, so that a full disk is known before the work.
    fn reserve(&self, bytes: u64) -> Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        match self.disk.reserve(&self.file, bytes) {
            Err(error) if !is_optional(&error) => {
                Err(Error::io("reserve space for", &self.target)(error))
            }
            _ => Ok(()),
        }
    }

    fn take_over(&self, like: &Metadata) -> Result<Vec<String>> {
        let mine = self.disk.inspect(&self.file).map_err(Error::io("inspect", &self.target))?;
        let mut warnings = Vec::new();
        let other = (mine.uid(), mine.gid()) != (like.uid(), like.gid());
        if other && self.disk.set_owner(&self.file, like.uid(), like.gid()).is_err() {
            let (owner, path) = (format!("{}:{}", like.uid(), like.gid()), &self.target);
            warnings.push(format!("{}: owner {owner} could not be kept", path.display()));
        }
        // After the owner, since a change of owner takes mode bits away.
        let set = self.disk.set_mode(&self.file, like.mode() & 0o7777);
        set.map_err(Error::io("set the mode of", &self.target))?;
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
            match self.disk.link(&own, &name) {
                Ok(()) => return Ok(self.name.insert(name).clone()),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::io("name", &self.target)(error)),
            }
        }
        Err(Error::io("name", &self.target)(ErrorKind::AlreadyExists.into()))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // Nothing more can be done if it fails; the next run removes it.
            self.disk.remove(name).ok();
        }
    }
}

/// A file system, or a kernel, without `RENAME_NOREPLACE`; it may have links.
fn cannot_rename_new(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS))
}

/// Not every file system can reserve space, and a signal may come in between.
fn is_optional(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR))
}

fn create_unnamed(disk: &dyn Disk, folder: &Path) -> Option<File> {
    let file = disk.create_unnamed(folder).ok()?;
    disk.lock(&file).ok();
    Some(file)
}

fn create_named(disk: &dyn Disk, folder: &Path, target: &Path) -> Result<(File, PathBuf)> {
    for _ in 0..NAME_TRIES {
        let name = temporary_name(folder, target);
        let file = match disk.create_named(&name) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            created => created.map_err(Error::io("create", &name))?,
        };
        let taken = disk.lock(&file).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        // Another run may have taken it for an orphan before the lock was there.
        if !taken && disk.exists(&name) {
            return Ok((file, name));
        }
    }
    Err(Error::io("create a temporary file beside", target)(ErrorKind::AlreadyExists.into()))
}

/// Removes what killed runs left for the same target; whatever fails here does not matter.
fn remove_orphans(disk: &dyn Disk, folder: &Path, target: &Path) {
    let names = disk.list(folder).unwrap_or_default();
    for name in names.iter().filter(|name| is_temporary_name(name, target)) {
        let path = folder.join(name);
        let orphan = disk.open_orphan(&path);
        if orphan.is_ok_and(|file| disk.lock(&file).is_ok()) {
            disk.remove(&path).ok();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::save::disk::RealDisk;

    fn stage(target: &Path, bytes: u64, replace: bool) -> Result<Staged> {
        Staged::create(Arc::new(RealDisk), target, bytes, replace)
    }

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
        RealDisk.set_mode(&File::open(&target).unwrap(), 0o640).unwrap();
        let like = target.metadata().unwrap();
        let staged = stage(&target, 3, true).unwrap();
        std::os::unix::fs::FileExt::write_all_at(staged.file(), b"new", 0).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"old");
        assert!(staged.publish(Some(&like), true).unwrap().is_empty());
        assert_eq!(std::fs::read(&target).unwrap(), b"new");
        assert_eq!(target.metadata().unwrap().mode() & 0o7777, 0o640);
        assert_eq!(names(folder.path()), ["snap.db"]);
    }

    #[test]
    fn an_existing_output_is_not_replaced_even_if_it_comes_late() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("out.db");
        let staged = stage(&target, 1, false).unwrap();
        std::fs::write(&target, "mine").unwrap();
        let like = target.metadata().unwrap();
        assert!(matches!(staged.publish(Some(&like), true), Err(Error::OutputExists { .. })));
        assert!(matches!(stage(&target, 1, false), Err(Error::OutputExists { .. })));
        assert_eq!(std::fs::read(&target).unwrap(), b"mine");
        assert_eq!(names(folder.path()), ["out.db"]);
    }

    #[test]
    fn orphans_are_removed_but_not_files_being_written() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("snap.db");
        let (_alive, alive) = create_named(&RealDisk, folder.path(), &target).unwrap();
        let (dead_file, _dead) = create_named(&RealDisk, folder.path(), &target).unwrap();
        drop(dead_file);
        std::fs::write(folder.path().join(".snap.db.etcdprefix-notes.tmp"), "").unwrap();
        remove_orphans(&RealDisk, folder.path(), &target);
        let mut left = vec![
            OsString::from(".snap.db.etcdprefix-notes.tmp"),
            alive.file_name().unwrap().to_owned(),
        ];
        left.sort();
        assert_eq!(names(folder.path()), left);
    }
}
