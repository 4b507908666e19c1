//! What this machine knows of the runs of one hosted cluster: a file that is always whole.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::record::Record;
use crate::error::{Error, Result};
use crate::journal::{make_private, write_private};

/// Steps that say what may be undone.
pub const UPLOAD: &str = "upload";
pub const MADE: &str = "made";
pub const TAKEN_BACK: &str = "taken back";
pub const STOPPING: &str = "wait until they are gone";

/// Half a second: the child of a process that has just ended may have the lock for a moment.
const LOCK_TRIES: u32 = 25;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It is not as before, or may not be.
    Running,
    /// The snapshot is made, and it is left asleep.
    Asleep,
    /// The snapshot is made, and everything is as before.
    Done,
    /// It came to nothing, or was woken; everything is as before.
    PutBack,
}

/// The last run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// How far.
    pub phase: Phase,
    /// What was before.
    pub record: Record,
    /// What was begun, and when.
    pub steps: Vec<Step>,
    /// What it may have written, each with the run's id in its first line.
    pub files: Vec<PathBuf>,
}

/// A line of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Step {
    /// When.
    pub at: String,
    /// What was begun.
    pub step: String,
}

impl State {
    /// Whether it may have been done.
    pub fn has_begun(&self, step: &str) -> bool {
        self.steps.iter().any(|begun| begun.step == step)
    }

    /// Whether it is not as before, as far as is known here.
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Asleep)
    }

    /// Whether the snapshot may be in use: nothing takes it back then.
    pub fn is_made(&self) -> bool {
        self.phase != Phase::Running || self.has_begun(MADE) && !self.has_begun(TAKEN_BACK)
    }

    /// Whether a request to pause or to stop may still be on its way, its answer lost.
    pub fn may_be_late(&self) -> bool {
        self.phase == Phase::Running && !self.has_begun(STOPPING)
    }
}

/// Which nobody else has open.
pub struct Journal {
    path: PathBuf,
    _lock: File,
    state: Mutex<Option<State>>,
}

impl Journal {
    /// In this folder, which is made if need be.
    ///
    /// # Errors
    /// [`Error::Busy`] if another process has it open.
    pub fn open(folder: &Path) -> Result<Self> {
        own(folder)?;
        let lock = folder.join("lock");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&lock).map_err(Error::file("open", &lock))?;
        if !is_free(&file) {
            let folder = folder.display();
            return Err(Error::Busy(format!(
                "another etcdprefix is at work: it has {folder} open"
            )));
        }
        let state = Self::look(folder)?;
        super::way::remove_left(folder);
        state.iter().for_each(|state| super::publish::remove_left(folder, &state.record.run));
        let path = folder.join("journal.json");
        let state = Mutex::new(state);
        Ok(Self { path, _lock: file, state })
    }

    /// As it is, for looking only.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Usage`] for one that can't be understood.
    pub fn look(folder: &Path) -> Result<Option<State>> {
        let path = folder.join("journal.json");
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
                Error::Usage(format!("{} can't be read: {error}", path.display()))
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::file("read", &path)(error)),
        }
    }

    /// The last run, if there was one.
    pub fn state(&self) -> Option<State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A new run. From here on it may be that something is not as before.
    ///
    /// # Errors
    /// [`Error::File`]: then nothing must be changed.
    pub fn begin(&self, record: &Record, files: Vec<PathBuf>) -> Result<()> {
        let record = record.clone();
        let state = State { phase: Phase::Running, record, steps: Vec::new(), files };
        self.write(state)
    }

    /// Before something is begun.
    ///
    /// # Errors
    /// [`Error::File`]: then it must not be.
    pub fn step(&self, step: &str) -> Result<()> {
        self.change(|state| {
            let at = jiff::Timestamp::now().to_string();
            state.steps.push(Step { at, step: step.into() });
        })
    }

    /// The run is at this point now.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn set_phase(&self, phase: Phase) -> Result<()> {
        self.change(|state| state.phase = phase)
    }

    fn change(&self, change: impl FnOnce(&mut State)) -> Result<()> {
        let Some(mut state) = self.state() else { return Ok(()) };
        change(&mut state);
        self.write(state)
    }

    fn write(&self, state: State) -> Result<()> {
        let json = serde_json::to_vec(&state);
        let json = json.map_err(|error| Error::file("write", &self.path)(error.into()))?;
        write_private(&self.path, &json)?;
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = Some(state);
        Ok(())
    }
}

/// Makes the folder, or finds it empty or made by us: what is beside it would not be ours to clean up.
///
/// # Errors
/// [`Error::Usage`] if somebody else's files are in it.
pub fn own(folder: &Path) -> Result<()> {
    make_private(folder)?;
    if folder.join("lock").exists() {
        return Ok(());
    }
    let entries = std::fs::read_dir(folder).map_err(Error::file("read", folder))?;
    let mut names = entries.flatten().map(|entry| entry.file_name());
    match names.find(|name| !super::way::is_left(&name.to_string_lossy())) {
        None => Ok(()),
        Some(_) => Err(Error::Usage(format!(
            "{} is no folder of a hosted cluster, and not empty; try: another --folder",
            folder.display()
        ))),
    }
}

fn is_free(file: &File) -> bool {
    (0..LOCK_TRIES).any(|before| {
        if before > 0 {
            std::thread::sleep(LOCK_PAUSE);
        }
        flock(file, FlockOperation::NonBlockingLockExclusive).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::hosted::After;

    fn record() -> Record {
        Record {
            run: "r1".into(),
            uid: "u1".into(),
            server: String::new(),
            control_plane: "clusters-mine".into(),
            by: "me".into(),
            began: String::new(),
            after: After::Wake,
            made: false,
            paused_until: None,
            writers: Vec::new(),
            object: Default::default(),
        }
    }

    #[test]
    fn one_process_writes_and_only_its_owner_reads() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("clusters_mine");
        let journal = Journal::open(&inner).unwrap();
        assert!(journal.state().is_none());
        assert!(matches!(Journal::open(&inner).err(), Some(Error::Busy(_))));
        journal.begin(&record(), Vec::new()).unwrap();
        journal.step("pause").unwrap();
        journal.set_phase(Phase::PutBack).unwrap();
        drop(journal);
        let state = Journal::open(&inner).unwrap().state().unwrap();
        assert_eq!((state.phase, state.steps[0].step.as_str()), (Phase::PutBack, "pause"));
        let others = folder.path();
        assert!(matches!(Journal::open(others).err(), Some(Error::Usage(_))));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&inner), mode(&inner.join("journal.json"))), (0o700, 0o600));
    }
}
