//! What is not begun: because of somebody else, of another configuration, of the order of commands.

use etcdprefix_migrate::flow::{
    Phase, RollbackOptions, RunOptions, finish, presign, rehearse, resume, rollback, run, status,
};
use etcdprefix_migrate::protocol::{Fence, Lock, Owner};
use etcdprefix_migrate::{Config, Error, NodeErrorKind};
use tokio::time::sleep;

use super::bench::{Bench, CONFIG, TIMERS};
use super::host::Fate;
use super::world::BEGAN_MS;

fn is_locked(error: &Error) -> bool {
    matches!(error, Error::Step { error, .. } if error.kind == NodeErrorKind::Locked)
}

fn other() -> Owner {
    Owner { run: "other".into(), cluster: "c9".parse().unwrap(), by: "somebody".into() }
}

const TAKE_OVER: RollbackOptions =
    RollbackOptions { managed_side_never_started: false, take_over: true };

#[tokio::test(start_paused = true)]
async fn another_migration_holds_a_host() {
    let bench = Bench::new();
    let lock = Lock { owner: other(), taken_ms: BEGAN_MS, seen_ms: BEGAN_MS };
    bench.world.change(|state| state.nodes[1].lock = Some(lock.clone()));
    for error in
        [bench.run().await.unwrap_err(), rehearse(&bench.setup).await.map(drop).unwrap_err()]
    {
        assert!(is_locked(&error), "{error}");
        let locks: Vec<_> = bench.nodes().into_iter().map(|node| node.lock).collect();
        assert_eq!(locks, [None, Some(lock.clone()), None]);
    }
    let error = rollback(&bench.setup, TAKE_OVER).await.unwrap_err();
    assert!(matches!(error, Error::NotAwake(_)), "{error}");
    let advice = status(&bench.setup).await.unwrap().advice;
    assert!(advice.contains("rollback --take-over"), "{advice}");
    sleep(std::time::Duration::from_secs(180)).await;
    bench.rollback().await.unwrap_err();
    rollback(&bench.setup, TAKE_OVER).await.unwrap();
    bench.untouched("taken over");
}

#[tokio::test(start_paused = true)]
async fn another_run_has_handed_out() {
    let bench = Bench::new();
    let fence = Fence { run: "other".into(), since_ms: BEGAN_MS };
    bench.world.change(|state| state.nodes[1].fence = Some(fence.clone()));
    for error in [
        bench.run().await.unwrap_err(),
        rehearse(&bench.setup).await.map(drop).unwrap_err(),
        bench.rollback().await.map(drop).unwrap_err(),
        rollback(&bench.setup, TAKE_OVER).await.map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, Error::HandedOut(_)), "{error}");
        assert_eq!(bench.nodes()[1].fence, Some(fence.clone()));
    }
    assert!(bench.nodes().iter().all(|node| node.lock.is_none()));
    let advice = status(&bench.setup).await.unwrap().advice;
    assert!(advice.contains("nothing from here"), "{advice}");
}

/// The same hosts, from a machine that has no journal of it.
fn elsewhere(bench: &Bench) -> etcdprefix_migrate::flow::Setup {
    let mut setup = bench.setup.clone();
    setup.folder = bench.folder.join("elsewhere");
    setup
}

#[tokio::test(start_paused = true)]
async fn whoever_was_killed_elsewhere_is_taken_over_when_silent() {
    let bench = Bench::new();
    bench.kill_at(16, Fate::KillAfter);
    assert!(bench.until_killed(bench.run()).await.is_none());
    bench.mend();
    let setup = elsewhere(&bench);
    let error = rollback(&setup, TAKE_OVER).await.unwrap_err();
    assert!(matches!(error, Error::NotAwake(_)), "{error}");
    let advice = status(&setup).await.unwrap().advice;
    assert!(advice.contains("rollback --take-over"), "{advice}");
    sleep(std::time::Duration::from_secs(121)).await;
    rollback(&setup, TAKE_OVER).await.unwrap();
    // The object is known to the other journal only.
    assert!(bench.nodes().iter().all(|node| node.is_untouched()));
    bench.rollback().await.unwrap();
    bench.untouched("by both");
}

#[tokio::test(start_paused = true)]
async fn what_is_handed_out_elsewhere_stays_so() {
    let bench = Bench::new();
    bench.run().await.unwrap();
    sleep(TIMERS).await;
    let setup = elsewhere(&bench);
    let never = RollbackOptions { managed_side_never_started: true, take_over: true };
    for options in [TAKE_OVER, never] {
        let error = rollback(&setup, options).await.unwrap_err();
        let is_refused = matches!(error, Error::HandedOut(_) | Error::Usage(_));
        assert!(is_refused, "{error}");
        bench.handed_out("still");
    }
}

#[tokio::test(start_paused = true)]
async fn two_at_once_do_not_meet() {
    let bench = Bench::new();
    let setup = elsewhere(&bench);
    let options = RunOptions { skip_rehearsal: true, ..RunOptions::default() };
    let second = async {
        sleep(std::time::Duration::from_secs(30)).await;
        let here = bench.run().await.unwrap_err();
        (here, run(&setup, &options).await.unwrap_err())
    };
    let (first, (here, elsewhere)) = tokio::join!(bench.run(), second);
    first.unwrap();
    assert!(matches!(&here, Error::Busy(why) if why.contains("another etcdprefix")), "{here}");
    assert!(is_locked(&elsewhere), "{elsewhere}");
    bench.handed_out("by the first");
}

#[tokio::test(start_paused = true)]
async fn a_run_ends_with_the_configuration_that_it_began_with() {
    let bench = Bench::new();
    bench.kill_at(16, Fate::KillAfter);
    assert!(bench.until_killed(bench.run()).await.is_none());
    bench.mend();
    let mut setup = bench.setup.clone();
    setup.config = Config::parse(&format!("{CONFIG}presign_seconds: 60\n")).unwrap();
    let error = resume(&setup, &RunOptions::default()).await.unwrap_err();
    assert!(error.to_string().contains("another configuration"), "{error}");
    bench.resume().await.unwrap();
    bench.handed_out("with its own");
}

#[tokio::test(start_paused = true)]
async fn only_what_was_rehearsed_lately_is_run() {
    let bench = Bench::new();
    let options = RunOptions::default();
    let refused = |outcome: Result<_, Error>, why: &str| {
        let error = outcome.map(|_: etcdprefix_migrate::flow::HandedOut| ()).unwrap_err();
        let is_for_it = matches!(&error, Error::NotRehearsed(text) if text.contains(why));
        assert!(is_for_it, "{error}");
    };
    refused(run(&bench.setup, &options).await, "was not rehearsed");
    rehearse(&bench.setup).await.unwrap();
    let mut setup = bench.setup.clone();
    setup.config = Config::parse(&format!("{CONFIG}presign_seconds: 60\n")).unwrap();
    refused(run(&setup, &options).await, "another configuration");
    let path = bench.folder.join("rehearsal.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    json["at_ms"] = (json["at_ms"].as_u64().unwrap() - 3_700_000).into();
    std::fs::write(&path, json.to_string()).unwrap();
    refused(run(&bench.setup, &options).await, "older than an hour");
    std::fs::write(&path, "{").unwrap();
    refused(run(&bench.setup, &options).await, "can't be read");
    bench.untouched("never begun");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_closed_signed_or_resumed_that_is_not_there() {
    let bench = Bench::new();
    for error in [
        finish(&bench.setup).await.map(drop).unwrap_err(),
        presign(&bench.setup).await.map(drop).unwrap_err(),
        bench.resume().await.map(drop).unwrap_err(),
        bench.rollback_never_started().await.map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, Error::Usage(_)), "{error}");
    }
    assert_eq!(status(&bench.setup).await.unwrap().phase, Phase::None);
    bench.rollback().await.unwrap();
    assert_eq!(status(&bench.setup).await.unwrap().phase, Phase::RolledBack);
    bench.untouched("never begun");
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_says_nothing_stops_everything() {
    let bench = Bench::new();
    bench.kill_at(16, Fate::KillAfter);
    assert!(bench.until_killed(bench.run()).await.is_none());
    bench.mend();
    let path = bench.folder.join("journal.jsonl");
    let good = bench.journal();
    let mut lines: Vec<&str> = good.lines().collect();
    lines[2] = "{\"at_ms\":s3cr3t";
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    for error in [
        bench.run().await.map(drop).unwrap_err(),
        bench.resume().await.map(drop).unwrap_err(),
        bench.rollback().await.map(drop).unwrap_err(),
        finish(&bench.setup).await.map(drop).unwrap_err(),
        status(&bench.setup).await.map(drop).unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(text.contains("journal.jsonl line 3") && !text.contains("s3cr3t"), "{text}");
    }
    assert!(bench.nodes().iter().all(|node| !node.is_awake()));
    std::fs::write(&path, good).unwrap();
    bench.rollback().await.unwrap();
    bench.untouched("with the old one");
}

#[tokio::test(start_paused = true)]
async fn where_nothing_can_be_written_nothing_begins() {
    let bench = Bench::new();
    std::fs::create_dir(&bench.folder).unwrap();
    let into = |bundle: std::path::PathBuf| RunOptions {
        skip_rehearsal: true,
        bundle: Some(bundle),
        ..RunOptions::default()
    };
    for bundle in [bench.folder.join("missing/bundle.json"), bench.folder.clone()] {
        let error = run(&bench.setup, &into(bundle)).await.unwrap_err();
        assert!(matches!(error, Error::File { .. } | Error::Usage(_)), "{error}");
    }
    let mut setup = bench.setup.clone();
    setup.folder = bench.folder.join("file");
    std::fs::write(&setup.folder, "").unwrap();
    for error in [
        run(&setup, &RunOptions::default()).await.map(drop).unwrap_err(),
        rehearse(&setup).await.map(drop).unwrap_err(),
        rollback(&setup, RollbackOptions::default()).await.map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, Error::File { .. }), "{error}");
    }
    assert_eq!(bench.state().calls, 0);
    bench.untouched("never begun");
}

#[tokio::test(start_paused = true)]
async fn a_bundle_that_can_be_written_no_more_wakes_nobody_and_is_handed_out_elsewhere() {
    let bench = Bench::new();
    std::fs::create_dir(&bench.folder).unwrap();
    let gone = bench.folder.join("gone");
    std::fs::create_dir(&gone).unwrap();
    let path = gone.clone();
    bench.plan(move |ask| {
        if ask.what == "fence" && ask.host == 2 {
            let _ = std::fs::remove_dir_all(&path);
        }
        Fate::Done
    });
    let mut options = RunOptions {
        skip_rehearsal: true,
        bundle: Some(gone.join("bundle.json")),
        ..RunOptions::default()
    };
    let error = run(&bench.setup, &options).await.unwrap_err();
    assert!(matches!(&error, Error::HandedOut(why) if why.contains("resume")), "{error}");
    let refused = bench.rollback().await.unwrap_err();
    assert!(matches!(refused, Error::HandedOut(_)), "{refused}");
    sleep(TIMERS).await;
    bench.sound("nothing wakes");
    options.bundle = None;
    resume(&bench.setup, &options).await.unwrap();
    bench.handed_out("elsewhere");
}
