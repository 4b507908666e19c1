//! Where a snapshot's bytes come from.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use memmap2::Mmap;

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
    fn read(&self, offset: u64, len: usize) -> io::Result<Cow<'_, [u8]>>;
}

/// Bytes in memory, for tests and fuzzing.
impl Storage for Vec<u8> {
    fn len(&self) -> u64 {
        self.as_slice().len() as u64
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Cow<'_, [u8]>> {
        slice(self, offset, len)
    }
}

impl Storage for Mmap {
    fn len(&self) -> u64 {
        self.as_ref().len() as u64
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Cow<'_, [u8]>> {
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

    fn read(&self, offset: u64, len: usize) -> io::Result<Cow<'_, [u8]>> {
        let end = offset.checked_add(len as u64);
        if end.is_none_or(|end| end > self.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut buffer = Vec::new();
        buffer.try_reserve_exact(len).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        buffer.resize(len, 0);
        self.file.read_exact_at(&mut buffer, offset)?;
        Ok(Cow::Owned(buffer))
    }
}

fn slice(bytes: &[u8], offset: u64, len: usize) -> io::Result<Cow<'_, [u8]>> {
    let inside = || {
        let start = usize::try_from(offset).ok()?;
        bytes.get(start..start.checked_add(len)?)
    };
    inside().map(Cow::Borrowed).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}
