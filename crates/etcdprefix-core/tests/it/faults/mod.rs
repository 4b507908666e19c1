//! Every operation of the writer fails, does half, lies, or is the last one before the power goes:
//! the target is the old file or the new one, whole.
//!
//! One run without a fault counts the operations; then there is a run for each of them and each
//! kind of fault.

mod disk;
mod receive;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use etcdprefix_core::options::Tuning;
use etcdprefix_core::progress::Silent;
use etcdprefix_core::{
    ChangePrefix, Error, Outcome, Result, Target, change_prefix, change_prefix_on,
};
use etcdprefix_testkit::source::{KeyForm, Source, record_key, record_rest, record_value};
use tempfile::TempDir;

use disk::{Abilities, EINTR, EIO, ENOSPC, Fault, FaultyDisk, World};

const ALL: Abilities = Abilities { unnamed: true, direct: true, rename_new: true };

const ABILITIES: [Abilities; 4] = [
    ALL,
    Abilities { direct: false, ..ALL },
    Abilities { unnamed: false, ..ALL },
    Abilities { unnamed: false, direct: false, rename_new: false },
];

/// A run that takes longer hangs.
const HANGS: Duration = Duration::from_secs(60);

fn old() -> &'static [u8] {
    static OLD: OnceLock<Vec<u8>> = OnceLock::new();
    OLD.get_or_init(|| {
        let record = |number: i64| {
            let rest = record_rest(number, number, 1, &[number as u8; 12_000], 0);
            let value = record_value(KeyForm::Canonical, b"/registry/a", &rest);
            (record_key(number, 0, false), value)
        };
        Source::with_records((2..110).map(record).collect()).encode()
    })
}

/// What a run without faults makes of it.
fn new() -> &'static [u8] {
    static NEW: OnceLock<Vec<u8>> = OnceLock::new();
    NEW.get_or_init(|| {
        let case = Case::new(false);
        change_prefix(&case.options, &Silent).unwrap();
        fs::read(&case.target).unwrap()
    })
}

struct Case {
    folder: TempDir,
    target: PathBuf,
    options: ChangePrefix,
}

impl Case {
    /// In place, or into a new file of a folder of its own.
    fn new(beside: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [db, out] = ["snap.db", "out"].map(|name| folder.path().join(name));
        fs::write(&db, old()).unwrap();
        fs::create_dir(&out).unwrap();
        let target = out.join("target.db");
        let mut options = ChangePrefix {
            db,
            dest_prefix: "/c123".into(),
            threads: 2,
            tuning: Tuning { chunk_bytes: 200_000, ..Tuning::default() },
            ..ChangePrefix::default()
        };
        if beside {
            options.target = Target::File(target.clone());
        } else {
            fs::rename(&options.db, &target).unwrap();
            options.db = target.clone();
        }
        Self { folder, target, options }
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    fn is_beside(&self) -> bool {
        self.target != self.options.db
    }

    fn before(&self) -> Option<&'static [u8]> {
        (!self.is_beside()).then(old)
    }

    fn on(&self, can: Abilities, fault: Fault, at: usize) -> (Arc<FaultyDisk>, Result<Outcome>) {
        let disk = Arc::new(FaultyDisk::new(&self.out(), can, fault, at));
        let (options, given) = (self.options.clone(), disk.clone());
        let (give, take) = channel();
        let run = std::thread::spawn(move || {
            give.send(change_prefix_on(given, &options, &Silent)).unwrap();
        });
        let result = take.recv_timeout(HANGS);
        assert_ne!(result.as_ref().err(), Some(&RecvTimeoutError::Timeout), "{fault:?} at {at}");
        run.join().unwrap();
        (disk, result.unwrap())
    }

    /// The target as the folder has it, and whatever else there is.
    fn target_in(world: &World) -> (Option<Option<&[u8]>>, usize) {
        let target = world.get(OsStr::new("target.db"));
        let others = world.len() - usize::from(target.is_some());
        (target.map(Option::as_deref), others)
    }

    /// Removes what the last run left, by what a user would do next.
    fn next_run_cleans_up(&self) {
        if fs::read(&self.target).is_ok_and(|bytes| bytes == new()) {
            return;
        }
        change_prefix(&self.options, &Silent).unwrap();
        assert!(fs::read(&self.target).unwrap() == new());
        assert_eq!(fs::read_dir(self.out()).unwrap().count(), 1, "the next run cleans up");
    }
}

/// Faults injected by the operation they hit; the number of runs.
type Tally = BTreeMap<&'static str, u32>;

/// Sweeps one kind of fault over all operations; `judge` gets what came of each run.
fn sweep(fault: Fault, judge: impl Fn(&Case, &FaultyDisk, Result<Outcome>)) -> Tally {
    let mut tally = Tally::new();
    for can in ABILITIES {
        for beside in [false, true] {
            let (disk, result) = Case::new(beside).on(can, Fault::None, usize::MAX);
            result.unwrap();
            // Readers at once may ask for some more or less.
            for at in 0..disk.asked().len() + 2 {
                let case = Case::new(beside);
                let (disk, result) = case.on(can, fault, at);
                let Some(hit) = disk.hit() else { continue };
                *tally.entry(hit).or_default() += 1;
                case.whole_in_every_world(&disk, fault);
                judge(&case, &disk, result);
            }
        }
    }
    println!("{fault:?}: {} runs, {tally:?}", tally.values().sum::<u32>());
    tally
}

impl Case {
    /// The promise that holds whatever happened.
    fn whole_in_every_world(&self, disk: &FaultyDisk, fault: Fault) {
        for (number, world) in disk.worlds().iter().enumerate() {
            let (target, _) = Self::target_in(world);
            let whole = match target {
                None => self.is_beside(),
                Some(bytes) => bytes == self.before() && bytes.is_some() || bytes == Some(new()),
            };
            assert!(whole, "{fault:?} at {:?}: world {number} is torn", disk.hit());
        }
        let source = fs::read(&self.options.db).unwrap();
        assert!(source == old() || !self.is_beside(), "the source is never touched");
    }

    /// An error means the old file, success the new one; nothing else is in the folder.
    fn told_truly(&self, disk: &FaultyDisk, result: &Result<Outcome>) {
        let hit = disk.hit();
        let [now, ..] = disk.worlds();
        let (target, others) = Self::target_in(&now);
        match result {
            Ok(_) => assert!(target == Some(Some(new())), "{hit:?}"),
            Err(error) => assert!(target.flatten() == self.before(), "{hit:?}: {error}"),
        }
        assert!(others == 0 || hit == Some("remove"), "{hit:?} left {:?}", now.keys());
    }
}

fn errno(error: &Error) -> Option<i32> {
    match error {
        Error::Io { source, .. } => source.raw_os_error(),
        _ => None,
    }
}

#[test]
fn an_io_error_leaves_the_old_file_or_does_not_matter() {
    let tally = sweep(Fault::Once(EIO), |case, disk, result| {
        case.told_truly(disk, &result);
        if let Err(error) = result {
            assert_eq!(errno(&error), Some(EIO), "{error}");
        }
    });
    for operation in ["create", "reserve", "write", "read", "sync", "link", "rename", "set mode"] {
        assert!(tally.contains_key(operation), "{operation} was not tried: {tally:?}");
    }
}

#[test]
fn a_disk_that_dies_leaves_the_old_file_or_the_new_one() {
    sweep(Fault::Dead(EIO), |case, disk, result| {
        let [now, ..] = disk.worlds();
        let (target, _) = Case::target_in(&now);
        let expected = if result.is_ok() { Some(new()) } else { case.before() };
        assert!(target.flatten() == expected, "{:?}", disk.hit());
        case.next_run_cleans_up();
    });
}

#[test]
fn a_full_disk_is_told_and_nothing_is_left() {
    sweep(Fault::Full, |case, disk, result| {
        case.told_truly(disk, &result);
        if let Err(error) = result {
            assert_eq!(errno(&error), Some(ENOSPC), "{error}");
        }
    });
}

#[test]
fn a_signal_in_between_does_not_matter() {
    sweep(Fault::Once(EINTR), |case, disk, result| {
        assert!(result.as_ref().is_ok_and(|outcome| outcome.warnings.is_empty()), "{result:?}");
        case.told_truly(disk, &result);
    });
}

#[test]
fn short_reads_and_writes_are_continued() {
    sweep(Fault::Short, |case, disk, result| {
        assert!(result.is_ok(), "{:?}: {result:?}", disk.hit());
        case.told_truly(disk, &result);
    });
}

/// What the disk does to the bytes, the proof finds; it is never published.
#[test]
fn a_lying_disk_is_convicted() {
    for (fault, operation) in [(Fault::Flip, "write"), (Fault::Misread, "read")] {
        sweep(fault, |case, disk, result| {
            case.told_truly(disk, &result);
            if disk.hit() == Some(operation) {
                assert!(matches!(result, Err(Error::Unproven { .. })), "{fault:?}: {result:?}");
            } else {
                assert!(result.is_ok(), "{:?}: {result:?}", disk.hit());
            }
        });
    }
}

/// The heart of it: whatever was the last operation, before a kill (all that was written is there)
/// or a power failure (only what was synced is).
#[test]
fn a_freeze_leaves_the_old_file_or_the_new_one() {
    sweep(Fault::Freeze, |case, disk, _| {
        let [killed, ..] = disk.worlds();
        let (_, others) = Case::target_in(&killed);
        assert!(others <= 1, "{:?}", killed.keys());
        case.next_run_cleans_up();
    });
}

/// Success means that a power failure a moment later takes nothing away.
#[test]
fn what_is_told_done_is_on_the_disk() {
    for can in ABILITIES {
        for beside in [false, true] {
            let case = Case::new(beside);
            let (disk, result) = case.on(can, Fault::None, usize::MAX);
            assert!(result.unwrap().warnings.is_empty());
            for world in disk.worlds() {
                assert!(Case::target_in(&world) == (Some(Some(new())), 0));
            }
        }
    }
}

/// Without sync a kill is survived all the same; a power failure need not be.
#[test]
fn without_sync_a_kill_leaves_the_old_file_or_the_new_one() {
    for at in 0..60 {
        let mut case = Case::new(false);
        case.options.sync = false;
        let (disk, _) = case.on(ABILITIES[2], Fault::Freeze, at);
        let [killed, ..] = disk.worlds();
        let target = Case::target_in(&killed).0.flatten();
        assert!(target == Some(old()) || target == Some(new()), "{:?}", disk.hit());
        assert!(!disk.asked().contains(&"sync"));
        case.next_run_cleans_up();
    }
}
