//! The file that is uploaded: read in ranges, and watched for changes.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::checksum::{Digest, Hasher};
use crate::dialect::Kind;
use crate::error::{Error, Result};

/// Read at once to be hashed.
const PIECE_BYTES: u64 = 256 << 10;

/// An open file.
#[derive(Clone)]
pub(crate) struct Source {
    file: Arc<File>,
    path: Arc<PathBuf>,
    stamp: Stamp,
}

/// What changes when a file does.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// A range of it.
#[derive(Clone)]
pub(crate) struct Slice {
    file: Arc<File>,
    from: u64,
    pub bytes: u64,
}

impl Source {
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::file(path))?;
        let found = file.metadata().map_err(Error::file(path))?;
        if !found.is_file() {
            return Err(Error::Usage(format!("{} is no regular file", path.display())));
        }
        let stamp = stamp(&file).map_err(Error::file(path))?;
        Ok(Self { file: Arc::new(file), path: Arc::new(path.to_owned()), stamp })
    }

    pub fn bytes(&self) -> u64 {
        self.stamp.bytes
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn slice(&self, from: u64, bytes: u64) -> Slice {
        Slice { file: Arc::clone(&self.file), from, bytes }
    }

    /// Fails if the file was written to since it was opened.
    pub fn check(&self) -> Result<()> {
        let now = stamp(&self.file).map_err(Error::file(self.path()))?;
        if now == self.stamp {
            return Ok(());
        }
        Err(Error::FileChanged { path: self.path().to_owned() })
    }

    /// Reads a range and hashes it.
    pub async fn digest(&self, slice: &Slice, kind: Kind) -> Result<Digest> {
        let slice = slice.clone();
        let hashed = tokio::task::spawn_blocking(move || slice.digest(kind)).await;
        hashed
            .unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(Error::file(self.path()))
    }
}

impl Slice {
    /// Exactly so many bytes from `at` of the range.
    pub async fn read(&self, at: u64, bytes: u64) -> io::Result<Bytes> {
        let (file, from) = (Arc::clone(&self.file), self.from + at);
        let read = tokio::task::spawn_blocking(move || {
            let mut buffer = vec![0; bytes as usize];
            file.read_exact_at(&mut buffer, from)?;
            Ok(Bytes::from(buffer))
        });
        read.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    fn digest(&self, kind: Kind) -> io::Result<Digest> {
        let mut hasher = Hasher::new(kind);
        let mut buffer = vec![0; PIECE_BYTES.min(self.bytes) as usize];
        let mut done = 0;
        while done < self.bytes {
            let piece = PIECE_BYTES.min(self.bytes - done) as usize;
            self.file.read_exact_at(&mut buffer[..piece], self.from + done)?;
            hasher.update(&buffer[..piece]);
            done += piece as u64;
        }
        Ok(hasher.finish(self.bytes))
    }
}

fn stamp(file: &File) -> io::Result<Stamp> {
    let found = file.metadata()?;
    Ok(Stamp {
        bytes: found.len(),
        modified: (found.mtime(), found.mtime_nsec()),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}
