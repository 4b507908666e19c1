//! The border between the writer and the operating system: everything that [`publish`] and
//! [`direct`] ask for, in one small trait, so that tests can count it, fail it and cut it short at
//! any point. Nothing else in `save` changes a file.
//!
//! [`publish`]: crate::save::publish
//! [`direct`]: crate::save::direct

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FlockOperation, Gid, Mode, OFlags, RenameFlags, Uid, fallocate,
    fchmod, fchown, flock, linkat, open, renameat_with,
};

/// Only the owner may read and write.
const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);

/// One call, one request to the operating system; errors are its own. Reads and writes may do less
/// than they were asked for.
pub trait Disk: Send + Sync {
    /// Opens a folder, to sync it later.
    fn open_folder(&self, folder: &Path) -> io::Result<File>;
    /// The names in a folder.
    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>>;
    /// Whether there is anything of that name, be it a dangling link.
    fn exists(&self, path: &Path) -> bool;
    /// A new file without a name, in the folder's file system, that can be given one later.
    fn create_unnamed(&self, folder: &Path) -> io::Result<File>;
    /// A new file of that name; fails if it is taken.
    fn create_named(&self, path: &Path) -> io::Result<File>;
    /// Opens what may be an orphan, to lock it: neither following a link nor waiting for a pipe.
    fn open_orphan(&self, path: &Path) -> io::Result<File>;
    /// Opens the same file once more, for direct I/O.
    fn open_direct(&self, file: &File) -> io::Result<File>;
    /// Locks a file, without waiting.
    fn lock(&self, file: &File) -> io::Result<()>;
    /// Takes the space for so many bytes.
    fn reserve(&self, file: &File, bytes: u64) -> io::Result<()>;
    /// Writes some of `bytes`; returns how many.
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Reads some bytes; returns how many, 0 at the end.
    fn read_at(&self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Brings a file's bytes, or a folder's names, to the disk.
    fn sync(&self, file: &File) -> io::Result<()>;
    /// What a file looks like.
    fn inspect(&self, file: &File) -> io::Result<Metadata>;
    /// Gives a file away.
    fn set_owner(&self, file: &File, uid: u32, gid: u32) -> io::Result<()>;
    /// Sets a file's permission bits.
    fn set_mode(&self, file: &File, mode: u32) -> io::Result<()>;
    /// Gives a file a further name; fails if it is taken.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Renames a file over whatever has the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Renames a file; fails if the new name is taken.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a name.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// The operating system's.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn open_folder(&self, folder: &Path) -> io::Result<File> {
        File::open(folder)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect()
    }

    fn exists(&self, path: &Path) -> bool {
        path.symlink_metadata().is_ok()
    }

    fn create_unnamed(&self, folder: &Path) -> io::Result<File> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = File::from(open(folder, flags, PRIVATE)?);
        // Without /proc it could never get a name.
        if proc_path(&file).exists() { Ok(file) } else { Err(io::ErrorKind::Unsupported.into()) }
    }

    fn create_named(&self, path: &Path) -> io::Result<File> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
        Ok(open(path, flags, PRIVATE)?.into())
    }

    fn open_orphan(&self, path: &Path) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(open(path, flags, Mode::empty())?.into())
    }

    fn open_direct(&self, file: &File) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::DIRECT | OFlags::CLOEXEC;
        Ok(open(proc_path(file), flags, Mode::empty())?.into())
    }

    fn lock(&self, file: &File) -> io::Result<()> {
        Ok(flock(file, FlockOperation::NonBlockingLockExclusive)?)
    }

    fn reserve(&self, file: &File, bytes: u64) -> io::Result<()> {
        Ok(fallocate(file, FallocateFlags::empty(), 0, bytes)?)
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(file, bytes, offset)
    }

    fn read_at(&self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(file, buffer, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn inspect(&self, file: &File) -> io::Result<Metadata> {
        file.metadata()
    }

    fn set_owner(&self, file: &File, uid: u32, gid: u32) -> io::Result<()> {
        Ok(fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?)
    }

    fn set_mode(&self, file: &File, mode: u32) -> io::Result<()> {
        Ok(fchmod(file, Mode::from_raw_mode(mode))?)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        Ok(linkat(CWD, from, CWD, to, AtFlags::SYMLINK_FOLLOW)?)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        Ok(renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }
}

/// Leads to an open file, even if it has no name.
pub fn proc_path(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Asks again where a signal came in between, so that no signal can fail a change; but for
/// [`Disk::reserve`], which starts anew each time and is not needed.
pub struct Patient(pub Arc<dyn Disk>);

fn retried<T>(mut ask: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match ask() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            answer => return answer,
        }
    }
}

impl Disk for Patient {
    fn open_folder(&self, folder: &Path) -> io::Result<File> {
        retried(|| self.0.open_folder(folder))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        retried(|| self.0.list(folder))
    }

    fn exists(&self, path: &Path) -> bool {
        self.0.exists(path)
    }

    fn create_unnamed(&self, folder: &Path) -> io::Result<File> {
        retried(|| self.0.create_unnamed(folder))
    }

    fn create_named(&self, path: &Path) -> io::Result<File> {
        retried(|| self.0.create_named(path))
    }

    fn open_orphan(&self, path: &Path) -> io::Result<File> {
        retried(|| self.0.open_orphan(path))
    }

    fn open_direct(&self, file: &File) -> io::Result<File> {
        retried(|| self.0.open_direct(file))
    }

    fn lock(&self, file: &File) -> io::Result<()> {
        retried(|| self.0.lock(file))
    }

    fn reserve(&self, file: &File, bytes: u64) -> io::Result<()> {
        self.0.reserve(file, bytes)
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        retried(|| self.0.write_at(file, bytes, offset))
    }

    fn read_at(&self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        retried(|| self.0.read_at(file, buffer, offset))
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        retried(|| self.0.sync(file))
    }

    fn inspect(&self, file: &File) -> io::Result<Metadata> {
        retried(|| self.0.inspect(file))
    }

    fn set_owner(&self, file: &File, uid: u32, gid: u32) -> io::Result<()> {
        retried(|| self.0.set_owner(file, uid, gid))
    }

    fn set_mode(&self, file: &File, mode: u32) -> io::Result<()> {
        retried(|| self.0.set_mode(file, mode))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        retried(|| self.0.link(from, to))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        retried(|| self.0.rename(from, to))
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        retried(|| self.0.rename_new(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        retried(|| self.0.remove(path))
    }
}
