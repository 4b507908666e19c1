//! The same of a snapshot that is received: it is under its name whole, or not at all.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use etcdprefix_core::Result;
use etcdprefix_core::save::disk::{Disk, RealDisk};
use etcdprefix_core::save::receive::Receiver;
use tempfile::TempDir;

use super::disk::{Abilities, EINTR, EIO, ENOSPC, Fault, FaultyDisk};
use super::{ABILITIES, Case, Tally, errno, new, old};

/// As etcd sends them.
const PIECE_BYTES: usize = 32 << 10;

/// A folder with what was saved before, or an empty one.
struct Save {
    folder: TempDir,
    target: PathBuf,
    before: Option<&'static [u8]>,
}

impl Save {
    fn new(over_old: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target.db");
        let before = over_old.then(old);
        if let Some(before) = before {
            fs::write(&target, before).unwrap();
        }
        Self { folder, target, before }
    }

    fn run(&self, disk: Arc<dyn Disk>, promised: bool) -> Result<Vec<String>> {
        let bytes = promised.then_some(new().len() as u64);
        let mut receiver = Receiver::create(disk, &self.target, bytes)?;
        new().chunks(PIECE_BYTES).try_for_each(|piece| receiver.push(piece))?;
        let received = receiver.finish()?;
        received.sync()?;
        received.publish(true)
    }

    fn on(
        &self,
        can: Abilities,
        promised: bool,
        fault: Fault,
        at: usize,
    ) -> (Arc<FaultyDisk>, Result<Vec<String>>) {
        let disk = Arc::new(FaultyDisk::new(self.folder.path(), can, fault, at));
        let result = self.run(disk.clone(), promised);
        (disk, result)
    }

    /// The promise that holds whatever happened.
    fn whole_in_every_world(&self, disk: &FaultyDisk, fault: Fault) {
        for (number, world) in disk.worlds().iter().enumerate() {
            let (target, _) = Case::target_in(world);
            let whole = match target {
                None => self.before.is_none(),
                Some(bytes) => bytes.is_some() && (bytes == self.before || bytes == Some(new())),
            };
            assert!(whole, "{fault:?} at {:?}: world {number} is torn", disk.hit());
        }
    }

    /// An error means the old file, success the new one; nothing else is in the folder.
    fn told_truly(&self, disk: &FaultyDisk, result: &Result<Vec<String>>) {
        let hit = disk.hit();
        let [now, ..] = disk.worlds();
        let (target, others) = Case::target_in(&now);
        match result {
            Ok(_) => assert!(target == Some(Some(new())), "{hit:?}"),
            Err(error) => assert!(target.flatten() == self.before, "{hit:?}: {error}"),
        }
        assert!(others == 0 || hit == Some("remove"), "{hit:?} left {:?}", now.keys());
    }

    /// Removes what the last run left, by what a user would do next.
    fn next_run_cleans_up(&self) {
        self.run(Arc::new(RealDisk), true).unwrap();
        assert!(fs::read(&self.target).unwrap() == new());
        assert_eq!(fs::read_dir(self.folder.path()).unwrap().count(), 1);
    }
}

/// Sweeps one kind of fault over all operations; `judge` gets what came of each run.
fn sweep(fault: Fault, judge: impl Fn(&Save, &FaultyDisk, Result<Vec<String>>)) {
    let mut tally = Tally::new();
    for can in ABILITIES {
        for (over_old, promised) in [(false, true), (true, true), (true, false)] {
            let (disk, result) = Save::new(over_old).on(can, promised, Fault::None, usize::MAX);
            assert!(result.unwrap().is_empty());
            for at in 0..disk.asked().len() {
                let save = Save::new(over_old);
                let (disk, result) = save.on(can, promised, fault, at);
                *tally.entry(disk.hit().unwrap()).or_default() += 1;
                save.whole_in_every_world(&disk, fault);
                judge(&save, &disk, result);
            }
        }
    }
    println!("{fault:?}: {} runs, {tally:?}", tally.values().sum::<u32>());
    for operation in ["create", "reserve", "write", "sync", "link", "rename", "open direct"] {
        assert!(tally.contains_key(operation), "{operation} was not tried: {tally:?}");
    }
}

#[test]
fn an_io_error_leaves_the_old_snapshot_or_does_not_matter() {
    sweep(Fault::Once(EIO), |save, disk, result| {
        save.told_truly(disk, &result);
        if let Err(error) = result {
            assert_eq!(errno(&error), Some(EIO), "{error}");
        }
    });
}

#[test]
fn a_full_disk_is_told_and_nothing_is_received() {
    sweep(Fault::Full, |save, disk, result| {
        save.told_truly(disk, &result);
        if let Err(error) = result {
            assert_eq!(errno(&error), Some(ENOSPC), "{error}");
        }
    });
}

#[test]
fn a_signal_or_a_short_write_while_receiving_does_not_matter() {
    for fault in [Fault::Once(EINTR), Fault::Short] {
        sweep(fault, |save, disk, result| {
            assert!(result.as_ref().is_ok_and(Vec::is_empty), "{:?}: {result:?}", disk.hit());
            save.told_truly(disk, &result);
        });
    }
}

/// Whatever was the last operation before a kill, a power failure or the end of the disk.
#[test]
fn a_freeze_leaves_the_old_snapshot_or_the_received_one() {
    for fault in [Fault::Freeze, Fault::Dead(EIO)] {
        sweep(fault, |save, disk, _| {
            let [killed, ..] = disk.worlds();
            assert!(Case::target_in(&killed).1 <= 1, "{:?}", killed.keys());
            save.next_run_cleans_up();
        });
    }
}

/// Success means that a power failure a moment later takes nothing away.
#[test]
fn what_is_told_received_is_on_the_disk() {
    for can in ABILITIES {
        for over_old in [false, true] {
            let save = Save::new(over_old);
            let (disk, result) = save.on(can, true, Fault::None, usize::MAX);
            assert!(result.unwrap().is_empty());
            for world in disk.worlds() {
                assert!(Case::target_in(&world) == (Some(Some(new())), 0));
            }
        }
    }
}
