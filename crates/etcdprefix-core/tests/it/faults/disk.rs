//! A disk that counts what it is asked for and fails as told, and knows what a power failure would
//! have left of it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use etcdprefix_core::save::disk::{Disk, RealDisk, proc_path};

/// What happens at the operation chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// That error, once.
    Once(i32),
    /// That error for whatever is asked from then on, cleaning up included.
    Dead(i32),
    /// No space for anything from then on.
    Full,
    /// Half of a read or write.
    Short,
    /// One bit of what is written comes to the disk wrong.
    Flip,
    /// One bit of what is read comes back wrong.
    Misread,
    /// Half of a write, and nothing ever after: the process is killed or the power is gone.
    Freeze,
}

/// What file systems can do without.
#[derive(Clone, Copy, Debug)]
pub struct Abilities {
    pub unnamed: bool,
    pub direct: bool,
    pub rename_new: bool,
}

/// A file's contents by its inode.
type Inode = u64;

pub struct FaultyDisk {
    fault: Fault,
    /// The operation that it happens at.
    at: usize,
    can: Abilities,
    asked: Mutex<Vec<&'static str>>,
    folder: PathBuf,
    durable: Mutex<Durable>,
}

/// What was brought to the disk.
#[derive(Default)]
struct Durable {
    bytes: BTreeMap<Inode, Vec<u8>>,
    names: BTreeMap<OsString, Inode>,
}

/// The files of a folder, and what they hold; nothing known of one that was never synced.
pub type World = BTreeMap<OsString, Option<Vec<u8>>>;

impl FaultyDisk {
    /// A disk with `folder`, all of which has long been there.
    pub fn new(folder: &Path, can: Abilities, fault: Fault, at: usize) -> Self {
        let mut durable = Durable { names: names(folder), ..Durable::default() };
        for (name, inode) in &durable.names {
            durable.bytes.insert(*inode, fs::read(folder.join(name)).unwrap());
        }
        let (asked, durable) = (Mutex::default(), Mutex::new(durable));
        Self { fault, at, can, asked, folder: folder.into(), durable }
    }

    /// What it was asked for, in order.
    pub fn asked(&self) -> Vec<&'static str> {
        self.asked.lock().unwrap().clone()
    }

    /// The operation that the fault happened at, if it came to that.
    pub fn hit(&self) -> Option<&'static str> {
        self.asked().get(self.at).copied()
    }

    /// What a power failure may leave: all names and bytes; all names but only the bytes that were
    /// synced; only the names and bytes that were.
    pub fn worlds(&self) -> [World; 3] {
        let durable = self.durable.lock().unwrap();
        let now = names(&self.folder);
        let synced = |names: &BTreeMap<OsString, Inode>| {
            let bytes = |inode| durable.bytes.get(inode).cloned();
            names.iter().map(|(name, inode)| (name.clone(), bytes(inode))).collect()
        };
        let read = |name: &OsString| Some(fs::read(self.folder.join(name)).unwrap());
        let all = now.keys().map(|name| (name.clone(), read(name))).collect();
        [all, synced(&now), synced(&durable.names)]
    }

    /// Counts an operation; tells whether the fault is to happen at this very one, if it lets it
    /// happen at all.
    fn gate(&self, operation: &'static str) -> io::Result<bool> {
        let mut asked = self.asked.lock().unwrap();
        let number = asked.len();
        asked.push(operation);
        let (hit, later) = (number == self.at, number > self.at);
        let takes_space = ["create", "reserve", "write", "link"].contains(&operation);
        let errno = match self.fault {
            Fault::Once(errno) if hit => errno,
            Fault::Dead(errno) if hit || later => errno,
            Fault::Full if (hit || later) && takes_space => ENOSPC,
            Fault::Freeze if later || (hit && operation != "write") => EIO,
            _ => return Ok(hit),
        };
        Err(io::Error::from_raw_os_error(errno))
    }
}

pub const EINTR: i32 = 4;
pub const EIO: i32 = 5;
pub const ENOSPC: i32 = 28;
const EOPNOTSUPP: i32 = 95;

fn names(folder: &Path) -> BTreeMap<OsString, Inode> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name(), entry.metadata().unwrap().ino())).collect()
}

fn unsupported<T>() -> io::Result<T> {
    Err(io::Error::from_raw_os_error(EOPNOTSUPP))
}

fn flip(file: &File, at: u64) -> io::Result<()> {
    // Not through a descriptor for direct I/O.
    let file = File::options().read(true).write(true).open(proc_path(file))?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    file.write_all_at(&[byte[0] ^ 0x10], at)
}

impl Disk for FaultyDisk {
    fn open_folder(&self, folder: &Path) -> io::Result<File> {
        self.gate("open folder")?;
        RealDisk.open_folder(folder)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        self.gate("list")?;
        RealDisk.list(folder)
    }

    fn exists(&self, path: &Path) -> bool {
        RealDisk.exists(path)
    }

    fn create_unnamed(&self, folder: &Path) -> io::Result<File> {
        self.gate("create")?;
        if self.can.unnamed { RealDisk.create_unnamed(folder) } else { unsupported() }
    }

    fn create_named(&self, path: &Path) -> io::Result<File> {
        self.gate("create")?;
        RealDisk.create_named(path)
    }

    fn open_orphan(&self, path: &Path) -> io::Result<File> {
        self.gate("open orphan")?;
        RealDisk.open_orphan(path)
    }

    fn open_direct(&self, file: &File) -> io::Result<File> {
        self.gate("open direct")?;
        if self.can.direct { RealDisk.open_direct(file) } else { unsupported() }
    }

    fn lock(&self, file: &File) -> io::Result<()> {
        self.gate("lock")?;
        RealDisk.lock(file)
    }

    fn reserve(&self, file: &File, bytes: u64) -> io::Result<()> {
        self.gate("reserve")?;
        RealDisk.reserve(file, bytes)
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let hit = self.gate("write")?;
        if !hit {
            return RealDisk.write_at(file, bytes, offset);
        }
        let half = &bytes[..bytes.len() / 2];
        match self.fault {
            Fault::Short => RealDisk.write_at(file, half, offset),
            Fault::Freeze => {
                File::options().write(true).open(proc_path(file))?.write_all_at(half, offset)?;
                Err(io::Error::from_raw_os_error(EIO))
            }
            Fault::Flip => {
                let written = RealDisk.write_at(file, bytes, offset)?;
                flip(file, offset + written as u64 / 2)?;
                Ok(written)
            }
            _ => RealDisk.write_at(file, bytes, offset),
        }
    }

    fn read_at(&self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let hit = self.gate("read")?;
        let read = RealDisk.read_at(file, buffer, offset)?;
        match self.fault {
            Fault::Short if hit => Ok(read.div_ceil(2)),
            Fault::Misread if hit && read > 0 => {
                buffer[read / 2] ^= 0x10;
                Ok(read)
            }
            _ => Ok(read),
        }
    }

    /// Only remembered, which is faster than a disk.
    fn sync(&self, file: &File) -> io::Result<()> {
        self.gate("sync")?;
        let metadata = file.metadata()?;
        let mut durable = self.durable.lock().unwrap();
        if metadata.is_dir() {
            durable.names = names(&self.folder);
        } else {
            durable.bytes.insert(metadata.ino(), fs::read(proc_path(file))?);
        }
        Ok(())
    }

    fn inspect(&self, file: &File) -> io::Result<Metadata> {
        self.gate("inspect")?;
        RealDisk.inspect(file)
    }

    fn set_owner(&self, file: &File, uid: u32, gid: u32) -> io::Result<()> {
        self.gate("set owner")?;
        RealDisk.set_owner(file, uid, gid)
    }

    fn set_mode(&self, file: &File, mode: u32) -> io::Result<()> {
        self.gate("set mode")?;
        RealDisk.set_mode(file, mode)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.gate("link")?;
        RealDisk.link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.gate("rename")?;
        RealDisk.rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.gate("rename")?;
        if self.can.rename_new { RealDisk.rename_new(from, to) } else { unsupported() }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.gate("remove")?;
        RealDisk.remove(path)
    }
}
