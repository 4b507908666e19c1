//! The migration, from the lock to the hand-out.

use std::sync::Arc;

use super::handout::{Bundling, fence, hand_out, still_quiet};
use super::lock::{Hurry, give_back, lock_all};
use super::outage::{Ready, bundle, cancel_snapshots, until_ready};
use super::plan::{Plan, against, facts, look};
use super::rehearse::{VALID_SECONDS, config_digest, rehearsed};
use super::session::Session;
use super::undo::{GO_ON_BACK, Lifting, remove_superseded, wake_all};
use super::view::Event;
use super::{HandedOut, Phase, RunOptions, Setup};
use crate::error::{Error, Result};
use crate::journal::{Journal, Mark, Story};
use crate::node::preflight::not_found;
use crate::protocol::NodeStatus;

pub async fn run(setup: &Setup, options: &RunOptions) -> Result<HandedOut> {
    let journal = Journal::open(&setup.folder)?;
    may_begin(&journal)?;
    let bundling = Bundling::new(setup, options)?;
    if !options.skip_rehearsal {
        rehearsed(setup)?;
    }
    let session = Session::new(setup, &journal, None);
    session.set_keep(options.keep);
    session.mark_run()?;
    let plan = begin(&session, options, false).await?;
    go_on(&session, &plan, &bundling, options).await
}

/// Nothing is under way, and nothing was handed out.
///
/// # Errors
/// [`Error::Usage`], [`Error::HandedOut`].
pub fn may_begin(journal: &Journal) -> Result<()> {
    let Some(story) = journal.story() else { return Ok(()) };
    let run = &story.run;
    match story.phase {
        Phase::None | Phase::RolledBack => Ok(()),
        Phase::Running => Err(Error::Usage(format!(
            "run {run} was begun and did not end; try: migrate resume, or migrate rollback"
        ))),
        Phase::HandedOut => Err(Error::HandedOut(format!(
            "run {run} has handed out its bundle; try: migrate status"
        ))),
        Phase::Finished => {
            Err(Error::HandedOut(format!("run {run} is finished: the cluster was migrated")))
        }
    }
}

/// All that comes before the first sleep. If it fails, the run is over: nothing sleeps.
async fn begin(session: &Session<'_>, options: &RunOptions, locked: bool) -> Result<Plan> {
    let error = match prepare(session, options, locked).await {
        Ok(plan) => return Ok(plan),
        Err(error) => error,
    };
    let story = session.journal.story().filter(|story| story.outage_began_ms.is_some());
    let Some(story) = story else {
        give_back(session).await;
        session.mark_if_possible(Mark::RolledBack);
        return Err(error);
    };
    // Of a run that slept before: what it uploaded goes, and nobody sleeps unseen.
    Err(put_back(session, Some(&story), error).await)
}

/// Wakes all hosts because of an error, which then says whether they are as before.
async fn put_back(session: &Session<'_>, story: Option<&Story>, error: Error) -> Error {
    session.mark_if_possible(Mark::RollingBack { why: error.to_string() });
    session.show(Event::Warning(format!("{error}; waking all hosts")));
    match wake_all(session, story, Lifting::NotHandedOut, false).await {
        Ok(_) => Error::RolledBack(Box::new(error)),
        Err(rollback) => {
            Error::NotRolledBack { why: Box::new(error), rollback: rollback.to_string() }
        }
    }
}

async fn prepare(session: &Session<'_>, options: &RunOptions, locked: bool) -> Result<Plan> {
    if !locked {
        lock_all(session, Hurry::Soon).await?;
    }
    // What a rehearsal has tried need not be tried again: store and Kubernetes API.
    let looks = look(session, options.skip_rehearsal, options.bundle_extra).await?;
    let is_looked_up = session.setup.config.has_targets();
    let across: Vec<_> = is_looked_up.then(|| not_found(&looks)).flatten().into_iter().collect();
    let failed = against(&looks, &across);
    if !failed.is_empty() {
        return Err(Error::NotReady { failed });
    }
    let facts = facts(&looks);
    let plan = Plan::new(session, facts.clone(), options.bundle_extra)?;
    session.mark(Mark::Facts { facts })?;
    Ok(plan)
}

/// From the first sleep; whatever fails before the hand-out is undone.
async fn go_on(
    session: &Session<'_>,
    plan: &Plan,
    bundling: &Bundling<'_>,
    options: &RunOptions,
) -> Result<HandedOut> {
    let outcome = until_handed_out(session, plan, bundling).await;
    let error = match outcome {
        Ok(handed) => return Ok(handed),
        Err(error) => error,
    };
    let story = session.journal.story();
    if story.as_ref().is_none_or(|story| story.phase == Phase::HandedOut) {
        return Err(still_handed_out(&error));
    }
    // Timers wake who is left asleep, but not where they may be disarmed.
    if options.no_rollback && !session.is_fencing() {
        return Err(Error::LeftAsIs(Box::new(error)));
    }
    Err(put_back(session, story.as_ref(), error).await)
}

async fn until_handed_out(
    session: &Session<'_>,
    plan: &Plan,
    bundling: &Bundling<'_>,
) -> Result<HandedOut> {
    let ready = until_ready(session, plan, &told(session)?).await?;
    let story = told(session)?;
    session.show(Event::UrlReady { seconds: outage_seconds(&story) });
    let staged = bundling.stage(&ready.bundled)?;
    fence(session).await?;
    still_quiet(session, plan, &ready).await?;
    session.go_on()?;
    let handed = hand_out(session, plan, staged, ready, outage_seconds(&story))?;
    remove_superseded(session, &story).await;
    Ok(HandedOut { warnings: session.warnings(), ..handed })
}

fn told(session: &Session<'_>) -> Result<Story> {
    let none = || Error::Usage("the journal tells of no run".into());
    session.journal.story().ok_or_else(none)
}

/// Seconds from that moment, if it was, until now.
pub fn since(began_ms: Option<u64>) -> f64 {
    let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default();
    began_ms.map_or(0.0, |began| now.saturating_sub(began) as f64 / 1000.0)
}

/// From the first sleep to the URL.
fn outage_seconds(story: &Story) -> f64 {
    match (story.outage_began_ms, story.url_ready_ms) {
        (Some(began), Some(ready)) => ready.saturating_sub(began) as f64 / 1000.0,
        _ => 0.0,
    }
}

pub async fn resume(setup: &Setup, options: &RunOptions) -> Result<HandedOut> {
    let journal = Journal::open(&setup.folder)?;
    let story = journal.story();
    let Some(story) = story.filter(|story| !matches!(story.phase, Phase::None)) else {
        return Err(Error::Usage("there is no run to resume; try: migrate run".into()));
    };
    may_resume(setup, &story)?;
    let bundling = Bundling::new(setup, options)?;
    let session = Session::new(setup, &journal, Some(&story.run));
    session.set_attempt(story.attempt);
    // A step that is asked for again has to be the same.
    session.set_keep(story.keep);
    let (Some(facts), Some(_)) = (story.facts.clone(), story.outage_began_ms) else {
        return begin_again(&session, &story, &bundling, options, false).await;
    };
    let handed_out = story.phase == Phase::HandedOut;
    let known = async {
        let statuses = lock_all(&session, Hurry::Patient).await?;
        Ok((statuses, Plan::new(&session, facts, options.bundle_extra)?))
    };
    let (statuses, plan) = known.await.map_err(|error: Error| match handed_out {
        true => still_handed_out(&error),
        false => Error::LeftAsIs(Box::new(error)),
    })?;
    if handed_out {
        let again = hand_out_again(&session, &plan, &bundling, &story).await;
        return again.map_err(|error| still_handed_out(&error));
    }
    let awake = statuses.iter().filter(|(_, status)| is_awake(status)).count();
    let nobody_sleeps = statuses.iter().all(|(_, status)| status.asleep.is_none());
    if nobody_sleeps && !options.skip_rehearsal && since(Some(story.began_ms)) > VALID_SECONDS {
        give_back(&session).await;
        return Err(Error::NotRehearsed(format!(
            "run {} was begun over an hour ago, and its hosts are awake again; try: migrate rollback, \
             then migrate rehearse and migrate run",
            story.run
        )));
    }
    if story.failed || awake > 0 {
        let why = if story.failed { "a step failed" } else { "a host was awake again" };
        session.show(Event::Note(format!("{why}: the hosts are put to sleep anew")));
        let ended = cancel_snapshots(&session, &story).await;
        ended.map_err(|error| Error::LeftAsIs(Box::new(error)))?;
        session.set_attempt(story.attempt + 1);
        session.mark(Mark::Attempt { number: session.attempt() })?;
    }
    if nobody_sleeps {
        return begin_again(&session, &story, &bundling, options, true).await;
    }
    go_on(&session, &plan, &bundling, options).await
}

/// Of a run that sleeps nowhere: what was found before it was killed may be long ago.
async fn begin_again(
    session: &Session<'_>,
    story: &Story,
    bundling: &Bundling<'_>,
    options: &RunOptions,
    locked: bool,
) -> Result<HandedOut> {
    if !options.skip_rehearsal && since(Some(story.began_ms)) > VALID_SECONDS {
        rehearsed(session.setup)?;
    }
    let plan = begin(session, options, locked).await?;
    go_on(session, &plan, bundling, options).await
}

fn still_handed_out(error: &Error) -> Error {
    let why = "the bundle may have been handed out, so nothing is woken; try: migrate resume";
    Error::HandedOut(format!("{error}; {why}"))
}

fn may_resume(setup: &Setup, story: &Story) -> Result<()> {
    let run = &story.run;
    match story.phase {
        Phase::RolledBack => {
            return Err(Error::Usage(format!("run {run} was rolled back; try: migrate run")));
        }
        Phase::Finished => return Err(Error::HandedOut(format!("run {run} is finished"))),
        Phase::HandedOut if story.rolling_back => {
            let why = format!("run {run} was being rolled back; {GO_ON_BACK}");
            return Err(Error::HandedOut(why));
        }
        Phase::HandedOut if story.handed_out.is_some() => {
            let why = format!(
                "run {run} has handed out its bundle: nothing is left to do; try: migrate presign \
                 for a new URL, migrate finish once the managed side serves"
            );
            return Err(Error::HandedOut(why));
        }
        _ => {}
    }
    if story.rolling_back {
        let why = format!("run {run} was being rolled back; try: migrate rollback");
        return Err(Error::Usage(why));
    }
    if story.config_digest != config_digest(setup) {
        let why = format!("run {run} was begun with another configuration: it ends with that one");
        return Err(Error::Usage(why));
    }
    Ok(())
}

fn is_awake(status: &NodeStatus) -> bool {
    status.asleep.is_none() || status.fired.is_some()
}

/// Killed between the fence and the bundle's file: nobody may have it, so it is made once more.
async fn hand_out_again(
    session: &Session<'_>,
    plan: &Plan,
    bundling: &Bundling<'_>,
    story: &Story,
) -> Result<HandedOut> {
    let lost = || Error::HandedOut("the journal tells of no snapshot: ask a person".into());
    let snapshot = story.snapshot.clone().ok_or_else(lost)?;
    let (_, name) = story.object.as_ref().ok_or_else(lost)?;
    let host = session.setup.host(name).ok_or_else(lost)?;
    let bundled = bundle(session, plan, host, &snapshot).await?;
    let staged = bundling.stage(&bundled)?;
    fence(session).await?;
    let ready = Ready { snapshot, host: Arc::clone(host), bundled };
    still_quiet(session, plan, &ready).await?;
    let handed = hand_out(session, plan, staged, ready, outage_seconds(story))?;
    remove_superseded(session, story).await;
    Ok(HandedOut { warnings: session.warnings(), ..handed })
}
