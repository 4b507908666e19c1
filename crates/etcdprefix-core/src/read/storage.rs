//! Where a snapshot's bytes come from.

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use memmap2::Mmap;

use crate::aligned::AlignedBytes;
use crate::read::map::prefetch;

/// Bytes of a file, borrowed from a map or from memory that others may hold too.
#[derive(Clone, Debug)]
pub enum Bytes<'s> {
    /// Mapped.
    Borrowed(&'s [u8]),
    /// A part of what was read.
    Shared(Arc<AlignedBytes>, Range<usize>),
}

impl From<Vec<u8>> for Bytes<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        AlignedBytes::from(bytes).into()
    }
}

impl From<AlignedBytes> for Bytes<'_> {
    fn from(bytes: AlignedBytes) -> Self {
        let all = 0..bytes.len();
        Self::Shared(Arc::new(bytes), all)
    }
}

impl Deref for Bytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Shared(bytes, range) => bytes.get(range.clone()).unwrap_or_default(),
        }
    }
}

/// Random access to a file of a fixed length.
pub trait Storage: Send + Sync {
    /// The length in bytes, the same at every call.
    fn len(&self) -> u64;

    /// Whether there are no bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Exactly `len` bytes from `offset`, borrowed where possible.
    ///
    /// # Errors
    /// `UnexpectedEof` if the range is not inside the file, `OutOfMemory` if there is no room for
    /// a copy; otherwise as the operating system says.
    fn read(&self, offset: u64, len: usize) -> io::Result<Bytes<'_>>;

    /// Says that these bytes are going to be read soon; they may lie outside of the file.
    fn prefetch(&self, _offset: u64, _len: usize) {}

    /// Gives the first `end` bytes to `each` in order, in pieces, until it says false.
    ///
    /// # Errors
    /// As [`Storage::read`].
    fn sweep(&self, end: u64, each: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<()> {
        const PIECE_BYTES: u64 = 1 << 20;
        let mut offset = 0;
        while offset < end {
            let piece = PIECE_BYTES.min(end - offset);
            if !each(&self.read(offset, piece as usize)?) {
                break;
            }
            offset += piece;
        }
        Ok(())
    }
}

/// Bytes in memory, for tests and fuzzing.
impl Storage for Vec<u8> {
    fn len(&self) -> u64 {
        self.as_slice().len() as u64
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Bytes<'_>> {
        slice(self, offset, len)
    }
}

impl Storage for Mmap {
    fn len(&self) -> u64 {
        self.as_ref().len() as u64
    }

    fn prefetch(&self, offset: u64, len: usize) {
        if let Ok(Bytes::Borrowed(bytes)) = slice(self, offset, len) {
            prefetch(bytes);
        }
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Bytes<'_>> {
        slice(self, offset, len)
    }
}

/// Positioned reads, for file systems where a map is unsafe or slow.
pub struct Positioned {
    pub file: File,
    pub len: u64,
}

impl Storage for Positioned {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Bytes<'_>> {
        check_inside(offset, len, self.len)?;
        let mut buffer = zeros(len)?;
        self.file.read_exact_at(&mut buffer, offset)?;
        Ok(buffer.into())
    }
}

/// That `len` bytes from `offset` are inside a file of `end` bytes.
pub fn check_inside(offset: u64, len: usize, end: u64) -> io::Result<()> {
    let inside = offset.checked_add(len as u64).is_some_and(|needed| needed <= end);
    if inside { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// `len` zeros, to read into.
pub fn zeros(len: usize) -> io::Result<Vec<u8>> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(len).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    buffer.resize(len, 0);
    Ok(buffer)
}

fn slice(bytes: &[u8], offset: u64, len: usize) -> io::Result<Bytes<'_>> {
    let inside = || {
        let start = usize::try_from(offset).ok()?;
        bytes.get(start..start.checked_add(len)?)
    };
    inside().map(Bytes::Borrowed).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}
