//! What was done, on the disk before and after: one line of JSON each.
//!
//! A line is brought to the disk before the step that it announces begins. A last line that was cut
//! short by a crash is left out: its step had not begun, or its end is found out by asking again.

mod private;
mod record;

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::error::{Error, Result};

use private::remove_unfinished;
pub use private::{stage_private, write_private};
pub use record::{Line, Mark, Story};

/// Half a second.
const LOCK_TRIES: u32 = 25;
const LOCK_PAUSE: Duration = Duration::from_millis(20);
/// A journal is some hundred lines.
const LONGEST_BYTES: u64 = 64 << 20;

/// The journal of one cluster's migrations, which nobody else has open.
pub struct Journal {
    path: PathBuf,
    file: Mutex<File>,
    lines: Mutex<Vec<Line>>,
}

impl Journal {
    /// In this folder, which is made with mode 0700. Another process that has it open is an error.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Usage`] if another process has it, or a line in the middle says nothing.
    pub fn open(folder: &Path) -> Result<Self> {
        make_private(folder)?;
        let path = folder.join("journal.jsonl");
        let opened =
            OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path);
        let mut file = opened.map_err(Error::file("open", &path))?;
        if !is_free(&file, FlockOperation::NonBlockingLockExclusive) {
            let path = path.display();
            let why = format!("another etcdprefix migrates here: it has {path} open");
            return Err(Error::Busy(why));
        }
        remove_unfinished(folder);
        let (lines, whole_bytes) = read(&mut file, &path)?;
        // What a crash cut short must not run into the next line.
        file.set_len(whole_bytes).map_err(Error::file("mend", &path))?;
        sync_folder(folder)?;
        Ok(Self { path, file: Mutex::new(file), lines: Mutex::new(lines) })
    }

    /// As [`Self::open`], but one that must be there.
    ///
    /// # Errors
    /// As [`Self::open`]; [`Error::Usage`] if there is none.
    pub fn open_existing(folder: &Path) -> Result<Self> {
        match folder.join("journal.jsonl").is_file() {
            true => Self::open(folder),
            false => Err(Error::Usage(format!("no migration was begun in {}", folder.display()))),
        }
    }

    /// Whether another process has it open, so that a run is under way.
    pub fn is_open(folder: &Path) -> bool {
        let file = File::open(folder.join("journal.jsonl"));
        file.is_ok_and(|file| !is_free(&file, FlockOperation::NonBlockingLockShared))
    }

    /// As it is, for looking only; `None` if there is none.
    ///
    /// # Errors
    /// As [`Self::open`], but that another process has it open is none.
    pub fn look(folder: &Path) -> Result<Option<Story>> {
        let path = folder.join("journal.jsonl");
        match File::open(&path) {
            Ok(mut file) => Ok(Story::last(&read(&mut file, &path)?.0)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::file("open", &path)(error)),
        }
    }

    /// Writes a line and brings it to the disk.
    ///
    /// # Errors
    /// [`Error::File`]: then what it announces must not be done.
    pub fn write(&self, line: Line) -> Result<()> {
        let failed = || Error::file("write", &self.path);
        let mut json = serde_json::to_vec(&line).map_err(|error| failed()(error.into()))?;
        json.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let before_bytes = file.metadata().map_err(failed())?.len();
        let written = file.write_all(&json).and_then(|()| file.sync_data());
        if let Err(error) = written {
            // Half a line would run into the next, and then nobody could read either.
            let _ = file.set_len(before_bytes);
            return Err(failed()(error));
        }
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        Ok(())
    }

    /// What the last run did.
    pub fn story(&self) -> Option<Story> {
        Story::last(&self.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether the lock can be had. Somebody who only looks has it for a moment, and so has the child of a
/// process that has just ended, until it runs its own program.
fn is_free(file: &File, lock: FlockOperation) -> bool {
    (0..LOCK_TRIES).any(|before| {
        if before > 0 {
            std::thread::sleep(LOCK_PAUSE);
        }
        flock(file, lock).is_ok()
    })
}

/// Its whole lines, and how many bytes these are.
fn read(file: &mut File, path: &Path) -> Result<(Vec<Line>, u64)> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).map_err(Error::file("read", path))?;
    let long = file.metadata().map_err(Error::file("read", path))?.len() > LONGEST_BYTES;
    if long {
        return Err(Error::Usage(format!("{} is no journal: it is too long", path.display())));
    }
    let mut limited = file.take(LONGEST_BYTES);
    limited.read_to_end(&mut bytes).map_err(Error::file("read", path))?;
    // What is cut short may be cut within a letter.
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let lines = bytes[..whole].split_inclusive(|byte| *byte == b'\n').enumerate();
    let parsed = lines.map(|(index, line)| {
        serde_json::from_slice(line).map_err(|error| {
            let why = format!("{} line {}: {error}", path.display(), index + 1);
            Error::Usage(format!("the journal can't be read: {why}"))
        })
    });
    Ok((parsed.collect::<Result<_>>()?, whole as u64))
}

/// Makes a folder that only its owner can enter. One that is there is left as it is: it may be anybody's.
///
/// # Errors
/// [`Error::File`].
pub fn make_private(folder: &Path) -> Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(Error::file("make", folder))
}

/// Brings a folder's names to the disk.
///
/// # Errors
/// [`Error::File`].
pub fn sync_folder(folder: &Path) -> Result<()> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(Error::file("sync", folder))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn line(step: &str) -> Line {
        Line::now("r1", Mark::Begin { step: step.into(), host: None })
    }

    #[test]
    fn a_line_cut_short_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let journal = Journal::open(folder.path()).unwrap();
        journal.write(line("lock")).unwrap();
        drop(journal);
        let cut = b"{\"run\":\"r\xc3";
        OpenOptions::new().append(true).open(&path).unwrap().write_all(cut).unwrap();
        let journal = Journal::open(folder.path()).unwrap();
        journal.write(line("sleep")).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(journal.story().is_none(), "no run was begun");
    }

    #[test]
    fn two_orchestrators_do_not_share_one() {
        let folder = tempfile::tempdir().unwrap();
        let _first = Journal::open(folder.path()).unwrap();
        let second = Journal::open(folder.path()).map(|_| ()).unwrap_err();
        assert!(second.to_string().contains("another etcdprefix"), "{second}");
        assert!(Journal::look(folder.path()).unwrap().is_none());
    }

    #[test]
    fn only_the_owner_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("c1");
        let _journal = Journal::open(&inner).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&inner), 0o700);
        assert_eq!(mode(&inner.join("journal.jsonl")), 0o600);
    }
}
