//! Writes past the page cache: the disk takes pages while the next are rendered, no memory is
//! filled with pages that nobody reads soon, and the sync at the end has nothing left to do.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::aligned::is_aligned;
use crate::save::disk::Disk;
use crate::save::sink::Sink;

/// Bytes written before the disk is judged.
const JUDGED_AFTER_BYTES: u64 = 128 << 20;
/// What writes have to reach together. A slower disk would hold up the work, and reading the output
/// back from it would too.
const SLOW_BYTES_PER_SECOND: u64 = 250_000_000;

/// A file that takes aligned pages directly and everything else through the page cache; all of it
/// the latter way where the file system can't do otherwise or the disk turns out slow.
///
/// It can be read back while it is being written: a read waits for the bytes that it wants.
pub struct DirectFile {
    disk: Arc<dyn Disk>,
    buffered: File,
    /// The same file, opened for direct I/O.
    direct: Option<File>,
    /// Set once direct writes are given up.
    given_up: AtomicBool,
    writes: AtomicU32,
    written_bytes: AtomicU64,
    /// Time spent in writes, that of each shared among those at once.
    writing_micros: AtomicU64,
    len: u64,
    complete: Mutex<Complete>,
    changed: Condvar,
}

#[derive(Default)]
struct Complete {
    bytes: u64,
    abandoned: bool,
}

impl DirectFile {
    /// Opens `file`, which is going to be `len` bytes long, a second time; that needs /proc but no
    /// name.
    ///
    /// # Errors
    /// If the process has no file descriptor left.
    pub fn new(disk: Arc<dyn Disk>, file: &File, len: u64) -> io::Result<Self> {
        Ok(Self {
            buffered: file.try_clone()?,
            direct: disk.open_direct(file).ok(),
            disk,
            given_up: AtomicBool::new(false),
            writes: AtomicU32::new(0),
            written_bytes: AtomicU64::new(0),
            writing_micros: AtomicU64::new(0),
            len,
            complete: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    /// The size it is going to have.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it is going to be empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Reads bytes at `offset` into `buffer`, as many as the file is going to have there, once they
    /// are written.
    ///
    /// # Errors
    /// If the writer ended before they were; as the operating system says.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let needed = offset.saturating_add(buffer.len() as u64).min(self.len);
        let mut complete = self.lock();
        while complete.bytes < needed {
            if complete.abandoned {
                return Err(io::Error::other("its writer ended early"));
            }
            complete = self.changed.wait(complete).unwrap_or_else(PoisonError::into_inner);
        }
        drop(complete);
        let direct = self.direct().filter(|_| is_aligned(offset, buffer));
        match direct.map(|direct| self.disk.read_at(direct, buffer, offset)) {
            Some(Err(error)) if is_no_direct_io(&error) => self.give_up(),
            Some(read) => return read,
            None => {}
        }
        self.disk.read_at(&self.buffered, buffer, offset)
    }

    fn write_all(&self, file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = self.disk.write_at(file, bytes, offset)?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = bytes.get(written..).unwrap_or_default();
            offset += written as u64;
        }
        Ok(())
    }

    /// Lets nobody wait for bytes that are not written by now.
    pub fn abandon(&self) {
        self.lock().abandoned = true;
        self.changed.notify_all();
    }

    fn direct(&self) -> Option<&File> {
        self.direct.as_ref().filter(|_| !self.given_up.load(Ordering::Relaxed))
    }

    fn lock(&self) -> MutexGuard<'_, Complete> {
        self.complete.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn judge(&self, bytes: usize, took: Duration) {
        let bytes = self.written_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let micros = took.as_micros() as u64;
        let micros = self.writing_micros.fetch_add(micros, Ordering::Relaxed).max(1);
        let slow = bytes < SLOW_BYTES_PER_SECOND / 1_000_000 * micros;
        if bytes >= JUDGED_AFTER_BYTES && slow {
            self.give_up();
        }
    }

    fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }
}

/// The file system took the flag but not the read or write, or wants another alignment.
fn is_no_direct_io(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}

impl Sink for DirectFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let direct = self.direct().filter(|_| is_aligned(offset, bytes));
        let Some(direct) = direct else {
            return self.write_all(&self.buffered, bytes, offset);
        };
        let started = Instant::now();
        let at_once = self.writes.fetch_add(1, Ordering::Relaxed) + 1;
        let written = self.write_all(direct, bytes, offset);
        self.writes.fetch_sub(1, Ordering::Relaxed);
        match written {
            Err(error) if is_no_direct_io(&error) => {
                self.give_up();
                self.write_all(&self.buffered, bytes, offset)
            }
            Err(error) => Err(error),
            Ok(()) => {
                self.judge(bytes.len(), started.elapsed() / at_once);
                Ok(())
            }
        }
    }

    fn complete_up_to(&self, offset: u64) {
        self.lock().bytes = offset;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aligned::{ALIGN_BYTES, AlignedBytes};
    use crate::save::disk::RealDisk;

    const LEN: u64 = 10 * ALIGN_BYTES as u64 + 32;

    fn aligned(byte: u8, len: usize) -> AlignedBytes {
        let mut bytes = AlignedBytes::default();
        bytes.reset(len);
        bytes.extend_from_slice(&vec![byte; len]);
        bytes
    }

    fn file() -> DirectFile {
        let file = tempfile::tempfile_in(std::env::current_dir().unwrap()).unwrap();
        file.set_len(LEN).unwrap();
        DirectFile::new(Arc::new(RealDisk), &file, LEN).unwrap()
    }

    fn write_all(file: &DirectFile) {
        file.write_at(0, &aligned(1, ALIGN_BYTES)).unwrap();
        file.write_at(ALIGN_BYTES as u64, &aligned(2, 9 * ALIGN_BYTES)).unwrap();
        file.write_at(LEN - 32, &[3; 32]).unwrap();
        file.complete_up_to(LEN);
    }

    fn check(file: &DirectFile) {
        let mut buffer = aligned(0, 16 * ALIGN_BYTES);
        assert_eq!(file.read_at(&mut buffer, 0).unwrap() as u64, LEN);
        for (at, byte) in
            [(0, 1), (ALIGN_BYTES, 2), (10 * ALIGN_BYTES - 1, 2), (LEN as usize - 1, 3)]
        {
            assert_eq!(buffer[at], byte, "{at}");
        }
    }

    #[test]
    fn what_is_written_either_way_is_read_back() {
        let file = file();
        write_all(&file);
        check(&file);
    }

    #[test]
    fn a_slow_disk_is_written_through_the_page_cache() {
        let file = file();
        file.judge(JUDGED_AFTER_BYTES as usize, Duration::from_millis(10));
        file.judge(1, Duration::from_secs(10));
        assert!(!file.given_up.load(Ordering::Relaxed), "what was before is judged");
        file.judge(1, Duration::from_secs(10));
        assert!(file.given_up.load(Ordering::Relaxed));
        write_all(&file);
        check(&file);
    }

    #[test]
    fn a_reader_waits_for_what_it_wants_or_for_the_end() {
        let file = file();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| check(&file));
            write_all(&file);
            reader.join().unwrap();
        });
        let file = self::file();
        file.complete_up_to(ALIGN_BYTES as u64);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| file.read_at(&mut [0; 16], LEN - 16));
            file.abandon();
            assert!(reader.join().unwrap().is_err());
        });
        assert_eq!(file.read_at(&mut [0; 16], 0).unwrap(), 16);
    }
}
