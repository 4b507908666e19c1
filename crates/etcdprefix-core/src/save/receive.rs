//! Makes a file of a snapshot while its bytes come.
//!
//! ```text
//! push: buffers of 1 MiB -> a thread hashes -> a thread writes -> the buffers again
//! ```
//!
//! The bytes go past the page cache (see [`direct`](crate::save::direct)), which leaves the
//! processor to whoever sends them; on a machine with few cores that may be etcd itself. Hashing
//! and writing then take about as long as each other, so each has a thread.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender, channel, sync_channel};
use std::thread::{Builder, JoinHandle};

use sha2::{Digest, Sha256};

use crate::aligned::AlignedBytes;
use crate::error::{Error, Result};
use crate::format::trailer::{Sha256Digest, TRAILER_BYTES, hex};
use crate::read::{ReadMode, Snapshot};
use crate::save::direct::DirectFile;
use crate::save::disk::{Disk, Patient};
use crate::save::publish::Staged;
use crate::save::sink::Sink;

/// What is hashed and written at once.
const BUFFER_BYTES: usize = 1 << 20;
/// Buffers there are, the one being filled included.
const BUFFERS: usize = 8;
/// Every page size is a multiple of it.
const PAGES_MULTIPLE_BYTES: u64 = 512;

/// Takes a snapshot's bytes in order, as a server sends them: all pages, then their SHA-256.
/// Dropped, it leaves nothing.
///
/// Memory: 8 MiB, however fast the bytes come.
pub struct Receiver {
    // Ends before the file goes.
    pipe: Pipe,
    staged: Staged,
    filling: AlignedBytes,
    received_bytes: u64,
    promised_bytes: u64,
}

impl Receiver {
    /// Begins a private file that may become `target`, whose folder must exist. What is there
    /// already stays until then; a link is not followed but replaced itself, as etcdctl does, so
    /// that nobody who may write to the folder can send the secrets, or the loss of a file,
    /// elsewhere.
    ///
    /// `bytes` is the size to come, trailer included, if it is known: the space is taken at once.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder can't be written or has no room, or `target` is or leads to
    /// something that is no regular file.
    pub fn create(disk: Arc<dyn Disk>, target: &Path, bytes: Option<u64>) -> Result<Self> {
        check_replaceable(target)?;
        let disk: Arc<dyn Disk> = Arc::new(Patient(disk));
        let promised_bytes = bytes.unwrap_or_default();
        let staged = Staged::create(disk.clone(), target, promised_bytes, true)?;
        let file = DirectFile::new(disk, staged.file(), promised_bytes);
        let file = file.map_err(Error::io("write", target))?;
        let pipe = Pipe::start(file).map_err(Error::io("start a thread for", target))?;
        let filling = empty(AlignedBytes::default());
        Ok(Self { pipe, staged, filling, received_bytes: 0, promised_bytes })
    }

    /// Takes the next bytes, in pieces of any size; waits while the disk is slower.
    ///
    /// # Errors
    /// [`Error::Io`] if earlier bytes could not be written. It is told some MiB later, or by
    /// [`Receiver::finish`].
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.received_bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = BUFFER_BYTES - self.filling.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.filling.extend_from_slice(now);
            bytes = later;
            if self.filling.len() == BUFFER_BYTES {
                self.pass_on()?;
            }
        }
        Ok(())
    }

    fn pass_on(&mut self) -> Result<()> {
        let full = std::mem::take(&mut self.filling);
        match self.pipe.exchange(full) {
            Some(buffer) => {
                self.filling = empty(buffer);
                Ok(())
            }
            // It ended early; it can say why.
            None => self.pipe.end().map_err(Error::io("write", self.staged.target())).and(Ok(())),
        }
    }

    /// Ends the file and proves it by its trailer. What the disk made of the bytes is not read.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::TrailerMissing`] if the bytes do not end as a snapshot does, or are
    /// fewer than were promised: the stream ended early; [`Error::TrailerMismatch`].
    pub fn finish(self) -> Result<Received> {
        let promised_bytes = self.promised_bytes;
        let (received, tail) = self.end()?;
        let whole = received.bytes % PAGES_MULTIPLE_BYTES == TRAILER_BYTES
            && received.bytes >= promised_bytes;
        let path = || received.staged.target().to_owned();
        let trailer = Sha256Digest::try_from(tail).ok().filter(|_| whole);
        let trailer = trailer.ok_or_else(|| Error::TrailerMissing { path: path() })?;
        if trailer != received.sha256 {
            let (found, computed) = (hex(&trailer), hex(&received.sha256));
            return Err(Error::TrailerMismatch { path: path(), found, computed });
        }
        Ok(received)
    }

    /// Ends the file whatever the bytes are; [`Received::sha256`] is of all but the last 32.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish_unproved(self) -> Result<Received> {
        self.end().map(|(received, _)| received)
    }

    fn end(mut self) -> Result<(Received, Vec<u8>)> {
        self.pipe.send(std::mem::take(&mut self.filling));
        let (sha256, tail) = self.pipe.end().map_err(Error::io("write", self.staged.target()))?;
        Ok((Received { bytes: self.received_bytes, sha256, staged: self.staged }, tail))
    }
}

/// A whole snapshot that is not under its name yet. Dropped, it is gone.
pub struct Received {
    /// The file's size, trailer included.
    pub bytes: u64,
    /// The digest of all pages, which is the trailer.
    pub sha256: Sha256Digest,
    staged: Staged,
}

impl Received {
    /// Opens the file to read it; messages name the target. No other process can lock the file as
    /// long as this or what it returns lives, published or not, and [`Snapshot::unchanged`] takes the
    /// publication for a change.
    ///
    /// # Errors
    /// As [`Snapshot::open`], but for another's lock.
    pub fn snapshot(&self, mode: ReadMode) -> Result<Snapshot> {
        Snapshot::of_unnamed(self.staged.file(), self.staged.target(), mode)
    }

    /// Brings the file's bytes to the disk.
    ///
    /// # Errors
    /// I/O.
    pub fn sync(&self) -> Result<()> {
        self.staged.sync()
    }

    /// Gives the file its name, in place of what has it now; its folder is brought to the disk too
    /// if `sync`, which is of use only after [`Received::sync`]. Nobody but this process's user may
    /// read or write it, whoever might the file before: a snapshot holds every secret. Returns what
    /// could not be done although the file is in its place.
    ///
    /// # Errors
    /// I/O. The target is as it was.
    pub fn publish(self, sync: bool) -> Result<Vec<String>> {
        self.staged.publish(None, sync)
    }
}

/// A device or a pipe would be replaced by the file; a folder could not be, which is better known
/// before the work.
fn check_replaceable(target: &Path) -> Result<()> {
    match std::fs::metadata(target) {
        Ok(metadata) if !metadata.is_file() => {
            let source = io::Error::new(ErrorKind::InvalidInput, "not a regular file");
            Err(Error::io("replace", target)(source))
        }
        _ => Ok(()),
    }
}

fn empty(mut buffer: AlignedBytes) -> AlignedBytes {
    buffer.reset(BUFFER_BYTES);
    buffer
}

/// The digest of all bytes but the last ones, and those, 32 if there were as many.
type Sealed = (Sha256Digest, Vec<u8>);

/// The way of the buffers; it ends when this is dropped.
struct Pipe {
    /// None once it has ended.
    threads: Option<Threads>,
    free: mpsc::Receiver<AlignedBytes>,
}

struct Threads {
    full: SyncSender<AlignedBytes>,
    hashing: JoinHandle<Sealed>,
    writing: JoinHandle<io::Result<()>>,
}

impl Pipe {
    fn start(file: DirectFile) -> io::Result<Self> {
        let (full, to_hash) = sync_channel(BUFFERS);
        let (hashed, to_write) = sync_channel(BUFFERS);
        let (written, free) = channel();
        for _ in 1..BUFFERS {
            written.send(AlignedBytes::default()).ok();
        }
        let hashing = Builder::new().spawn(move || hash(to_hash, hashed))?;
        let writing = Builder::new().spawn(move || write(&file, to_write, written))?;
        Ok(Self { threads: Some(Threads { full, hashing, writing }), free })
    }

    /// Gives a buffer; false if the pipe has ended.
    fn send(&self, full: AlignedBytes) -> bool {
        self.threads.as_ref().is_some_and(|threads| threads.full.send(full).is_ok())
    }

    /// Gives a full buffer and waits for one that is free; `None` if the pipe has ended.
    fn exchange(&self, full: AlignedBytes) -> Option<AlignedBytes> {
        if self.send(full) { self.free.recv().ok() } else { None }
    }

    /// Waits until all is hashed and written.
    fn end(&mut self) -> io::Result<Sealed> {
        let threads = self.threads.take();
        let threads = threads.ok_or_else(|| io::Error::other("an earlier write failed"))?;
        drop(threads.full);
        let (sealed, written) = (threads.hashing.join(), threads.writing.join());
        let panicked = |_| io::Error::other("a thread ended unexpectedly");
        written.map_err(panicked)??;
        sealed.map_err(panicked)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.end().ok();
    }
}

fn hash(full: mpsc::Receiver<AlignedBytes>, hashed: SyncSender<AlignedBytes>) -> Sealed {
    let mut seal = Seal::default();
    for buffer in full {
        seal.update(&buffer);
        // Without a writer the pipe has ended.
        if hashed.send(buffer).is_err() {
            break;
        }
    }
    (seal.hasher.finalize().into(), seal.tail)
}

fn write(
    file: &DirectFile,
    hashed: mpsc::Receiver<AlignedBytes>,
    written: mpsc::Sender<AlignedBytes>,
) -> io::Result<()> {
    let mut offset = 0;
    for buffer in hashed {
        file.write_at(offset, &buffer)?;
        offset += buffer.len() as u64;
        // Nobody wants it any more at the end.
        written.send(buffer).ok();
    }
    Ok(())
}

/// Hashes all bytes but the last 32, which are the trailer. Which ones these are is known only at
/// the end.
#[derive(Default)]
struct Seal {
    hasher: Sha256,
    tail: Vec<u8>,
}

impl Seal {
    fn update(&mut self, bytes: &[u8]) {
        const TAIL: usize = TRAILER_BYTES as usize;
        let (older, newer) = bytes.split_at(bytes.len().saturating_sub(TAIL));
        let surplus = (self.tail.len() + newer.len()).saturating_sub(TAIL);
        self.hasher.update(&self.tail[..surplus]);
        self.tail.drain(..surplus);
        self.hasher.update(older);
        self.tail.extend_from_slice(newer);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::path::PathBuf;

    use super::*;
    use crate::save::disk::RealDisk;

    /// Some buffers and a part of one.
    const PAGES_BYTES: usize = 3 * BUFFER_BYTES + 5 * 4096;

    fn snapshot() -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..PAGES_BYTES).map(|at| (at / 7) as u8).collect();
        let digest = Sha256::digest(&bytes);
        bytes.extend_from_slice(&digest);
        bytes
    }

    fn begin(target: &Path, bytes: Option<u64>) -> Result<Receiver> {
        Receiver::create(Arc::new(RealDisk), target, bytes)
    }

    fn receive(target: &Path, bytes: &[u8], promised: Option<u64>) -> Result<Received> {
        let mut receiver = begin(target, promised)?;
        bytes.chunks(32 << 10).try_for_each(|piece| receiver.push(piece))?;
        receiver.finish()
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("snap.db");
        (folder, target)
    }

    fn count(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn the_digest_leaves_out_the_last_bytes_however_they_come() {
        let bytes: Vec<u8> = (0..200_u8).collect();
        for len in [0, 1, 31, 32, 33, 64, 200] {
            for piece in [1, 7, 31, 32, 33, 200] {
                let (pages, tail) = bytes[..len].split_at(len.saturating_sub(32));
                let mut seal = Seal::default();
                bytes[..len].chunks(piece).for_each(|piece| seal.update(piece));
                assert_eq!(seal.tail, tail, "{len} bytes by {piece}");
                assert_eq!(seal.hasher.finalize(), Sha256::digest(pages), "{len} by {piece}");
            }
        }
    }

    #[test]
    fn what_comes_is_in_the_file_and_private_whatever_was_there() {
        let (folder, target) = folder();
        let bytes = snapshot();
        for promised in [None, Some(bytes.len() as u64), Some(1)] {
            fs::write(&target, "old").unwrap();
            fs::set_permissions(&target, fs::Permissions::from_mode(0o664)).unwrap();
            let received = receive(&target, &bytes, promised).unwrap();
            assert_eq!(fs::read(&target).unwrap(), b"old");
            assert_eq!(received.bytes, bytes.len() as u64);
            assert_eq!(received.sha256[..], bytes[PAGES_BYTES..]);
            received.sync().unwrap();
            assert!(received.publish(true).unwrap().is_empty());
            assert!(fs::read(&target).unwrap() == bytes);
            assert_eq!(target.metadata().unwrap().mode() & 0o7777, 0o600);
            assert_eq!(count(folder.path()), 1);
        }
    }

    #[test]
    fn a_stream_that_ends_early_is_told_from_one_that_is_wrong() {
        let (folder, target) = folder();
        let mut bytes = snapshot();
        let len = bytes.len() as u64;
        for (end, promised) in
            [(0, None), (31, None), (PAGES_BYTES, None), (bytes.len() - 1, None), (4096, Some(len))]
        {
            let result = receive(&target, &bytes[..end], promised);
            assert!(matches!(result, Err(Error::TrailerMissing { .. })), "{end}");
        }
        // Whole, but less than was promised.
        let result = receive(&target, &bytes, Some(len + 4096));
        assert!(matches!(result, Err(Error::TrailerMissing { .. })));
        bytes[BUFFER_BYTES] ^= 1;
        let result = receive(&target, &bytes, Some(len));
        assert!(matches!(result, Err(Error::TrailerMismatch { path, .. }) if path == target));
        assert_eq!(count(folder.path()), 0);
    }

    #[test]
    fn nothing_stays_of_what_is_dropped() {
        let (folder, target) = folder();
        let bytes = snapshot();
        drop(begin(&target, None).unwrap());
        let mut receiver = begin(&target, Some(1 << 20)).unwrap();
        receiver.push(&bytes[..2 * BUFFER_BYTES]).unwrap();
        drop(receiver);
        drop(receive(&target, &bytes, None).unwrap());
        assert_eq!(count(folder.path()), 0);
    }

    #[test]
    fn a_link_is_replaced_and_where_it_leads_is_left_alone() {
        let (folder, target) = folder();
        let elsewhere = folder.path().join("elsewhere");
        fs::write(&elsewhere, "mine").unwrap();
        for to in [elsewhere.clone(), folder.path().join("nowhere")] {
            symlink(to, &target).unwrap();
            receive(&target, &snapshot(), None).unwrap().publish(false).unwrap();
            assert!(target.symlink_metadata().unwrap().is_file());
            assert_eq!(fs::read(&elsewhere).unwrap(), b"mine");
            fs::remove_file(&target).unwrap();
        }
    }

    #[test]
    fn what_is_no_file_is_not_replaced() {
        let (folder, target) = folder();
        symlink("/dev/null", &target).unwrap();
        for target in [&target, folder.path(), Path::new("/dev/null")] {
            let error = begin(target, None).err().unwrap();
            assert!(matches!(error, Error::Io { action: "replace", .. }), "{error}");
        }
    }
}
