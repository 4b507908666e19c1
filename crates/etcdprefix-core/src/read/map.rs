//! The read-only map, what becomes of a fault in it, and the prefetch: the only unsafe code of the
//! project.
#![expect(
    unsafe_code,
    reason = "mapping a file, handling a fault and prefetching have no safe form"
)]

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use memmap2::{Advice, Mmap, MmapOptions};
use signal_hook::consts::SIGBUS;
use signal_hook::low_level::{exit, register};

/// Maps the first `len` bytes of `file` for reading, with read-ahead.
///
/// Whoever maps a file promises that its bytes stay as they are, and no operating system helps to
/// keep that promise. Here it is weakened to what can be kept: every read of mapped bytes checks
/// its bounds at that moment, nothing read before is relied on, and a change between the start
/// and the end is detected from the file's identity, size and times before a result is published.
/// A file cut short under the map raises SIGBUS and ends the process ([`end_on_bus_error`]); the
/// target is untouched.
pub fn map(file: &File, len: usize) -> io::Result<Mmap> {
    let map = map_quietly(file, len)?;
    // Advice is a hint: a file system that does not take it is read all the same.
    map.advise(Advice::WillNeed).ok();
    Ok(map)
}

/// The same without read-ahead, for a file that is mostly read otherwise.
pub fn map_quietly(file: &File, len: usize) -> io::Result<Mmap> {
    // SAFETY: the map is read-only and private to this process's view; bytes are only ever used as
    // plain `u8` slices with checked bounds, so a concurrent change gives other bytes, which the
    // callers treat as hostile anyway, and no reference to structured data is made from them.
    unsafe { MmapOptions::new().len(len).map(file) }
}

/// From now on a SIGBUS, which the system raises where a mapped file was cut short or its disk
/// fails, writes `line` to stderr and ends the process with `status`. For programs, not for
/// libraries: nothing is unwound, so a temporary file that has a name stays.
///
/// # Errors
/// If the system does not take the handler.
pub fn end_on_bus_error(line: String, status: i32) -> io::Result<()> {
    let said = AtomicBool::new(false);
    let action = move || {
        // Another thread that faults meanwhile does so again and again until the process ends.
        if !said.swap(true, Ordering::Relaxed) {
            rustix::io::write(io::stderr(), line.as_bytes()).ok();
            exit(status);
        }
    };
    // SAFETY: this only sets what a signal does. Rust's own handler, which looks for an overflow of
    // the stack, would be called before ours and take itself away, so that a second thread's fault
    // ended the process without a word; an overflow is a SIGSEGV on Linux.
    unsafe { libc::signal(SIGBUS, libc::SIG_DFL) };
    // SAFETY: the action does only what is allowed in a signal handler: `write(2)` of bytes that
    // were made before and are never changed, and `_exit`. It takes no lock (`io::stderr()` is only
    // asked for its number) and allocates nothing.
    unsafe { register(SIGBUS, action) }.map(drop)
}

/// Asks the processor to have `bytes` in its cache soon; on others than x86-64 it is not asked.
pub fn prefetch(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    for line in bytes.chunks(CACHE_LINE_BYTES) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch is a hint that changes no state a program can see and faults at no
        // address; this one lies inside a slice.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bytes;
}

#[cfg(target_arch = "x86_64")]
const CACHE_LINE_BYTES: usize = 64;
