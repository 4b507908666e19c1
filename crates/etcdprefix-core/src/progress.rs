//! How a long operation tells what it is doing, and is told to stop.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

/// A part of the work that is timed and shown apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Taking a snapshot's bytes as they come, hashing and writing them.
    Receive,
    /// Reading every record to size the output and find what speaks against it.
    Plan,
    /// Writing and hashing the output while it is read back and the input's trailer is verified.
    Write,
    /// Bringing the output to the disk.
    Sync,
    /// What is left of reading the output back and comparing it with the source.
    Verify,
    /// Putting the output in its place.
    Publish,
    /// Reading a snapshot to report on it.
    Read,
    /// Waiting for what servers answer.
    Ask,
    /// Watching what servers do.
    Watch,
    /// Sending a file to a store.
    Upload,
    /// Fetching an object of a store.
    Download,
}

impl Phase {
    /// What the phase does, for a person.
    pub fn label(self) -> &'static str {
        match self {
            Self::Receive => "receiving",
            Self::Ask => "asking",
            Self::Watch => "watching",
            Self::Upload => "uploading",
            Self::Download => "downloading",
            Self::Plan => "planning",
            Self::Write => "writing",
            Self::Sync => "syncing",
            Self::Verify => "verifying",
            Self::Publish => "publishing",
            Self::Read => "reading",
        }
    }
}

/// Receives progress; called from several threads, often, so it must be quick.
pub trait Progress: Sync {
    /// A phase begins that will report about `total_bytes`, or an unknown number if 0.
    fn begin(&self, _phase: Phase, _total_bytes: u64) {}

    /// `bytes` more of the current phase are done.
    fn advance(&self, _bytes: u64) {}

    /// Whether to stop as soon as possible; the operation then ends with
    /// [`Error::Interrupted`](crate::Error::Interrupted) and leaves the target as it was.
    fn interrupted(&self) -> bool {
        false
    }
}

/// Neither shows nor stops anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {}

/// For work side by side: interrupts all of it once one part has failed or ended. What runs beside
/// the work that is shown passes on no bytes.
pub(crate) struct Until<'a> {
    progress: &'a dyn Progress,
    shown: bool,
    ended: AtomicBool,
}

impl<'a> Until<'a> {
    pub(crate) fn new(progress: &'a dyn Progress) -> Self {
        Self { progress, shown: false, ended: AtomicBool::new(false) }
    }

    /// The same for work that is shown.
    pub(crate) fn shown(progress: &'a dyn Progress) -> Self {
        Self { shown: true, ..Self::new(progress) }
    }

    /// Interrupts from now on.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Interrupts from now on if `result` is an error.
    pub(crate) fn fails<T>(&self, result: crate::Result<T>) -> crate::Result<T> {
        if result.is_err() {
            self.end();
        }
        result
    }
}

impl Progress for Until<'_> {
    fn advance(&self, bytes: u64) {
        if self.shown {
            self.progress.advance(bytes);
        }
    }

    fn interrupted(&self) -> bool {
        self.ended.load(Ordering::Relaxed) || self.progress.interrupted()
    }
}

/// What failed first in the order of the arguments; those that were only told to stop come last.
pub(crate) fn first_fault<A, B>(
    first: crate::Result<A>,
    second: crate::Result<B>,
) -> crate::Result<(A, B)> {
    match (first, second) {
        (Err(crate::Error::Interrupted), Err(error)) | (Err(error), _) | (Ok(_), Err(error)) => {
            Err(error)
        }
        (Ok(first), Ok(second)) => Ok((first, second)),
    }
}

/// As [`Progress::advance`], ending the work if it is interrupted.
pub(crate) fn step(progress: &dyn Progress, bytes: u64) -> crate::Result<()> {
    progress.advance(bytes);
    if progress.interrupted() { Err(crate::Error::Interrupted) } else { Ok(()) }
}
