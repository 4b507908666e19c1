//! The orchestrator is killed while it writes a line of its journal, at every line; or it can't write
//! from some line on.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use etcdprefix_migrate::{Error, NodeError, NodeErrorKind};
use tempfile::TempDir;
use tokio::time::sleep;

use super::bench::{Bench, CONFIG, TIMERS, new_dir};
use super::child::{AtLimit, Left, Work, copied};
use super::host::Fate;
use super::kill::{calls, killed};
use super::world::{State, World};

const LONG_BYTES: usize = 100_000;

/// A journal and the hosts that go with it, from which many children begin.
struct Base {
    _dir: TempDir,
    folder: PathBuf,
    state: State,
    command: &'static str,
}

impl Base {
    fn of(command: &'static str, state: &State, files: &Path) -> Self {
        let dir = new_dir();
        let folder = dir.path().join("base");
        let state = copied(state, files, &folder);
        Self { _dir: dir, folder, state, command }
    }

    /// A run is to begin. One before it failed, and has made the journal longer than any other file, so
    /// that the limit ends nothing else.
    async fn new() -> Self {
        let bench = Bench::new();
        let long = NodeError::new(NodeErrorKind::Io, "x".repeat(LONG_BYTES));
        bench.spoil("lock", 0, 1, Fate::Fails(long));
        bench.run().await.unwrap_err();
        bench.mend();
        Self::of("run", &bench.state(), &bench.folder)
    }

    fn child(&self, dir: &Path, limit_bytes: Option<u64>, at_limit: AtLimit) -> Left {
        let folder = dir.join("c123");
        let state = copied(&self.state, &self.folder, &folder);
        Work { state, folder, command: self.command.into(), limit_bytes }.done(at_limit)
    }

    /// In the middle of each line that the command writes, with the number of lines before.
    fn limits(&self) -> Vec<(usize, u64)> {
        let dir = new_dir();
        let left = self.child(dir.path(), None, AtLimit::Killed);
        assert_eq!(left.end.as_deref(), Some("ok"));
        let before = std::fs::read(&self.state.journal).unwrap();
        let journal = std::fs::read(&left.state.journal).unwrap();
        let (mut limits, mut begin) = (Vec::new(), 0);
        for (count, line) in journal.split_inclusive(|byte| *byte == b'\n').enumerate() {
            if begin >= before.len() {
                limits.push((count, (begin + line.len() / 2) as u64));
            }
            begin += line.len();
        }
        assert!(limits.len() > 10);
        limits
    }
}

impl Left {
    /// That it was killed in the line after so many.
    #[track_caller]
    fn killed_after(&self, lines: usize, case: &str) {
        assert!(self.end.is_none(), "{case}: {:?}", self.end);
        let journal = std::fs::read(&self.state.journal).unwrap();
        assert_eq!(journal.iter().filter(|byte| **byte == b'\n').count(), lines, "{case}");
    }
}

/// The same end, as often as there are ways to go on.
fn again(left: &Left, name: &str, dir: &TempDir) -> Bench {
    let folder = dir.path().join(name);
    let state = copied(&left.state, left.state.journal.parent().unwrap(), &folder);
    let bench = Bench::around(folder, World::new(state), CONFIG);
    bench.world.go_on();
    bench
}

/// Whatever somebody does next is right.
async fn every_way_is_right(left: &Left, dir: &TempDir, case: &str) {
    let bench = again(left, "rollback", dir);
    bench.sound(case);
    let may_be_out = bench.state().may_be_handed_out();
    let back = bench.rollback().await;
    match may_be_out {
        true => {
            assert!(matches!(back, Err(Error::HandedOut(_))), "{case}: {back:?}");
            bench.rollback_never_started().await.unwrap();
        }
        false => assert!(back.is_ok(), "{case}: {back:?}\n{}", bench.trace()),
    }
    bench.settle().await;
    bench.untouched(case);

    let bench = again(left, "resume", dir);
    if may_be_out {
        wakes_nobody_when_interrupted(&bench, case).await;
    }
    let resumed = bench.resume().await;
    // Before its first line there is nothing to resume.
    if bench.journal().matches("\"mark\":\"run\"").count() > 1 {
        assert!(resumed.is_ok(), "{case}: {resumed:?}\n{}", bench.trace());
        bench.handed_out(case);
    }

    let bench = again(left, "timers", dir);
    sleep(TIMERS).await;
    bench.sound(case);
    for node in bench.nodes() {
        assert!(node.is_awake() != node.fence.is_some(), "{case}: {}", bench.trace());
    }
}

/// A resumption of what may be handed out.
async fn wakes_nobody_when_interrupted(bench: &Bench, case: &str) {
    bench.setup.interrupted.store(true, Ordering::Relaxed);
    let error = bench.resume().await.unwrap_err();
    let is_told = matches!(&error, Error::HandedOut(why) if why.contains("interrupted"));
    assert!(is_told, "{case}: {error}");
    bench.sound(case);
    bench.mend();
}

#[tokio::test(start_paused = true)]
async fn a_run_is_killed_at_every_line() {
    let base = Base::new().await;
    let mut without_a_file = 0;
    for (lines, limit) in base.limits() {
        let dir = new_dir();
        let mut left = base.child(dir.path(), Some(limit), AtLimit::Killed);
        left.killed_after(lines, "run");
        every_way_is_right(&left, &dir, &format!("at line {lines}")).await;
        if left.state.bundle.exists() {
            // A moment before, the line was there, and the file had no name yet.
            std::fs::remove_file(&left.state.bundle).unwrap();
            left.state.is_handed_out = false;
            let dir = new_dir();
            every_way_is_right(&left, &dir, &format!("at line {lines}, no file")).await;
            without_a_file += 1;
        }
    }
    assert_eq!(without_a_file, 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_is_killed_while_it_makes_room_for_the_bundle() {
    let mut base = Base::new().await;
    base.state.key_bytes = LONG_BYTES;
    let dir = new_dir();
    let left = base.child(dir.path(), Some(2 * LONG_BYTES as u64), AtLimit::Killed);
    assert!(left.end.is_none() && !left.state.bundle.exists());
    every_way_is_right(&left, &dir, "in the bundle").await;
}

#[tokio::test(start_paused = true)]
async fn a_rollback_is_killed_at_every_line() {
    for n in [10, 19, calls().await] {
        let (bench, case) = killed(n, &Fate::KillAfter).await;
        bench.settle().await;
        let base = Base::of("rollback", &bench.state(), &bench.folder);
        for (lines, limit) in base.limits() {
            let dir = new_dir();
            let left = base.child(dir.path(), Some(limit), AtLimit::Killed);
            let case = format!("{case}, at line {lines}");
            left.killed_after(lines, &case);
            let bench = again(&left, "again", &dir);
            bench.sound(&case);
            bench.rollback().await.unwrap();
            bench.untouched(&case);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_way_back_after_the_hand_out_is_killed_at_every_line() {
    let bench = Bench::new();
    bench.run().await.unwrap();
    let base = Base::of("never started", &bench.state(), &bench.folder);
    for (lines, limit) in base.limits() {
        let dir = new_dir();
        let left = base.child(dir.path(), Some(limit), AtLimit::Killed);
        let case = format!("at line {lines}");
        left.killed_after(lines, &case);
        let bench = again(&left, "again", &dir);
        bench.sound(&case);
        let refused = bench.rollback().await.unwrap_err();
        assert!(matches!(refused, Error::HandedOut(_)), "{case}: {refused}");
        bench.rollback_never_started().await.unwrap();
        bench.untouched(&case);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_journal_fails_from_some_line_on_puts_everything_back() {
    let base = Base::new().await;
    let mut handed_out = 0;
    for (lines, limit) in base.limits() {
        let dir = new_dir();
        let left = base.child(dir.path(), Some(limit), AtLimit::Fails);
        let end = left.end.clone().unwrap();
        let case = format!("at line {lines}: {end}");
        let bench = again(&left, "again", &dir);
        bench.sound(&case);
        assert!(end.contains("FileTooLarge") || end.contains("File"), "{case}");
        let may_be_out = bench.state().may_be_handed_out();
        match may_be_out {
            true => {
                assert!(end.starts_with("HandedOut"), "{case}");
                bench.resume().await.unwrap();
                bench.handed_out(&case);
                handed_out += 1;
            }
            false => {
                // The object is known to the journal only as far as that could be written.
                bench.untouched(&case);
                bench.rollback().await.unwrap();
                bench.untouched(&case);
            }
        }
    }
    // Only the last line comes after the hand-out.
    assert_eq!(handed_out, 1);
}
