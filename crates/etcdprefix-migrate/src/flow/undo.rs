//! Everything as it was: the hosts awake, the object gone, the locks given back.

use std::collections::BTreeSet;

use futures_util::future::join;

use super::calls::{Step, unexpected};
use super::lock::unlock_all;
use super::outage::cancel_snapshots;
use super::rehearse::store_digest;
use super::session::Session;
use super::view::Event;
use super::{Phase, RollbackOptions, RolledBack, Setup};
use crate::error::{Error, NodeErrorKind, Result};
use crate::journal::{Journal, Mark, Story};
use crate::protocol::{LiftFence, ObjectAccess, Request, Response, StoreAccess, WakeRequest};

const WAKE_LIMIT_SECONDS: u64 = 240;
/// Until an API server runs again, as far as that is waited for.
const WAKE_WAIT_SECONDS: u64 = 90;
const UNPUBLISH_LIMIT_SECONDS: u64 = 60;

/// To whoever wants to go on with what was being rolled back after the hand-out.
pub const GO_ON_BACK: &str = "try: migrate rollback --managed-side-never-started";

/// Why fences may be lifted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Lifting {
    /// The journal proves that nothing was handed out.
    NotHandedOut,
    /// There is no journal: no fence is lifted.
    Nothing,
    /// A person says that the managed side never started.
    NeverStarted,
}

pub async fn rollback(setup: &Setup, options: RollbackOptions) -> Result<RolledBack> {
    let journal = Journal::open(&setup.folder)?;
    let story = journal.story();
    let run = story.as_ref().map(|story| story.run.as_str());
    let session = Session::new(setup, &journal, run);
    session.set_attempt(story.as_ref().map_or(1, |story| story.attempt));
    let lifting = lifting(story.as_ref(), options)?;
    same_hosts(setup, story.as_ref())?;
    if session.is_new() {
        session.mark_run_if_possible();
    }
    let rolling_back = Mark::RollingBack { why: "asked for".into() };
    if lifting != Lifting::NeverStarted {
        session.mark_if_possible(rolling_back);
    } else {
        // Nobody may finish, after a crash, what has half gone back.
        same_store(setup, story.as_ref())?;
        session.mark(rolling_back)?;
        // The URL must be dead before anything writes into this cluster again.
        for object in story.iter().flat_map(|story| &story.objects) {
            unpublish(&session, object).await?;
        }
    }
    wake_all(&session, story.as_ref(), lifting, options.take_over).await
}

/// Who is not named is not woken.
pub fn same_hosts(setup: &Setup, story: Option<&Story>) -> Result<()> {
    let Some(story) = story else { return Ok(()) };
    let named: BTreeSet<&str> = setup.hosts.iter().map(|host| host.name()).collect();
    let missing: Vec<&str> =
        story.hosts.iter().map(String::as_str).filter(|host| !named.contains(host)).collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(Error::Usage(format!(
            "run {} has these hosts too: {}; try: the configuration that it was begun with",
            story.run,
            missing.join(", ")
        ))),
    }
}

/// An object that is not found in another store is not gone.
fn same_store(setup: &Setup, story: Option<&Story>) -> Result<()> {
    match story {
        Some(story) if story.store_digest != store_digest(setup) => Err(Error::Usage(format!(
            "run {} was begun with another store; try: the configuration that it was begun with",
            story.run
        ))),
        _ => Ok(()),
    }
}

fn lifting(story: Option<&Story>, options: RollbackOptions) -> Result<Lifting> {
    let Some(story) = story else {
        if options.managed_side_never_started {
            let why = "the journal isn't here, so the object can't be found that must be deleted \
                       first; try: --folder with the folder of the machine that migrated";
            return Err(Error::Usage(why.into()));
        }
        return Ok(Lifting::Nothing);
    };
    let run = &story.run;
    match story.phase {
        Phase::Finished => Err(Error::HandedOut(format!(
            "run {run} is finished: the managed side has the cluster"
        ))),
        Phase::HandedOut if !options.managed_side_never_started => Err(Error::HandedOut(format!(
            "run {run} has handed out its bundle: two control planes could run on the same nodes; \
             try: --managed-side-never-started, only if it certainly never did"
        ))),
        Phase::HandedOut => Ok(Lifting::NeverStarted),
        _ => Ok(Lifting::NotHandedOut),
    }
}

/// Wakes all hosts, whatever fails on some, then removes what was uploaded and gives the locks back.
/// With `take_over` also those of a run that hasn't been heard of.
///
/// # Errors
/// [`Error::NotAwake`] naming the hosts that are not as before.
pub async fn wake_all(
    session: &Session<'_>,
    story: Option<&Story>,
    lifting: Lifting,
    take_over: bool,
) -> Result<RolledBack> {
    let make = |_: &_| wake(session, lifting, take_over);
    // Beside each other: waking is what must not wait for a host that does not answer.
    let hosts = session.setup.hosts.clone();
    let waking = session.on(hosts, usize::MAX, usize::MAX, make, super::say::woken);
    let (answers, cancelled) = join(waking, cancel(session, story)).await;
    let cancelled = match cancelled {
        // On a full disk: what waking removed has made room for the little that is to be remembered.
        Err(Error::Step { .. }) => cancel(session, story).await,
        cancelled => cancelled,
    };
    let (mut hosts, mut failed, mut fenced) = (Vec::new(), Vec::new(), None);
    for answer in answers {
        let name = answer.host.name().to_owned();
        match answer.outcome {
            Some(Ok(Response::Woken(woken))) => {
                woken.warnings.iter().for_each(|text| session.warn(format!("{name}: {text}")));
                if woken.api_server_runs == Some(false) {
                    let why = "its API server does not run yet: look at the kubelet's log";
                    session.warn(format!("{name}: {why}"));
                }
                hosts.push((name, woken.restored));
            }
            Some(Ok(_)) => failed.push(unexpected(answer.host.as_ref()).to_string()),
            Some(Err(Error::HandedOut(why))) => fenced = Some(Error::HandedOut(why)),
            Some(Err(error)) => failed.push(error.to_string()),
            None => failed.push(format!("{name} was not begun")),
        }
    }
    if let (Err(error), true) = (cancelled, failed.is_empty()) {
        failed.push(format!("a snapshot may still be under way: {error}"));
    }
    if let Some(fenced) = fenced.filter(|_| failed.is_empty()) {
        return Err(fenced);
    }
    if !failed.is_empty() {
        return Err(Error::NotAwake(failed.join("; ")));
    }
    show_end_of_outage(session, story);
    let object_deleted = match lifting {
        Lifting::NotHandedOut => remove_objects(session, story).await,
        Lifting::NeverStarted => Some(true),
        Lifting::Nothing => None,
    };
    for (_, error) in unlock_all(session, keeps(story)).await {
        // Sleep came after wake: it was on its way when the orchestrator died.
        if matches!(&error, Error::Step { error, .. } if error.kind == NodeErrorKind::NotAsExpected)
        {
            return Err(Error::NotAwake(error.to_string()));
        }
        session.warn(format!("a lock is still there: {error}"));
    }
    session.mark_if_possible(Mark::RolledBack);
    if let Some((bundle, _)) = story.and_then(|story| story.handed_out.as_ref()) {
        session.warn(format!("{bundle} holds the keys of this cluster: delete it"));
    }
    Ok(RolledBack { hosts, object_deleted, warnings: session.warnings() })
}

async fn cancel(session: &Session<'_>, story: Option<&Story>) -> Result<()> {
    match story {
        Some(story) => cancel_snapshots(session, story).await,
        None => Ok(()),
    }
}

fn wake(session: &Session<'_>, lifting: Lifting, take_over: bool) -> Step {
    let request = WakeRequest {
        owner: session.owner(),
        take_over,
        lift_fence: match lifting {
            Lifting::NotHandedOut => LiftFence::NotHandedOut,
            Lifting::NeverStarted => LiftFence::NeverStarted,
            Lifting::Nothing => LiftFence::No,
        },
        wait_seconds: WAKE_WAIT_SECONDS,
    };
    let step = Step::new("wake", WAKE_LIMIT_SECONDS, Request::Wake(request));
    step.patient().unstoppable().once_more(session.moment())
}

fn show_end_of_outage(session: &Session<'_>, story: Option<&Story>) {
    let began = story.and_then(|story| story.outage_began_ms);
    if began.is_some() {
        session.show(Event::OutageEnded { seconds: super::run::since(began) });
    }
}

/// Nobody has its URL, but it is the whole cluster: it goes as soon as nobody needs it.
async fn remove_objects(session: &Session<'_>, story: Option<&Story>) -> Option<bool> {
    let mut deleted = None;
    for object in story.iter().flat_map(|story| &story.objects) {
        match unpublish(session, object).await {
            Ok(()) => deleted = Some(deleted.unwrap_or(true)),
            Err(error) => {
                session.warn(format!("{object} may still be in the store: {error}"));
                deleted = Some(false);
            }
        }
    }
    deleted
}

/// Those of attempts and hosts that came to nothing: each may be the whole cluster.
pub async fn remove_superseded(session: &Session<'_>, story: &Story) {
    let current = story.object.as_ref().map(|(object, _)| object);
    for object in story.objects.iter().filter(|object| Some(*object) != current) {
        if let Err(error) = unpublish(session, object).await {
            session.warn(format!("{object} may still be in the store: {error}"));
        }
    }
}

/// From whichever host can reach the store.
async fn unpublish(session: &Session<'_>, object: &str) -> Result<()> {
    let store = StoreAccess { url: object.into(), ..session.setup.config.store.clone() };
    let request = Request::Unpublish(ObjectAccess { store });
    let mut last = Error::Usage("there are no hosts".into());
    for host in &session.setup.hosts {
        let step = Step::new("unpublish", UNPUBLISH_LIMIT_SECONDS, request.clone());
        let step = step.unstoppable().patient().once_more(session.moment());
        match session.step(host, step, super::say::unpublished).await {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Whether snapshots are to be kept on their host.
pub fn keeps(story: Option<&Story>) -> bool {
    story.is_some_and(|story| story.keep)
}
