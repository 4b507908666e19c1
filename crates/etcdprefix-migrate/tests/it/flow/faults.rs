//! Hosts refuse, fail or are lost: before the hand-out everything is put back.

use etcdprefix_migrate::flow::{Phase, status};
use etcdprefix_migrate::{Error, NodeError, NodeErrorKind};
use tokio::time::sleep;

use super::bench::{Bench, CONFIG, HOSTS, TIMERS};
use super::host::Fate;

fn refuses(kind: NodeErrorKind) -> Fate {
    Fate::Fails(NodeError::new(kind, "no"))
}

/// That a run failed for this reason, and everything is as before.
#[track_caller]
fn rolled_back(bench: &Bench, error: &Error, of: NodeErrorKind) {
    let Error::RolledBack(_) = error else { panic!("{error}\n{}", bench.trace()) };
    let is_for_it = match error.first() {
        Error::Step { error, .. } => error.kind == of,
        Error::Written(_) => of == NodeErrorKind::Written,
        _ => false,
    };
    assert!(is_for_it, "{error}\n{}", bench.trace());
    bench.untouched("rolled back");
}

#[tokio::test(start_paused = true)]
async fn a_host_out_of_reach_at_first_leaves_all_unlocked() {
    for (fate, times) in [(Fate::Lost, 1), (Fate::AnswerLost, 1), (Fate::Refused, 1)] {
        let bench = Bench::new();
        bench.spoil("lock", 1, times, fate);
        let error = bench.run().await.unwrap_err();
        assert!(matches!(&error, Error::Unreachable { host, .. } if host == "m2"), "{error}");
        bench.untouched("after the lock");
        assert_eq!(status(&bench.setup).await.unwrap().phase, Phase::RolledBack);
        bench.run().await.unwrap();
        bench.handed_out("then");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_fall_asleep_wakes_the_others() {
    let bench = Bench::new();
    bench.world.change(|state| state.nodes[2].is_stuck = true);
    let error = bench.run().await.unwrap_err();
    rolled_back(&bench, &error, NodeErrorKind::StillRunning);
}

#[tokio::test(start_paused = true)]
async fn one_whose_sleep_is_killed_at_its_limit_is_woken_too() {
    let bench = Bench::new();
    bench.world.change(|state| state.nodes[0].hangs = true);
    let error = bench.run().await.unwrap_err();
    rolled_back(&bench, &error, NodeErrorKind::OutOfTime);
}

#[tokio::test(start_paused = true)]
async fn what_speaks_against_it_is_found_before_anything_sleeps() {
    let bench = Bench::new();
    bench.world.change(|state| state.against = Some("5 s late".into()));
    let error = bench.run().await.unwrap_err();
    assert!(matches!(&error, Error::NotReady { failed } if failed.len() == 3), "{error}");
    bench.untouched("not ready");

    // Nor does resume put to sleep what was never found ready.
    bench.kill_at(4, Fate::KillAfter);
    assert!(bench.until_killed(bench.run()).await.is_none());
    bench.mend();
    let error = bench.resume().await.unwrap_err();
    assert!(matches!(&error, Error::NotReady { .. }), "{error}");
    bench.untouched("not ready");
}

#[tokio::test(start_paused = true)]
async fn hosts_are_taken_as_the_rate_control_says() {
    let one = format!("{CONFIG}rate_control: {{Concurrency: 1, MaxErrors: 0}}\n");
    let bench = Bench::of(&one);
    bench.run().await.unwrap();
    bench.handed_out("one after the other");
    let since: Vec<_> = bench.nodes().iter().map(|node| node.asleep.clone().unwrap()).collect();
    assert!(since.windows(2).all(|pair| pair[0].since_ms + 3000 < pair[1].since_ms), "{since:?}");

    for (errors, begun) in [(0, 1), (1, 2), (2, 3)] {
        let config = format!("{CONFIG}rate_control: {{Concurrency: 1, MaxErrors: {errors}}}\n");
        let bench = Bench::of(&config);
        let mut asked = std::collections::BTreeSet::new();
        let (sender, receiver) = std::sync::mpsc::channel();
        bench.plan(move |ask| {
            if ask.what == "sleep" {
                asked.insert(ask.host);
                sender.send(asked.len()).unwrap();
                return refuses(NodeErrorKind::Io);
            }
            Fate::Done
        });
        let error = bench.run().await.unwrap_err();
        rolled_back(&bench, &error, NodeErrorKind::Io);
        assert_eq!(receiver.try_iter().last(), Some(begun), "MaxErrors {errors}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_sleeps_on_until_the_last_has_fallen_asleep() {
    let config = "rate_control: {Concurrency: 1}\nwake_after_seconds: 300\n";
    let bench = Bench::of(&format!("{CONFIG}{config}"));
    bench.world.change(|state| state.stop_seconds = 170);
    bench.run().await.unwrap();
    bench.handed_out("after nine minutes");
    assert!(!bench.events.warned("timer"));
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_fails_is_the_end() {
    for (what, kinds) in [
        ("snapshot", &[NodeErrorKind::Written, NodeErrorKind::Store, NodeErrorKind::Etcd][..]),
        ("bundle", &[NodeErrorKind::Written, NodeErrorKind::Credentials, NodeErrorKind::Io][..]),
    ] {
        for kind in kinds {
            let bench = Bench::new();
            bench.spoil(what, 1, 1, refuses(*kind));
            let error = bench.run().await.unwrap_err();
            rolled_back(&bench, &error, *kind);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_leader_is_followed_twice() {
    let bench = Bench::new();
    // It moves on each time when it was just found.
    bench.spoil("snapshot", 1, 2, refuses(NodeErrorKind::NotLeader));
    bench.run().await.unwrap();
    bench.handed_out("the third time");
    assert_eq!(bench.state().uploads, 1);
    assert_eq!(bench.journal().matches("\"mark\":\"object\"").count(), 3);

    let bench = Bench::new();
    bench.spoil("snapshot", 1, 3, refuses(NodeErrorKind::NotLeader));
    let error = bench.run().await.unwrap_err();
    rolled_back(&bench, &error, NodeErrorKind::NotLeader);
}

#[tokio::test(start_paused = true)]
async fn the_snapshot_is_made_where_the_leader_went() {
    let bench = Bench::new();
    let world = std::sync::Arc::downgrade(&bench.world);
    let mut moved = false;
    bench.plan(move |ask| {
        if ask.what == "snapshot" && !std::mem::replace(&mut moved, true) {
            world.upgrade().unwrap().change(|state| state.leader = 2);
        }
        Fate::Done
    });
    let handed = bench.run().await.unwrap();
    assert_eq!(handed.snapshot_host, "m3");
    bench.handed_out("on another host");
}

#[tokio::test(start_paused = true)]
async fn a_timer_that_fired_is_noticed_before_the_hand_out() {
    // The connection to the host comes back after its timer fired, or only for the fence.
    for renewed_again in [true, false] {
        let bench = Bench::of(&format!("{CONFIG}wake_after_seconds: 300\n"));
        bench.world.change(|state| state.upload_seconds = 330);
        let world = std::sync::Arc::downgrade(&bench.world);
        bench.plan(move |ask| {
            let fired = world.upgrade().unwrap().now().nodes[2].fired.is_some();
            let is_lost = ask.host == 2 && ask.what == "renew" && !(fired && renewed_again);
            if is_lost { Fate::Lost } else { Fate::Done }
        });
        let error = bench.run().await.unwrap_err();
        rolled_back(&bench, &error, NodeErrorKind::Awake);
        assert!(bench.events.warned("timer is not renewed"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_fence_that_fails_lifts_the_others() {
    for fate in [refuses(NodeErrorKind::Io), refuses(NodeErrorKind::Locked)] {
        let bench = Bench::new();
        bench.spoil("fence", 2, 1, fate);
        let error = bench.run().await.unwrap_err();
        assert!(matches!(error, Error::RolledBack(_)), "{error}");
        bench.untouched("lifted");
    }
    let bench = Bench::new();
    bench.spoil("fence", 2, usize::MAX, Fate::Lost);
    let error = bench.run().await.unwrap_err();
    assert!(matches!(error.first(), Error::Unreachable { .. }), "{error}");
    bench.untouched("lifted");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_lost_while_all_wake_is_named_and_woken_later() {
    for before in ["sleep", "snapshot", "bundle", "fence"] {
        let bench = Bench::new();
        bench.plan(move |ask| match (ask.what, ask.host) {
            ("wake", 1) => Fate::Lost,
            (what, host) if what == before && (host == 2 || what != "fence" && what != "sleep") => {
                refuses(NodeErrorKind::Io)
            }
            _ => Fate::Done,
        });
        let error = bench.run().await.unwrap_err();
        let Error::NotRolledBack { rollback, .. } = &error else { panic!("{before}: {error}") };
        assert!(rollback.contains("m2") && !rollback.contains("m1"), "{rollback}");
        let awake: Vec<bool> = bench.nodes().iter().map(|node| node.is_awake()).collect();
        assert_eq!(awake, [true, false, true], "{before}: {}", bench.trace());
        bench.mend();
        assert!(status(&bench.setup).await.unwrap().advice.contains("rollback"));
        bench.rollback().await.unwrap();
        bench.untouched(before);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_doubles_no_step() {
    for what in ["sleep", "members", "renew", "snapshot", "bundle", "fence"] {
        for fate in [Fate::Lost, Fate::AnswerLost, Fate::Broken] {
            for times in 1..=4 {
                let bench = Bench::new();
                bench.spoil(what, 1, times, fate.clone());
                let handed = bench.run().await;
                let case = format!("{what} {fate:?} {times} times");
                assert!(handed.is_ok(), "{case}: {handed:?}\n{}", bench.trace());
                bench.handed_out(&case);
                let state = bench.state();
                assert_eq!((state.uploads, state.snaps.len()), (1, 1), "{case}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_lost_for_good_wakes_by_itself() {
    let bench = Bench::new();
    let mut is_asleep = false;
    bench.plan(move |ask| match (ask.host, ask.what) {
        (1, "sleep") if !std::mem::replace(&mut is_asleep, true) => Fate::AnswerLost,
        (1, _) if is_asleep => Fate::Lost,
        _ => Fate::Done,
    });
    let error = bench.run().await.unwrap_err();
    assert!(matches!(error, Error::NotRolledBack { .. }), "{error}");
    assert!(!bench.nodes()[1].is_awake());
    sleep(TIMERS).await;
    assert!(bench.nodes().iter().all(|node| node.is_awake()));
    bench.mend();
    bench.rollback().await.unwrap();
    bench.untouched("after the timer");
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_deleted_is_told_of_and_stops_only_the_way_back_after_the_hand_out()
 {
    let no_delete = |bench: &Bench| {
        bench.plan(|ask| match ask.what {
            "unpublish" => refuses(NodeErrorKind::Store),
            "fence" if ask.host == 0 => refuses(NodeErrorKind::Io),
            _ => Fate::Done,
        });
    };
    let bench = Bench::new();
    no_delete(&bench);
    let error = bench.run().await.unwrap_err();
    assert!(matches!(error, Error::RolledBack(_)), "{error}");
    assert!(bench.events.warned("may still be in the store"));
    assert!(bench.nodes().iter().all(|node| node.is_untouched()));

    let bench = Bench::new();
    bench.run().await.unwrap();
    no_delete(&bench);
    let error = bench.rollback_never_started().await.unwrap_err();
    assert!(matches!(&error, Error::Step { host, .. } if host == HOSTS[2]), "{error}");
    assert!(bench.nodes().iter().all(|node| !node.is_awake() && node.fence.is_some()));
    bench.mend();
    bench.rollback_never_started().await.unwrap();
    bench.untouched("after all");
}
