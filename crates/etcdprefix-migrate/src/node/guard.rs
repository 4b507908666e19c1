//! Locks of the kernel: whoever dies gives them back.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

const POLL: Duration = Duration::from_millis(20);

/// Held until it is dropped or its process ends.
pub(crate) struct Guard {
    file: File,
    path: PathBuf,
}

impl Guard {
    /// `None` if somebody else holds it. The holder's description is in the file for others to read.
    pub(crate) fn try_take(path: &Path, holder: &str) -> io::Result<Option<Self>> {
        loop {
            let mut file = open(path)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(Errno::INTR) => continue,
                taken => taken?,
            }
            // Whoever held it may have removed the file; then this lock is nobody's.
            if is_same(&file, path)? {
                // On a full disk it is held without a name: waking must not fail for that.
                let _ = describe(&mut file, holder);
                return Ok(Some(Self { file, path: path.to_owned() }));
            }
        }
    }

    /// `None` if somebody else holds it for all of the time.
    pub(crate) fn take(path: &Path, holder: &str, limit: Duration) -> io::Result<Option<Self>> {
        let begun = Instant::now();
        loop {
            if let Some(guard) = Self::try_take(path, holder)? {
                return Ok(Some(guard));
            }
            if begun.elapsed() >= limit {
                return Ok(None);
            }
            thread::sleep(POLL);
        }
    }

    /// Leaves no file; the lock is given back when it is dropped.
    pub(crate) fn forget(&self) {
        let _ = std::fs::remove_file(&self.path);
    }

    /// Gives it back and leaves no file.
    pub(crate) fn remove(self) -> io::Result<()> {
        std::fs::remove_file(&self.path)?;
        drop(self.file);
        Ok(())
    }
}

/// Whether somebody holds it. Others may ask at the same time.
pub(crate) fn is_held(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    loop {
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Err(Errno::WOULDBLOCK) => return Ok(true),
            Err(Errno::INTR) => (),
            free => return Ok(free.map(|()| false)?),
        }
    }
}

/// What the holder says of itself.
pub(crate) fn holder(path: &Path) -> String {
    let mut text = String::new();
    let _ = File::open(path).and_then(|file| file.take(1000).read_to_string(&mut text));
    text
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn is_same(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        found => found.map(|found| (found.dev(), found.ino()) == (ours.dev(), ours.ino())),
    }
}

fn describe(file: &mut File, holder: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(holder.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_it_and_others_see_who() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host.lock");
        assert!(!is_held(&path).unwrap());
        let guard = Guard::try_take(&path, "sleep of run 1").unwrap().unwrap();
        assert!(is_held(&path).unwrap());
        let refused = Guard::take(&path, "wake", Duration::from_millis(1)).unwrap();
        assert!(refused.is_none());
        assert_eq!(holder(&path), "sleep of run 1");
        drop(guard);
        assert!(!is_held(&path).unwrap());
    }

    #[test]
    fn a_removed_lock_is_no_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host.lock");
        let first = Guard::try_take(&path, "a").unwrap().unwrap();
        let waiting = {
            let path = path.clone();
            thread::spawn(move || Guard::take(&path, "b", Duration::from_secs(60)))
        };
        first.remove().unwrap();
        let second = waiting.join().unwrap().unwrap().unwrap();
        assert!(Guard::try_take(&path, "c").unwrap().is_none());
        assert!(path.exists());
        drop(second);
    }
}
