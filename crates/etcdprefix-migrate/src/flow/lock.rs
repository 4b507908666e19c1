//! The locks on the hosts: one migration of a cluster at a time, from wherever.

use std::sync::Arc;

use super::calls::{Step, unexpected};
use super::session::{Session, all};
use crate::error::{Error, NodeErrorKind, Result};
use crate::host::Host;
use crate::protocol::{NodeStatus, Request, Response};

const LOCK_LIMIT_SECONDS: u64 = 60;

/// Whether a host that can't be reached is waited for.
#[derive(Clone, Copy)]
pub enum Hurry {
    /// No: nothing has begun.
    Soon,
    /// Yes: hosts sleep.
    Patient,
}

/// Puts our binary on all hosts, and locks them. What it has locked before an error stays so.
///
/// # Errors
/// If a host can't be reached, another migration holds it, or it was fenced by another run.
pub async fn lock_all(
    session: &Session<'_>,
    hurry: Hurry,
) -> Result<Vec<(Arc<dyn Host>, NodeStatus)>> {
    let make = |_: &_| {
        let request = Request::Lock { owner: session.owner(), take_over: false };
        let step = Step::new("lock", LOCK_LIMIT_SECONDS, request).once_more(session.moment());
        match hurry {
            Hurry::Soon => step,
            Hurry::Patient => step.patient(),
        }
    };
    let answers = session.on_all(0, make, super::say::done).await;
    let is_unreached = |error: &Error| matches!(error, Error::Unreachable { .. } | Error::Cloud(_));
    let unreached =
        answers.iter().filter(|it| matches!(&it.outcome, Some(Err(error)) if is_unreached(error)));
    unreached.for_each(|answer| session.note_unreached(answer.host.name()));
    let locked = all(answers).and_then(|answers| {
        let statuses = answers.into_iter().map(|(host, response)| match response {
            Response::Status(status) => Ok((host, status)),
            _ => Err(unexpected(host.as_ref())),
        });
        statuses.collect::<Result<Vec<_>>>()
    });
    locked.and_then(|statuses| take_note_of_fences(session, &statuses).map(|()| statuses))
}

/// For a run that has put nothing to sleep.
pub async fn give_back(session: &Session<'_>) {
    for (_, error) in unlock_all(session, false).await {
        // What another run holds is not ours.
        if !matches!(&error, Error::Step { error, .. } if error.kind == NodeErrorKind::Locked) {
            session.warn(format!("a lock may still be there: {error}"));
        }
    }
}

fn take_note_of_fences(
    session: &Session<'_>,
    statuses: &[(Arc<dyn Host>, NodeStatus)],
) -> Result<()> {
    for (host, status) in statuses {
        let Some(fence) = &status.fence else { continue };
        let (host, run) = (host.name(), &fence.run);
        if run != session.run() {
            return Err(Error::HandedOut(format!(
                "{host}: run {run} has handed out a bundle: this control plane must not run again"
            )));
        }
        session.note_fenced(host);
    }
    Ok(())
}

/// Gives the locks back as far as the hosts can be reached; names those that could not, and why. A host
/// that could not be reached to be locked is not waited for.
pub async fn unlock_all(session: &Session<'_>, keep: bool) -> Vec<(String, Error)> {
    let working_dir = (!keep).then(|| session.setup.config.working_dir.clone());
    let make = |host: &Arc<dyn Host>| {
        let request = Request::Unlock { owner: session.owner(), working_dir: working_dir.clone() };
        let step = Step::new("unlock", LOCK_LIMIT_SECONDS, request);
        let step = step.once_more(session.moment()).unstoppable();
        if session.is_unreached(host.name()) { step } else { step.patient() }
    };
    // A new run that was stopped while it put the binary there holds nothing.
    let holds = |host: &&Arc<dyn Host>| !session.is_new() || host.was_used();
    let hosts = session.setup.hosts.iter().filter(holds).cloned().collect();
    let answers = session.on(hosts, usize::MAX, usize::MAX, make, super::say::done).await;
    let failed = answers.into_iter().filter_map(|answer| {
        let error = answer.outcome.and_then(Result::err)?;
        Some((answer.host.name().to_owned(), error))
    });
    failed.collect()
}
