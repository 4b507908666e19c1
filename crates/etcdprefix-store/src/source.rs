//! The file that is uploaded: read in ranges, and watched for changes.

use std::fmt;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::checksum::{Digest, Hasher};
use crate::error::{Error, Result};

/// Read at once to be hashed.
const PIECE_BYTES: u64 = 256 << 10;

/// An open file to be uploaded. Whoever looks into it before looks at what will be sent, and
/// [`check`](Self::check) tells whether it still is that.
#[derive(Clone)]
pub struct Source {
    file: Arc<File>,
    path: PathBuf,
    stamp: Stamp,
}

/// What changes when a file does.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: (i64, i64),
    /// That its name goes changes this, too, so it is `None` then.
    changed: Option<(i64, i64)>,
    place: (u64, u64),
}

/// A range of it.
#[derive(Clone)]
pub(crate) struct Slice {
    file: Arc<File>,
    from: u64,
    pub bytes: u64,
}

impl Source {
    /// Opens a regular file, or what a link leads to.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Usage`] for what is no regular file.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::file(path))?;
        let found = file.metadata().map_err(Error::file(path))?;
        if !found.is_file() {
            return Err(Error::Usage(format!("{} is no regular file", path.display())));
        }
        Ok(Self { file: Arc::new(file), path: path.to_owned(), stamp: stamp(&found) })
    }

    /// The file itself. Its position is nobody's: uploads read at positions of their own.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Its size when it was opened.
    pub fn bytes(&self) -> u64 {
        self.stamp.bytes
    }

    pub(crate) fn slice(&self, from: u64, bytes: u64) -> Slice {
        Slice { file: Arc::clone(&self.file), from, bytes }
    }

    /// Fails if the file was written to since it was opened, if its mode, owner or name changed,
    /// which can't be told from writing by a clock that was set back, or if its path leads to
    /// another file now. That its last name goes is no matter: the file is still what it was.
    ///
    /// # Errors
    /// [`Error::FileChanged`]; [`Error::File`] if it can't be asked about.
    pub fn check(&self) -> Result<()> {
        let now = stamp(&self.file.metadata().map_err(Error::file(&self.path))?);
        let named = std::fs::metadata(&self.path).ok().map(|found| stamp(&found).place);
        if self.stamp.is_kept(&now) && named.is_none_or(|named| named == self.stamp.place) {
            return Ok(());
        }
        Err(Error::FileChanged { path: self.path.clone() })
    }

    /// Reads a range and hashes it.
    pub(crate) async fn digest(&self, slice: &Slice, hasher: Hasher) -> Result<Digest> {
        let slice = slice.clone();
        let hashed = tokio::task::spawn_blocking(move || slice.digest(hasher)).await;
        hashed.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(Error::file(&self.path))
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("path", &self.path).field("bytes", &self.bytes()).finish()
    }
}

impl Stamp {
    fn is_kept(&self, now: &Self) -> bool {
        let changed = now.changed.or(self.changed);
        *self == Self { changed, ..*now }
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

    fn digest(&self, mut hasher: Hasher) -> io::Result<Digest> {
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

fn stamp(found: &Metadata) -> Stamp {
    let changed = (found.ctime(), found.ctime_nsec());
    Stamp {
        bytes: found.len(),
        modified: (found.mtime(), found.mtime_nsec()),
        changed: (found.nlink() > 0).then_some(changed),
        place: (found.dev(), found.ino()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn source(folder: &Path) -> (PathBuf, Source) {
        let path = folder.join("snapshot.db");
        fs::write(&path, "before").unwrap();
        let source = Source::open(&path).unwrap();
        (path, source)
    }

    #[test]
    fn a_file_that_is_written_to_or_replaced_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (path, source) = source(folder.path());
        source.check().unwrap();
        fs::rename(&path, folder.path().join("old")).unwrap();
        fs::write(&path, "before").unwrap();
        assert!(matches!(source.check(), Err(Error::FileChanged { .. })));
        let source = Source::open(&path).unwrap();
        fs::write(&path, "longer after").unwrap();
        assert!(matches!(source.check(), Err(Error::FileChanged { .. })));
    }

    #[test]
    fn a_link_that_leads_elsewhere_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (path, _) = source(folder.path());
        let (link, other) = (folder.path().join("link"), folder.path().join("other"));
        fs::write(&other, "before").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let source = Source::open(&link).unwrap();
        source.check().unwrap();
        fs::remove_file(&link).unwrap();
        source.check().unwrap();
        std::os::unix::fs::symlink(&other, &link).unwrap();
        assert!(matches!(source.check(), Err(Error::FileChanged { .. })));
    }

    #[test]
    fn a_file_without_a_name_is_what_it_was_until_it_is_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let (path, source) = source(folder.path());
        let writer = File::options().append(true).open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        source.check().unwrap();
        std::io::Write::write_all(&mut &writer, b"more").unwrap();
        assert!(matches!(source.check(), Err(Error::FileChanged { .. })));
    }
}
