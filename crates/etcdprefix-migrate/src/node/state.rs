//! What a host remembers of a migration, in files of one folder that only root may enter.
//!
//! ```text
//! host.lock   held by the kernel while a step changes something
//! lock.json   the migration that holds the host
//! slept.json  what was moved: written before the first file moves, removed after the last is back
//! timer.json  when the host wakes by itself     timer.lock  held while the timer's process lives
//! unit.json   files of systemd's that start it again, after a reboot too
//! fence.json  nothing wakes any more            fired.json  what the timer did
//! snapshot.json  what an engine's run made here, for its steps that come later
//! closed.json  the last of those that was undone: its steps that come late are refused
//! steps/      results of steps that run on without their caller
//! relay/      results on their way to the caller, sealed
//! ```

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::geteuid;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{NodeError, NodeErrorKind};
use crate::node::clock::Moment;
use crate::node::disk::{self, Fingerprint};
use crate::node::guard::{self, Guard};
use crate::node::runtime::Target;
use crate::protocol::{Asleep, Fence, Owner};

/// Steps change things for moments only; whoever holds on longer hangs.
const HOST_LOCK_LIMIT: Duration = Duration::from_secs(15);

/// The folder.
#[derive(Clone, Debug)]
pub(crate) struct State {
    dir: PathBuf,
}

/// The files in it that hold JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Lock,
    Slept,
    Timer,
    Unit,
    Fence,
    Fired,
    Snapshot,
    Closed,
}

/// Who holds the host. Beside [`crate::protocol::Lock`] for its age.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LockFile {
    pub(crate) owner: Owner,
    pub(crate) taken_ms: u64,
    pub(crate) seen: Moment,
}

/// What sleep moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) run: String,
    pub(crate) since_ms: u64,
    /// From where.
    pub(crate) folder: PathBuf,
    /// To where.
    pub(crate) backup: PathBuf,
    /// The backup folder was not there before.
    pub(crate) made_backup: bool,
    pub(crate) files: Vec<Moved>,
    /// Containers of their pods, as they were when they ran.
    #[serde(default)]
    pub(crate) targets: Vec<Target>,
}

/// A file that sleep moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Moved {
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) fingerprint: Fingerprint,
}

/// When the host wakes by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TimerFile {
    pub(crate) run: String,
    pub(crate) deadline: Moment,
}

/// What the timer did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fired {
    pub(crate) run: String,
    pub(crate) at_ms: u64,
    /// For people.
    pub(crate) outcome: String,
}

impl Kept {
    fn name(self) -> &'static str {
        match self {
            Self::Lock => "lock.json",
            Self::Slept => "slept.json",
            Self::Timer => "timer.json",
            Self::Unit => "unit.json",
            Self::Fence => "fence.json",
            Self::Fired => "fired.json",
            Self::Snapshot => "snapshot.json",
            Self::Closed => "closed.json",
        }
    }
}

impl State {
    /// Without making it, nor looking whose it is.
    pub(crate) fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Made if it isn't there, for its owner alone.
    pub(crate) fn open(dir: &Path) -> Result<Self, NodeError> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(dir).map_err(NodeError::io("make the folder", dir))?;
        let none = || io::Error::from(io::ErrorKind::NotFound);
        Self::existing(dir)?.ok_or_else(|| NodeError::io("look at the folder", dir)(none()))
    }

    /// As it is, if it is there; an error if others may have put something into it.
    pub(crate) fn existing(dir: &Path) -> Result<Option<Self>, NodeError> {
        let found = match fs::symlink_metadata(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => found.map_err(NodeError::io("look at the folder", dir))?,
        };
        let is_ours = found.is_dir() && found.uid() == geteuid().as_raw();
        if is_ours && found.mode() & 0o022 == 0 {
            return Ok(Some(Self::at(dir)));
        }
        let why = format!("{} is no folder that only we may write", dir.display());
        Err(NodeError::new(NodeErrorKind::Io, why).try_("chown root, chmod 700, or name another"))
    }

    /// Waits for whoever changes something now.
    pub(crate) fn lock_host(&self, what: &str) -> Result<Guard, NodeError> {
        self.lock_host_for(what, HOST_LOCK_LIMIT)
    }

    /// Waits so long at most.
    pub(crate) fn lock_host_for(&self, what: &str, limit: Duration) -> Result<Guard, NodeError> {
        self.try_lock_host(what, limit)?.ok_or_else(|| self.host_is_locked())
    }

    /// `None` if somebody holds on to it.
    pub(crate) fn try_lock_host(
        &self,
        what: &str,
        limit: Duration,
    ) -> Result<Option<Guard>, NodeError> {
        let path = self.host_lock();
        let holder = format!("{what}, process {}", std::process::id());
        Guard::take(&path, &holder, limit).map_err(NodeError::io("lock", path))
    }

    fn host_is_locked(&self) -> NodeError {
        let holder = guard::holder(&self.host_lock());
        let why = format!("another step is at work on this host: {holder}");
        NodeError::new(NodeErrorKind::Busy, why).try_("wait, or end that process")
    }

    fn host_lock(&self) -> PathBuf {
        self.dir.join("host.lock")
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn timer_lock(&self) -> PathBuf {
        self.dir.join("timer.lock")
    }

    pub(crate) fn steps(&self) -> PathBuf {
        self.dir.join("steps")
    }

    /// `None` if there is none.
    pub(crate) fn read<T: DeserializeOwned>(&self, kept: Kept) -> Result<Option<T>, NodeError> {
        let path = self.dir.join(kept.name());
        let bytes = disk::read_bounded(&path).map_err(NodeError::io("read", &path))?;
        let Some(bytes) = bytes else { return Ok(None) };
        let parsed = serde_json::from_slice(&bytes).map_err(io::Error::from);
        parsed.map(Some).map_err(NodeError::io("understand", path))
    }

    pub(crate) fn write<T: Serialize>(&self, kept: Kept, value: &T) -> Result<(), NodeError> {
        let path = self.dir.join(kept.name());
        let bytes = serde_json::to_vec(value).map_err(io::Error::from);
        let written = bytes.and_then(|bytes| disk::write_whole(&path, &bytes));
        written.map_err(NodeError::io("write", path))
    }

    /// Whether there was one.
    pub(crate) fn remove(&self, kept: Kept) -> Result<bool, NodeError> {
        let path = self.dir.join(kept.name());
        disk::remove(&path).map_err(NodeError::io("remove", path))
    }

    pub(crate) fn record(&self) -> Result<Option<Record>, NodeError> {
        self.read(Kept::Slept)
    }

    pub(crate) fn fence(&self) -> Result<Option<Fence>, NodeError> {
        self.read(Kept::Fence)
    }

    /// What the timer did in this run.
    pub(crate) fn fired(&self, run: &str) -> Result<Option<Fired>, NodeError> {
        Ok(self.read::<Fired>(Kept::Fired)?.filter(|fired| fired.run == run))
    }
}

impl Record {
    pub(crate) fn asleep(&self) -> Asleep {
        let moved = self.files.iter().map(|file| file.name.clone()).collect();
        Asleep { run: self.run.clone(), since_ms: self.since_ms, moved }
    }
}

impl Moved {
    pub(crate) fn in_folder(&self, record: &Record) -> PathBuf {
        record.folder.join(&self.name)
    }

    pub(crate) fn in_backup(&self, record: &Record) -> PathBuf {
        record.backup.join(&self.name)
    }
}
