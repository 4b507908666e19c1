//! The orchestrator dies at every point at which its journal has a new line.

use std::fs;

use anyhow::{Context, Result};
use etcdprefix_testkit::hosts::HostsOptions;
use serde_json::Value;

use super::Migration;
use super::moved::{bundle, fetched, is_dead, is_the_cluster};
use super::run::Running;

/// Marks of the journal, and steps of theirs, in the order in which a run has them.
const POINTS: [(&str, &str); 19] = [
    ("run", ""),
    ("begin", "lock"),
    ("done", "lock"),
    ("begin", "preflight"),
    ("done", "preflight"),
    ("begin", "sleep"),
    ("done", "sleep"),
    ("begin", "members"),
    ("done", "members"),
    ("object", ""),
    ("begin", "snapshot"),
    ("done", "snapshot"),
    ("snapshot", ""),
    ("begin", "bundle"),
    ("done", "bundle"),
    ("url_ready", ""),
    ("begin", "fence"),
    ("done", "fence"),
    ("handing_out", ""),
];

fn is_at(line: &Value, (mark, step): (&str, &str)) -> bool {
    line["mark"] == mark && (step.is_empty() || line["step"] == step)
}

/// Lets a run die when its journal has that line.
pub fn die(mut run: Running<'_>, moving: &Migration, point: (&str, &str)) -> Result<()> {
    run.marked(|line| is_at(line, point))?;
    let killed = run.kill();
    assert!(killed.was_killed(), "{killed}");
    cut_after(moving, point)
}

/// It may have written more before it died. Where that is only what came of a step, it is as if it had died
/// before.
fn cut_after(moving: &Migration, point: (&str, &str)) -> Result<()> {
    let lines = moving.journal();
    let last = lines.iter().rposition(|line| is_at(line, point)).context("it was there")?;
    let may_be_cut = |line: &Value| {
        ["done", "snapshot", "url_ready", "handed_out"].iter().any(|it| line["mark"] == *it)
    };
    if lines[last + 1..].iter().all(may_be_cut) {
        let path = moving.folder().join("journal.jsonl");
        let text = fs::read_to_string(&path)?;
        fs::write(&path, text.split_inclusive('\n').take(last + 1).collect::<String>())?;
    }
    Ok(())
}

/// One run that dies again and again. What it had done is found done.
#[test]
fn killed_at_every_step_it_is_resumed_to_its_end() -> Result<()> {
    let moving = Migration::start(HostsOptions::default())?;
    let mut line = "run --skip-rehearsal";
    for point in POINTS {
        let is_past =
            point == ("snapshot", "") && moving.journal().iter().any(|it| is_at(it, point));
        if !is_past {
            let context = || format!("{line} until {point:?}");
            die(moving.begin(line), &moving, point).with_context(context)?;
        }
        line = "resume";
    }
    let ended = moving.migrate("resume -w json");
    ended.succeeded();
    assert_eq!(moving.unfinished()?, [""; 0]);
    moving.is_handed_out();
    let url = bundle(&moving)?["oss_url"].as_str().unwrap().to_owned();
    let revision = ended.json()["snapshot"]["revision"].as_i64().unwrap();
    is_the_cluster(&moving, &fetched(&moving, &url)?, revision)?;
    let marked = |mark: &str| moving.journal().iter().filter(|line| line["mark"] == mark).count();
    assert_eq!((marked("run"), marked("snapshot")), (1, 1));
    moving.migrate("resume").failed(37, &["nothing is left to do"]);
    Ok(())
}

#[test]
fn killed_at_every_step_it_is_rolled_back() -> Result<()> {
    let moving = Migration::start(HostsOptions::default())?;
    for point in POINTS {
        // What is done is where the next begins.
        let is_next = point.0 == "done" && !["sleep", "fence"].contains(&point.1);
        if is_next || point.0 == "run" || point.0 == "handing_out" {
            continue;
        }
        let context = || format!("killed at {point:?}");
        die(moving.begin("run --skip-rehearsal"), &moving, point).with_context(context)?;
        moving.migrate("run --skip-rehearsal").failed(2, &["migrate resume, or migrate rollback"]);
        moving.migrate("rollback").succeeded();
        moving.is_as_before().with_context(context)?;
    }
    // Whether anybody has the bundle can't be known any more.
    die(moving.begin("run --skip-rehearsal"), &moving, ("handing_out", ""))?;
    moving.migrate("rollback").failed(37, &["two control planes", "--managed-side-never-started"]);
    moving.migrate("rollback --managed-side-never-started").succeeded();
    assert_eq!(moving.unfinished()?, [""; 0]);
    moving.is_as_before()
}

/// A way back that dies again and again.
#[test]
fn killed_on_its_way_back_it_is_rolled_back_once_more() -> Result<()> {
    let moving = Migration::start(HostsOptions::default())?;
    die(moving.begin("run --skip-rehearsal"), &moving, ("snapshot", ""))?;
    for point in [
        ("rolling_back", ""),
        ("begin", "wake"),
        ("done", "wake"),
        ("begin", "unpublish"),
        ("begin", "unlock"),
    ] {
        let context = || format!("rollback until {point:?}");
        die(moving.begin("rollback"), &moving, point).with_context(context)?;
        moving.migrate("resume").failed(2, &["was being rolled back"]);
    }
    moving.migrate("rollback").succeeded();
    moving.is_as_before()?;
    assert_eq!(moving.stored()?, [""; 0]);
    // The same after the hand-out: whoever has begun to go back must go all the way.
    moving.migrate("run --skip-rehearsal").succeeded();
    let url = bundle(&moving)?["oss_url"].as_str().unwrap().to_owned();
    let back = "rollback --managed-side-never-started";
    for point in [("rolling_back", ""), ("begin", "unpublish"), ("begin", "wake")] {
        let context = || format!("{back} until {point:?}");
        die(moving.begin(back), &moving, point).with_context(context)?;
        for line in ["resume", "finish", "rollback"] {
            let run = moving.migrate(line);
            assert!(run.stderr().contains("--managed-side-never-started"), "{run}");
        }
    }
    moving.migrate(back).succeeded();
    assert!(is_dead(&url), "{url}");
    moving.is_as_before()
}
