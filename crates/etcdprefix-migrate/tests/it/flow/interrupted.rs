//! Ctrl-C at every moment, and runs that are to leave everything as it is.

use std::sync::atomic::Ordering;

use etcdprefix_migrate::flow::{
    RollbackOptions, RunOptions, rehearse, resume, rollback, run, status,
};
use etcdprefix_migrate::{Error, NodeError, NodeErrorKind};
use tokio::time::sleep;

use super::bench::{Bench, TIMERS};
use super::host::Fate;
use super::kill::calls;

impl Bench {
    /// Ctrl-C when the `n`th call from now on is sent.
    fn interrupt_at(&self, n: usize) {
        let n = self.state().calls + n;
        let interrupted = self.setup.interrupted.clone();
        self.plan(move |ask| {
            interrupted.fetch_or(ask.n == n, Ordering::Relaxed);
            Fate::Done
        });
    }
}

#[tokio::test(start_paused = true)]
async fn before_the_hand_out_everything_is_put_back() {
    for n in 1..=calls().await {
        let bench = Bench::new();
        bench.interrupt_at(n);
        let error = bench.run().await.unwrap_err();
        let case = format!("at call {n}");
        assert!(matches!(error.first(), Error::Interrupted), "{case}: {error}");
        bench.untouched(&case);
        bench.settle().await;
        bench.untouched(&case);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rehearsal_ends_and_leaves_nothing() {
    for n in 1..=12 {
        let bench = Bench::new();
        bench.interrupt_at(n);
        let outcome = rehearse(&bench.setup).await;
        bench.settle().await;
        bench.untouched(&format!("at call {n}: {outcome:?}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollback_goes_on() {
    for n in 1..=10 {
        let bench = Bench::new();
        bench.kill_at(16, Fate::KillAfter);
        assert!(bench.until_killed(bench.run()).await.is_none());
        bench.interrupt_at(n);
        bench.rollback().await.unwrap();
        bench.untouched(&format!("at call {n}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_resumption_before_the_hand_out_is_put_back() {
    let bench = Bench::new();
    bench.kill_at(16, Fate::KillDuring);
    assert!(bench.until_killed(bench.run()).await.is_none());
    bench.interrupt_at(12);
    let error = bench.resume().await.unwrap_err();
    assert!(matches!(error.first(), Error::Interrupted), "{error}");
    bench.settle().await;
    bench.untouched("after the resumption");
}

#[tokio::test(start_paused = true)]
async fn what_is_to_be_left_is_left_until_its_timers_end_or_somebody_goes_on() {
    let options = RunOptions { skip_rehearsal: true, no_rollback: true, ..RunOptions::default() };
    for then in ["resume", "rollback", "timers"] {
        for what in ["sleep", "snapshot", "bundle"] {
            let bench = Bench::new();
            let failed = Fate::Fails(NodeError::new(NodeErrorKind::Io, "no"));
            bench.spoil(what, 1, 1, failed);
            let error = run(&bench.setup, &options).await.unwrap_err();
            let case = format!("{what}, {then}");
            assert!(matches!(error, Error::LeftAsIs(_)), "{case}: {error}");
            assert!(bench.nodes().iter().any(|node| !node.is_awake()), "{case}");
            assert!(status(&bench.setup).await.unwrap().advice.contains("resume"), "{case}");
            bench.mend();
            match then {
                "resume" => {
                    let resumed = resume(&bench.setup, &options).await;
                    assert!(resumed.is_ok(), "{case}: {resumed:?}\n{}", bench.trace());
                    bench.handed_out(&case);
                }
                "rollback" => {
                    bench.rollback().await.unwrap();
                    bench.untouched(&case);
                }
                _ => {
                    sleep(TIMERS).await;
                    bench.sound(&case);
                    let nodes = bench.nodes();
                    assert!(nodes.iter().all(|node| node.is_awake() != node.fence.is_some()));
                    let options = RollbackOptions::default();
                    rollback(&bench.setup, options).await.unwrap();
                    bench.untouched(&case);
                }
            }
        }
    }
}
