//! A file read in large windows that several readers share: for output that is written past the
//! page cache, and is to be seen as the disk has it.

use std::fs::File;
use std::io;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use memmap2::Mmap;

use crate::aligned::AlignedBytes;
use crate::read::map::map_quietly;
use crate::read::storage::{Bytes, Storage, check_inside, zeros};

const WINDOW_BYTES: u64 = 1 << 20;
/// A longer run that crosses windows is not put together in memory.
const COPIED_BYTES_MAX: usize = 4 << 20;
/// Windows kept; the readers together move through the file within about as many.
const KEPT: usize = 32;
/// Windows that a sweep reads at once, so that the disk always has the next request.
const SWEPT_AT_ONCE: usize = 4;

/// How long a sweep gives way once a reader had to read what it was too late for.
const GIVES_WAY: Duration = Duration::from_millis(20);

/// Reads into a buffer at an offset, as `pread` does.
pub type ReadAt = dyn Fn(&mut [u8], u64) -> io::Result<usize> + Send + Sync;

/// A file of a fixed length, read in aligned windows. One reader may sweep through it from the
/// first byte to the last; others that read along in about that order get its windows.
pub struct Windows {
    read_at: Box<ReadAt>,
    len: u64,
    /// For what would take more memory than all windows.
    large: Option<Mmap>,
    kept: Mutex<Kept>,
    changed: Condvar,
}

#[derive(Default)]
struct Kept {
    /// By number; the one used last is the last.
    windows: Vec<(u64, Window)>,
    /// The next window that a running sweep is going to use; it has read some beyond that. Others
    /// wait for those to come.
    sweep: Option<u64>,
    /// When a reader last missed a window that the sweep had read.
    missed: Option<Instant>,
    /// Dropped from `windows`, but perhaps still held: their memory is used again.
    retired: Vec<Arc<AlignedBytes>>,
}

enum Window {
    /// Being read by somebody.
    Awaited,
    Read(Arc<AlignedBytes>),
}

/// What to do about a window.
enum Access {
    Here(Arc<AlignedBytes>),
    Wait,
    Read,
}

impl Windows {
    /// A file of `len` bytes that `read_at` reads, which gets aligned memory, offsets and lengths;
    /// only at the file's end it may read less than that. Memory: about 40 MiB.
    pub fn new(read_at: Box<ReadAt>, len: u64) -> Self {
        Self { read_at, len, large: None, kept: Mutex::default(), changed: Condvar::new() }
    }

    /// Reads what is larger than 4 MiB through a map of `file`, which is the same file. Without it
    /// such a read takes as much memory as it is long.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn map_large(&mut self, file: &File) -> io::Result<()> {
        let len = usize::try_from(self.len).map_err(|_| io::ErrorKind::OutOfMemory)?;
        self.large = Some(map_quietly(file, len)?);
        Ok(())
    }

    /// A read across windows.
    fn across(&self, offset: u64, len: usize) -> io::Result<Bytes<'_>> {
        if let Some(map) = self.large.as_ref().filter(|_| len > COPIED_BYTES_MAX) {
            // Its last window is there when all before it are.
            self.window((offset + len as u64 - 1) / WINDOW_BYTES, false)?;
            return map.read(offset, len);
        }
        let mut whole = zeros(len)?;
        let mut filled = 0;
        while filled < len {
            let at = offset + filled as u64;
            let within = (at % WINDOW_BYTES) as usize;
            let window = self.window(at / WINDOW_BYTES, false)?;
            let part = (len - filled).min(WINDOW_BYTES as usize - within);
            let from = window.get(within..within + part).unwrap_or_default();
            whole.get_mut(filled..filled + part).unwrap_or_default().copy_from_slice(from);
            filled += part;
        }
        Ok(whole.into())
    }

    fn window(&self, number: u64, sweeping: bool) -> io::Result<Arc<AlignedBytes>> {
        let mut kept = self.lock();
        if sweeping {
            kept = self.give_way(kept);
        }
        loop {
            match kept.access(number, sweeping) {
                Access::Here(window) => return Ok(window),
                Access::Wait => {
                    kept = self.changed.wait(kept).unwrap_or_else(PoisonError::into_inner);
                }
                Access::Read => break,
            }
        }
        kept.windows.push((number, Window::Awaited));
        let buffer = kept.reusable();
        drop(kept);
        let read = self.load(number, buffer);
        let mut kept = self.lock();
        kept.windows.retain(|(other, _)| *other != number);
        if let Ok(window) = &read {
            kept.insert(number, window.clone());
        }
        self.changed.notify_all();
        read
    }

    /// Lets a late reader catch up: what it reads again takes the disk's time from all.
    fn give_way<'k>(&self, mut kept: MutexGuard<'k, Kept>) -> MutexGuard<'k, Kept> {
        while let Some(rest) = kept.missed.and_then(|at| GIVES_WAY.checked_sub(at.elapsed())) {
            let waited = self.changed.wait_timeout(kept, rest);
            kept = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        kept
    }

    fn load(&self, number: u64, mut buffer: AlignedBytes) -> io::Result<Arc<AlignedBytes>> {
        let offset = number * WINDOW_BYTES;
        let len = (self.len - offset).min(WINDOW_BYTES) as usize;
        if buffer.len() != WINDOW_BYTES as usize {
            buffer.reset(WINDOW_BYTES as usize);
            buffer.resize(WINDOW_BYTES as usize);
        }
        // Direct reads are asked for whole blocks; the file's end cuts the last one short.
        let mut filled = 0;
        while filled < len {
            let room = buffer.get_mut(filled..).unwrap_or_default();
            match (self.read_at)(room, offset + filled as u64) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(bytes) => filled += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Arc::new(buffer))
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn access(&mut self, number: u64, sweeping: bool) -> Access {
        if let Some(at) = self.windows.iter().position(|(other, _)| *other == number) {
            let found = self.windows.remove(at);
            let access = match &found.1 {
                Window::Read(window) => Access::Here(window.clone()),
                Window::Awaited => Access::Wait,
            };
            self.windows.push(found);
            return access;
        }
        // A sweep waits for nobody but late readers, who wait for none of these.
        if !sweeping && self.sweep.is_some_and(|next| number >= next) {
            return Access::Wait;
        }
        if self.is_behind(number) {
            self.missed = Some(Instant::now());
        }
        Access::Read
    }

    fn insert(&mut self, number: u64, window: Arc<AlignedBytes>) {
        while self.windows.len() >= KEPT {
            let Some(parted) = self.dispensable(number) else { break };
            if let (_, Window::Read(window)) = self.windows.remove(parted) {
                self.retired.push(window);
            }
        }
        self.windows.push((number, Window::Read(window)));
    }

    fn is_behind(&self, number: u64) -> bool {
        self.sweep.is_some_and(|next| number < next)
    }

    /// The window to drop for `number`: the one used longest ago, but a late reader needs those next,
    /// so for it the one farthest ahead.
    fn dispensable(&self, number: u64) -> Option<usize> {
        let read = |(_, (_, window)): &(usize, &(u64, Window))| matches!(window, Window::Read(_));
        let mut windows = self.windows.iter().enumerate().filter(read);
        let parted = match self.is_behind(number) {
            true => windows.max_by_key(|(_, (number, _))| *number),
            false => windows.next(),
        };
        parted.map(|(at, _)| at)
    }

    /// Memory that nobody holds any more; empty if there is none.
    fn reusable(&mut self) -> AlignedBytes {
        let free = self.retired.iter().position(|window| Arc::strong_count(window) == 1);
        let free = free.map(|at| self.retired.swap_remove(at));
        free.and_then(Arc::into_inner).unwrap_or_default()
    }
}

/// Ends a sweep, so that nobody waits for it, however it ended.
struct Ends<'w>(&'w Windows);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.lock().sweep = None;
        self.0.changed.notify_all();
    }
}

impl Storage for Windows {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Bytes<'_>> {
        check_inside(offset, len, self.len)?;
        let within = (offset % WINDOW_BYTES) as usize;
        if within + len <= WINDOW_BYTES as usize {
            let window = self.window(offset / WINDOW_BYTES, false)?;
            return Ok(Bytes::Shared(window, within..within + len));
        }
        self.across(offset, len)
    }

    fn sweep(&self, end: u64, each: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<()> {
        let count = end.min(self.len).div_ceil(WINDOW_BYTES);
        self.lock().sweep = Some(0);
        let _ends = Ends(self);
        std::thread::scope(|scope| {
            let swept = (0..SWEPT_AT_ONCE).map(|first| {
                let (give, take) = sync_channel(1);
                Builder::new().spawn_scoped(scope, move || {
                    for number in (first as u64..count).step_by(SWEPT_AT_ONCE) {
                        if give.send(self.window(number, true)).is_err() {
                            return;
                        }
                    }
                })?;
                Ok(take)
            });
            let swept = swept.collect::<io::Result<Vec<_>>>()?;
            for (number, take) in (0..count).zip(swept.iter().cycle()) {
                let gone = |_| io::Error::other("a reader ended early");
                let window = take.recv().map_err(gone)??;
                self.lock().sweep = Some(number + 1);
                self.changed.notify_all();
                let bytes = (end - number * WINDOW_BYTES).min(WINDOW_BYTES) as usize;
                if !each(window.get(..bytes).unwrap_or_default()) {
                    break;
                }
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const LEN: u64 = 40 * WINDOW_BYTES + 12_345;

    fn byte_at(offset: u64) -> u8 {
        (offset.wrapping_mul(0x9E37_79B9) >> 13) as u8
    }

    /// A file whose bytes follow from their offsets, counting what is read of it.
    fn windows(loads: &Arc<AtomicU64>) -> Windows {
        let loads = loads.clone();
        let read_at = move |buffer: &mut [u8], offset: u64| {
            loads.fetch_add(1, Ordering::Relaxed);
            let bytes = (LEN - offset).min(buffer.len() as u64) as usize;
            for (at, byte) in buffer.iter_mut().take(bytes).enumerate() {
                *byte = byte_at(offset + at as u64);
            }
            Ok(bytes)
        };
        Windows::new(Box::new(read_at), LEN)
    }

    /// Some of them; all would take long.
    fn check_bytes(bytes: &[u8], offset: u64) {
        let some = bytes.iter().zip(offset..).step_by(61);
        some.for_each(|(&byte, at)| assert_eq!(byte, byte_at(at), "{at}"));
    }

    fn check_read(windows: &Windows, offset: u64, len: usize) {
        let bytes = windows.read(offset, len).unwrap();
        assert_eq!(bytes.len(), len);
        check_bytes(&bytes, offset);
    }

    fn read_along(windows: &Windows) {
        const STEP: u64 = 300_007;
        for offset in (0..LEN - STEP).step_by(STEP as usize) {
            check_read(windows, offset, STEP as usize);
        }
    }

    #[test]
    fn reads_are_right_wherever_they_lie() {
        let windows = windows(&Arc::default());
        for (offset, len) in [(0, 16), (WINDOW_BYTES - 1, 2), (5, 3 << 20), (LEN - 32, 32)] {
            check_read(&windows, offset, len);
        }
        assert!(windows.read(LEN - 31, 32).is_err());
        assert!(windows.read(u64::MAX, 32).is_err());
    }

    #[test]
    fn a_large_read_comes_from_the_map() {
        let file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..LEN).map(byte_at).collect();
        file.write_all_at(&bytes, 0).unwrap();
        let mut windows = windows(&Arc::default());
        windows.map_large(&file).unwrap();
        check_read(&windows, 12_345, COPIED_BYTES_MAX + 1);
        let large = windows.read(WINDOW_BYTES - 1, COPIED_BYTES_MAX + 1).unwrap();
        assert!(matches!(large, Bytes::Borrowed(_)));
        let small = windows.read(WINDOW_BYTES - 1, COPIED_BYTES_MAX).unwrap();
        assert!(matches!(small, Bytes::Shared(..)));
    }

    #[test]
    fn a_sweep_and_its_followers_see_all_bytes_in_order() {
        let loads = Arc::default();
        let windows = windows(&loads);
        std::thread::scope(|scope| {
            scope.spawn(|| read_along(&windows));
            scope.spawn(|| read_along(&windows));
            let mut at = 0;
            let mut each = |bytes: &[u8]| {
                check_bytes(bytes, at);
                at += bytes.len() as u64;
                true
            };
            windows.sweep(LEN - 32, &mut each).unwrap();
            assert_eq!(at, LEN - 32);
        });
        assert!(loads.load(Ordering::Relaxed) >= 41);
    }

    #[test]
    fn nobody_waits_for_a_sweep_that_ended_early() {
        let windows = windows(&Arc::default());
        std::thread::scope(|scope| {
            scope.spawn(|| read_along(&windows));
            let mut pieces = 0;
            windows
                .sweep(LEN, &mut |_| {
                    pieces += 1;
                    pieces < 3
                })
                .unwrap();
            assert_eq!(pieces, 3);
        });
        read_along(&windows);
    }

    #[test]
    fn a_failing_read_fails_all_who_want_it_and_no_other() {
        let read_at = |buffer: &mut [u8], offset: u64| {
            if offset >= 7 * WINDOW_BYTES {
                return Err(io::Error::other("bad sector"));
            }
            buffer.fill(1);
            Ok(buffer.len())
        };
        let windows = Windows::new(Box::new(read_at), LEN);
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(windows.read(9 * WINDOW_BYTES, 16).is_err()));
            let mut bytes = 0;
            let swept = windows.sweep(LEN, &mut |piece| {
                bytes += piece.len() as u64;
                true
            });
            assert_eq!(swept.unwrap_err().to_string(), "bad sector");
            assert_eq!(bytes, 7 * WINDOW_BYTES);
        });
        assert!(windows.read(WINDOW_BYTES, 16).is_ok());
    }

    #[test]
    fn a_file_that_ends_early_is_an_error() {
        let windows = Windows::new(Box::new(|_: &mut [u8], _| Ok(0)), LEN);
        assert_eq!(windows.read(0, 1).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
