//! A snapshot file: its lock, its meta pages, its trailer.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};

use crate::error::{BusyReason, Corruption, Error, Location, Result};
use crate::format::meta::{META_BYTES, Meta};
use crate::format::trailer::{Sha256Digest, TRAILER_BYTES, Trailer};
use crate::read::map::map;
use crate::read::storage::{Bytes, Positioned, Storage};
use crate::units::PageSize;

/// How a file's bytes are reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadMode {
    /// Through a read-only map, without copies.
    #[default]
    Map,
    /// By positioned reads into buffers: slower, but a file cut short meanwhile is an error
    /// instead of a SIGBUS.
    Positioned,
}

/// An open snapshot whose meta page is valid and whose pages are inside the file.
///
/// Everything else about it is unknown until read. The file is never opened for writing; a shared
/// lock is held while this lives, so a bbolt that wants to write to it waits.
pub struct Snapshot {
    path: PathBuf,
    storage: Box<dyn Storage>,
    /// None for bytes in memory.
    file: Option<Opened>,
    meta: Meta,
}

/// A file and what it looked like when it was opened.
struct Opened {
    file: File,
    before: Fingerprint,
    /// Whether the path leads to it.
    named: bool,
}

impl Snapshot {
    /// Opens the file at `path`, reading its meta pages.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Busy`] if another process holds it exclusively, as a running etcd
    /// does; [`Error::Damaged`] if there is no valid meta page or pages are missing at the end.
    pub fn open(path: &Path, mode: ReadMode) -> Result<Self> {
        // Asked before opening, which would wait for ever on a pipe.
        if !std::fs::metadata(path).map_err(Error::io("open", path))?.is_file() {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "not a regular file");
            return Err(Error::Io { action: "open", path: path.into(), source });
        }
        let file = File::open(path).map_err(Error::io("open", path))?;
        lock_shared(&file, path)?;
        Self::from_file(file, true, path, mode)
    }

    /// The same of a file that is being made and does not have the name `path` yet. Its lock is the
    /// one that it has, and stays until this is gone.
    pub(crate) fn of_unnamed(file: &File, path: &Path, mode: ReadMode) -> Result<Self> {
        let file = file.try_clone().map_err(Error::io("open", path))?;
        Self::from_file(file, false, path, mode)
    }

    fn from_file(file: File, named: bool, path: &Path, mode: ReadMode) -> Result<Self> {
        let metadata = file.metadata().map_err(Error::io("inspect", path))?;
        let storage = storage_of(&file, metadata.len(), mode).map_err(Error::io("read", path))?;
        let mut snapshot = Self::from_storage(storage, path)?;
        snapshot.file = Some(Opened { file, before: Fingerprint::of(&metadata), named });
        Ok(snapshot)
    }

    /// A snapshot over any bytes, `path` being its name in messages; errors as [`Snapshot::open`].
    pub fn from_storage(storage: Box<dyn Storage>, path: &Path) -> Result<Self> {
        let damaged =
            |damage| Error::Damaged { path: path.into(), at: Location::default(), damage };
        let meta = current_meta(storage.as_ref(), path)?.map_err(damaged)?;
        let bytes = storage.len();
        let needed = meta.page_size.offset_of(meta.high_water_mark);
        if needed.is_none_or(|needed| needed > bytes) {
            let needed = needed.unwrap_or(u64::MAX);
            return Err(damaged(Corruption::Truncated { needed, bytes }));
        }
        Ok(Self { path: path.into(), storage, file: None, meta })
    }

    /// The name used in messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The current meta page.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The file's page size.
    pub fn page_size(&self) -> PageSize {
        self.meta.page_size
    }

    /// The size of all pages in use: high water mark x page size.
    pub fn pages_bytes(&self) -> u64 {
        self.meta.high_water_mark.0 * self.page_size().bytes()
    }

    /// The file's size, trailer or unused pages included.
    pub fn file_bytes(&self) -> u64 {
        self.storage.len()
    }

    /// What follows the pages.
    ///
    /// # Errors
    /// I/O.
    pub fn trailer(&self) -> Result<Trailer> {
        if self.file_bytes() - self.pages_bytes() != TRAILER_BYTES {
            return Ok(Trailer::Missing);
        }
        let bytes = self.read(self.pages_bytes(), TRAILER_BYTES)?;
        Ok((*bytes).try_into().map_or(Trailer::Missing, Trailer::Present))
    }

    /// The opened file; `None` for bytes in memory.
    pub fn file(&self) -> Option<&File> {
        self.file.as_ref().map(|opened| &opened.file)
    }

    /// Whether its path leads to the file: not for bytes in memory, nor for a file that is yet to
    /// get that name.
    pub fn is_named(&self) -> bool {
        self.file.as_ref().is_some_and(|opened| opened.named)
    }

    /// The SHA-256 of all pages in use, read in order; `advance` gets the bytes of each step and
    /// ends the pass with its error.
    pub fn sha256(&self, mut advance: impl FnMut(u64) -> Result<()>) -> Result<Sha256Digest> {
        let mut hasher = Sha256::new();
        let mut advanced = Ok(());
        let swept = self.storage.sweep(self.pages_bytes(), &mut |bytes| {
            hasher.update(bytes);
            advanced = advance(bytes.len() as u64);
            advanced.is_ok()
        });
        swept.map_err(Error::io("read", &self.path))?;
        advanced?;
        Ok(hasher.finalize().into())
    }

    /// Proves that the file is still the one that was opened: device, inode, size and times, and
    /// that its name still leads to it, if it has one.
    ///
    /// # Errors
    /// [`Error::Busy`] if it is not.
    pub fn unchanged(&self) -> Result<()> {
        let Some(opened) = &self.file else {
            return Ok(());
        };
        let is_same = |metadata: io::Result<Metadata>| {
            let now = metadata.map_err(Error::io("inspect", &self.path))?;
            Ok(Fingerprint::of(&now) == opened.before)
        };
        let same = is_same(opened.file.metadata())?
            && (!opened.named || is_same(std::fs::metadata(&self.path))?);
        if same { Ok(()) } else { Err(self.busy(BusyReason::Changed)) }
    }

    /// An error about this file.
    pub(crate) fn damaged(&self, at: Location, damage: Corruption) -> Error {
        Error::Damaged { path: self.path.clone(), at, damage }
    }

    pub(crate) fn busy(&self, why: BusyReason) -> Error {
        Error::Busy { path: self.path.clone(), why }
    }

    pub(crate) fn prefetch(&self, offset: u64, bytes: usize) {
        self.storage.prefetch(offset, bytes);
    }

    pub(crate) fn read(&self, offset: u64, len: u64) -> Result<Bytes<'_>> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory.into());
        len.and_then(|len| self.storage.read(offset, len)).map_err(Error::io("read", &self.path))
    }
}

/// What tells one state of a file from another without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fingerprint {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Fingerprint {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// bbolt locks a database with flock: exclusively when it may write, shared when not
/// (`bolt_unix.go`, v1.3). A file system without locks can't tell, so it does not refuse.
fn lock_shared(file: &File, path: &Path) -> Result<()> {
    match flock(file, FlockOperation::NonBlockingLockShared) {
        Err(rustix::io::Errno::WOULDBLOCK) => {
            Err(Error::Busy { path: path.into(), why: BusyReason::Locked })
        }
        _ => Ok(()),
    }
}

fn storage_of(file: &File, len: u64, mode: ReadMode) -> io::Result<Box<dyn Storage>> {
    // An empty file can't be mapped; it is refused for its size later.
    if mode == ReadMode::Positioned || len == 0 {
        return Ok(Box::new(Positioned { file: file.try_clone()?, len }));
    }
    let len = usize::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    Ok(Box::new(map(file, len)?))
}

/// The valid meta page with the higher txid. If page 0 is broken, page 1 is looked for at every
/// page size from 1 KiB to 16 MiB (bbolt `db.getPageSize`, v1.3.7).
fn current_meta(storage: &dyn Storage, path: &Path) -> Result<Result<Meta, Corruption>> {
    let read = |offset: u64| -> Result<Result<Meta, Corruption>> {
        if storage.len() < offset + META_BYTES as u64 {
            return Ok(Err(Corruption::FileTooSmall { bytes: storage.len() }));
        }
        let bytes = storage.read(offset, META_BYTES).map_err(Error::io("read", path))?;
        Ok(Meta::parse(&bytes))
    };
    let first = read(0)?;
    let mut second = match &first {
        Ok(meta) => read(meta.page_size.bytes())?,
        Err(_) => Err(Corruption::MetaInvalid { why: "not found" }),
    };
    if first.is_err() {
        for shift in 10..=24 {
            let found = read(1 << shift)?;
            if found.is_ok() {
                second = found;
                break;
            }
        }
    }
    Ok(choose_meta(first, second, storage.len()))
}

fn choose_meta(
    first: Result<Meta, Corruption>,
    second: Result<Meta, Corruption>,
    bytes: u64,
) -> Result<Meta, Corruption> {
    match (first, second) {
        // A meta page found where the first one's page size puts it, but with another page size, is
        // no twin of it.
        (Ok(first), Ok(second))
            if second.txid > first.txid && second.page_size == first.page_size =>
        {
            Ok(second)
        }
        (Ok(first), _) => Ok(first),
        (Err(_), Ok(second)) => Ok(second),
        (Err(_), Err(_)) if bytes < u64::from(2 * PageSize::MIN_BYTES) => {
            Err(Corruption::FileTooSmall { bytes })
        }
        (Err(first), Err(second)) => {
            Err(Corruption::NoValidMeta { first: first.to_string(), second: second.to_string() })
        }
    }
}
