//! The orchestrator is killed at every call of a run, before it, after it and while it is at work.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use etcdprefix_migrate::Error;
use tokio::time::sleep;

use super::bench::{Bench, TIMERS};
use super::host::Fate;

/// What a kill leaves of a call; late ones come while somebody puts things right, and thereafter.
pub const KILLS: [Fate; 6] = [
    Fate::KillBefore,
    Fate::KillAfter,
    Fate::KillDuring,
    Fate::KillLate(Duration::from_millis(150)),
    Fate::KillLate(Duration::from_secs(4)),
    Fate::KillLate(LATEST),
];
pub const LATEST: Duration = Duration::from_secs(100);

/// How many calls a run has.
pub async fn calls() -> usize {
    let bench = Bench::new();
    bench.run().await.unwrap();
    bench.handed_out("undisturbed");
    bench.state().calls
}

/// The first and the last call of each kind in a row: what is between them, on other hosts, is alike.
pub async fn corners() -> Vec<usize> {
    let bench = Bench::new();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    bench.plan(move |ask| {
        seen.lock().unwrap().push(ask.what);
        Fate::Done
    });
    bench.run().await.unwrap();
    let asked = asked.lock().unwrap().clone();
    let is_corner = |n: &usize| {
        let (before, here, after) = (n.checked_sub(2), n - 1, *n);
        let differs = |other: Option<usize>| other.and_then(|at| asked.get(at)) != asked.get(here);
        differs(before) || differs(Some(after))
    };
    (1..=asked.len()).filter(is_corner).collect()
}

/// A run that is killed at its `n`th call.
pub async fn killed(n: usize, fate: &Fate) -> (Bench, String) {
    let bench = Bench::new();
    bench.kill_at(n, fate.clone());
    let outcome = bench.until_killed(bench.run()).await;
    let case = format!("killed at call {n}, {fate:?}");
    assert!(outcome.is_none(), "{case}: {outcome:?}");
    bench.sound(&case);
    bench.mend();
    (bench, case)
}

#[tokio::test(start_paused = true)]
async fn what_was_killed_is_resumed() {
    for n in 1..=calls().await {
        for fate in &KILLS {
            let (bench, case) = killed(n, fate).await;
            let resumed = bench.resume().await;
            assert!(resumed.is_ok(), "{case}: {resumed:?}\n{}", bench.trace());
            bench.handed_out(&case);
            bench.settle().await;
            sleep(TIMERS).await;
            bench.handed_out(&case);
            let refused = bench.rollback().await.unwrap_err();
            assert!(matches!(refused, Error::HandedOut(_)), "{case}: {refused}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_killed_is_rolled_back() {
    for n in 1..=calls().await {
        for fate in &KILLS {
            let (bench, case) = killed(n, fate).await;
            roll_back(&bench, &case).await;
            bench.settle().await;
            give_back_late_locks(&bench, &case).await;
            bench.untouched(&case);
        }
    }
}

/// A host that falls asleep while the others are woken is told of, and woken by the next one.
pub async fn roll_back(bench: &Bench, case: &str) {
    let mut back = bench.rollback().await;
    if let (Err(Error::NotAwake(_)), true) = (&back, case.contains("Late(150ms)")) {
        back = bench.rollback().await;
    }
    assert!(back.is_ok(), "{case}: {back:?}\n{}", bench.trace());
    bench.sound(case);
}

/// A lock that arrives when all is over can't be told from a new run's.
pub async fn give_back_late_locks(bench: &Bench, case: &str) {
    let nodes = bench.nodes();
    let mut locked = nodes.iter().filter(|node| node.lock.is_some()).peekable();
    if locked.peek().is_none() {
        return;
    }
    assert!(case.contains("Late"), "{case}: {}", bench.trace());
    assert!(locked.all(|node| !node.is_awake() || node.asleep.is_none()), "{case}");
    bench.rollback().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_was_killed_and_forgotten_wakes_by_itself() {
    for n in 1..=calls().await {
        for fate in &KILLS {
            let (bench, case) = killed(n, fate).await;
            // What comes late arms its timer late.
            sleep(TIMERS + LATEST).await;
            bench.sound(&case);
            for node in bench.nodes() {
                let is_as_promised = node.is_awake() != node.fence.is_some();
                assert!(is_as_promised, "{case}: {node:?}\n{}", bench.trace());
            }
            let back = bench.rollback().await;
            assert!(back.is_ok(), "{case}: {back:?}\n{}", bench.trace());
            bench.untouched(&case);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_killed_and_woke_by_itself_is_put_to_sleep_anew() {
    for n in 1..=calls().await {
        for fate in [Fate::KillAfter, Fate::KillDuring, Fate::KillLate(LATEST)] {
            let (bench, case) = killed(n, &fate).await;
            sleep(TIMERS + LATEST).await;
            let resumed = bench.resume().await;
            assert!(resumed.is_ok(), "{case}: {resumed:?}\n{}", bench.trace());
            bench.settle().await;
            bench.handed_out(&case);
        }
    }
}
