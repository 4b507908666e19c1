//! How a long operation tells what it is doing, and is told to stop.

use serde::Serialize;

/// A part of the work that is timed and shown apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Reading every record to size the output and find what speaks against it.
    Plan,
    /// Writing and hashing the output while the input's trailer is verified.
    Write,
    /// Bringing the output to the disk.
    Sync,
    /// Reading the output back and comparing it with the source.
    Verify,
    /// Putting the output in its place.
    Publish,
    /// Reading a snapshot to report on it.
    Read,
}

impl Phase {
    /// What the phase does, for a person.
    pub fn label(self) -> &'static str {
        match self {
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

/// Passes on an interruption but no bytes, for work that runs beside what is shown.
pub(crate) struct Interrupt<'a>(pub &'a dyn Progress);

impl Progress for Interrupt<'_> {
    fn interrupted(&self) -> bool {
        self.0.interrupted()
    }
}

/// As [`Progress::advance`], ending the work if it is interrupted.
pub(crate) fn step(progress: &dyn Progress, bytes: u64) -> crate::Result<()> {
    progress.advance(bytes);
    if progress.interrupted() { Err(crate::Error::Interrupted) } else { Ok(()) }
}
