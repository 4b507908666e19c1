//! Whoever puts things right is killed too, at every call, and somebody else ends it.

use std::time::Duration;

use etcdprefix_migrate::Error;
use etcdprefix_migrate::flow::finish;
use tokio::time::sleep;

use super::bench::{Bench, TIMERS};
use super::host::Fate;
use super::kill::{corners, give_back_late_locks, killed, roll_back};

const KILLS: [Fate; 4] = [
    Fate::KillBefore,
    Fate::KillAfter,
    Fate::KillDuring,
    Fate::KillLate(Duration::from_millis(150)),
];

#[tokio::test(start_paused = true)]
async fn a_rollback_that_was_killed_is_rolled_back() {
    for n in corners().await {
        for fate in &KILLS {
            for m in 1.. {
                let (bench, case) = killed(n, &Fate::KillDuring).await;
                let case = format!("{case}, rollback at {m}, {fate:?}");
                bench.kill_at(m, fate.clone());
                let back = bench.until_killed(bench.rollback()).await;
                bench.mend();
                if let Some(back) = back {
                    assert!(back.is_ok(), "{case}: {back:?}\n{}", bench.trace());
                    break;
                }
                only_back(&bench, &case).await;
                roll_back(&bench, &case).await;
                bench.settle().await;
                give_back_late_locks(&bench, &case).await;
                bench.untouched(&case);
            }
        }
    }
}

/// After a rollback has begun, there is no other way.
async fn only_back(bench: &Bench, case: &str) {
    for refused in [bench.resume().await, bench.run().await] {
        let refused = refused.unwrap_err();
        let is_refused = matches!(refused, Error::Usage(_) | Error::HandedOut(_));
        assert!(is_refused, "{case}: {refused}\n{}", bench.trace());
    }
    bench.sound(case);
}

#[tokio::test(start_paused = true)]
async fn a_rollback_that_was_killed_and_forgotten_ends_by_the_timers() {
    for n in corners().await {
        for m in 1.. {
            let (bench, case) = killed(n, &Fate::KillAfter).await;
            let case = format!("{case}, rollback at {m}");
            bench.kill_at(m, Fate::KillDuring);
            let back = bench.until_killed(bench.rollback()).await;
            bench.mend();
            if back.is_some() {
                break;
            }
            sleep(TIMERS).await;
            bench.sound(&case);
            for node in bench.nodes() {
                assert!(node.is_awake() != node.fence.is_some(), "{case}: {}", bench.trace());
            }
            bench.rollback().await.unwrap();
            bench.untouched(&case);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_resumption_that_was_killed_is_resumed() {
    for n in corners().await {
        for fate in &KILLS[..3] {
            for m in 1.. {
                let (bench, case) = killed(n, &Fate::KillDuring).await;
                let case = format!("{case}, resumption at {m}, {fate:?}");
                bench.kill_at(m, fate.clone());
                let resumed = bench.until_killed(bench.resume()).await;
                bench.mend();
                bench.sound(&case);
                if resumed.is_some() {
                    break;
                }
                let resumed = bench.resume().await;
                assert!(resumed.is_ok(), "{case}: {resumed:?}\n{}", bench.trace());
                bench.settle().await;
                bench.handed_out(&case);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_way_back_after_the_hand_out_that_was_killed_goes_no_other_way() {
    for fate in &KILLS {
        for m in 1.. {
            let bench = Bench::new();
            bench.run().await.unwrap();
            bench.handed_out("before");
            let case = format!("rollback of what never started at {m}, {fate:?}");
            bench.kill_at(m, fate.clone());
            let back = bench.until_killed(bench.rollback_never_started()).await;
            bench.mend();
            bench.sound(&case);
            if let Some(back) = back {
                assert_eq!(back.unwrap().object_deleted, Some(true));
                break;
            }
            only_back(&bench, &case).await;
            assert!(finish(&bench.setup).await.is_err(), "{case}: {}", bench.trace());
            let refused = bench.rollback().await.unwrap_err();
            assert!(matches!(refused, Error::HandedOut(_)), "{case}: {refused}");
            bench.rollback_never_started().await.unwrap();
            bench.settle().await;
            give_back_late_locks(&bench, &case).await;
            bench.untouched(&case);
        }
    }
}
