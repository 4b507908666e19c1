//! What comes beside and after a run: looking, signing again, closing.

use std::path::PathBuf;

use zeroize::Zeroizing;

use super::calls::{Step, unexpected};
use super::lock::unlock_all;
use super::session::Session;
use super::undo::{GO_ON_BACK, keeps, remove_superseded, same_hosts};
use super::{Finished, HostReport, Phase, Presigned, Setup, Status};
use crate::bundle::Bundle;
use crate::error::{Error, Result};
use crate::journal::{Journal, Mark, Story, write_private};
use crate::protocol::{NodeStatus, ObjectAccess, PresignRequest, Request, Response, StoreAccess};

const STATUS_LIMIT_SECONDS: u64 = 30;
const PRESIGN_LIMIT_SECONDS: u64 = 60;

pub async fn status(setup: &Setup) -> Result<Status> {
    let story = Journal::look(&setup.folder)?;
    let hosts = setup.hosts.iter().map(|host| async move {
        let request = Request::Status;
        let asked = super::calls::ask_once(setup, host.as_ref(), STATUS_LIMIT_SECONDS, request);
        let (status, error) = match asked.await {
            Ok(Response::Status(status)) => (Some(status), None),
            Ok(_) => (None, Some(unexpected(host.as_ref()).to_string())),
            Err(error) => (None, Some(error.to_string())),
        };
        HostReport { host: host.name().into(), status, error }
    });
    let hosts = futures_util::future::join_all(hosts).await;
    let phase = story.as_ref().map_or(Phase::None, |story| story.phase);
    Ok(Status {
        phase,
        run: story.as_ref().map(|story| story.run.clone()),
        last: story.as_ref().map(|story| story.last.clone()),
        object: story.as_ref().and_then(|story| story.object.clone()).map(|(object, _)| object),
        advice: advice(story.as_ref(), &hosts, Journal::is_open(&setup.folder)),
        hosts,
    })
}

fn advice(story: Option<&Story>, hosts: &[HostReport], running: bool) -> String {
    let phase = story.map_or(Phase::None, |story| story.phase);
    if running {
        return "nothing: another process is at work on it".into();
    }
    let any = |seen: fn(&NodeStatus) -> bool| {
        hosts.iter().filter_map(|host| host.status.as_ref()).any(seen)
    };
    let text = match phase {
        Phase::Running if story.is_some_and(|story| story.rolling_back) => {
            match story.is_some_and(|story| others_hold(story, hosts)) {
                true => "migrate rollback --take-over, if the other run that holds a host is dead",
                false => "migrate rollback",
            }
        }
        Phase::Running => "migrate resume to go on, or migrate rollback to wake all hosts",
        Phase::HandedOut if story.is_some_and(|story| story.rolling_back) => {
            "migrate rollback --managed-side-never-started"
        }
        Phase::HandedOut if story.is_some_and(|story| story.handed_out.is_none()) => {
            "migrate resume, to hand out the bundle"
        }
        Phase::HandedOut => {
            "migrate aftercare until the managed side answers, then migrate finish; migrate presign \
             for a new URL"
        }
        Phase::Finished => "nothing: the managed side has the cluster",
        Phase::None | Phase::RolledBack if any(|status| status.fence.is_some()) => {
            "nothing from here: a bundle was handed out, by another machine or in another --folder"
        }
        Phase::None | Phase::RolledBack if any(|status| status.asleep.is_some()) => {
            "migrate rollback --take-over: hosts are asleep, put to sleep from elsewhere"
        }
        Phase::None | Phase::RolledBack if any(|status| status.lock.is_some()) => {
            "to wait for the migration that holds a host; migrate rollback --take-over if it is dead"
        }
        Phase::None | Phase::RolledBack => "migrate rehearse, then migrate run",
    };
    text.into()
}

fn others_hold(story: &Story, hosts: &[HostReport]) -> bool {
    let mut locks = hosts.iter().filter_map(|host| host.status.as_ref()?.lock.as_ref());
    locks.any(|lock| lock.owner.run != story.run)
}

pub async fn finish(setup: &Setup) -> Result<Finished> {
    let journal = Journal::open_existing(&setup.folder)?;
    let story = journal.story();
    same_hosts(setup, story.as_ref())?;
    let Some(story) = story.filter(|story| story.handed_out.is_some()) else {
        return Err(Error::Usage("no bundle was handed out: there is nothing to finish".into()));
    };
    let session = Session::new(setup, &journal, Some(&story.run));
    match story.phase {
        // Some of its hosts may be awake already.
        Phase::HandedOut if story.rolling_back => {
            let run = &story.run;
            return Err(Error::Usage(format!("run {run} was being rolled back; {GO_ON_BACK}")));
        }
        Phase::HandedOut => {}
        Phase::RolledBack => {
            return Err(Error::Usage(format!("run {} was rolled back", story.run)));
        }
        _ => return Ok(Finished { run: story.run, silent: Vec::new() }),
    }
    remove_superseded(&session, &story).await;
    let silent = unlock_all(&session, keeps(Some(&story))).await;
    let silent = silent.into_iter().map(|(host, _)| host).collect();
    session.mark(Mark::Finished)?;
    Ok(Finished { run: story.run, silent })
}

pub async fn presign(setup: &Setup) -> Result<Presigned> {
    let journal = Journal::open_existing(&setup.folder)?;
    // Before that nobody may have a URL: the hosts may wake at any moment.
    let story = journal.story().filter(|story| {
        story.phase == Phase::HandedOut && story.handed_out.is_some() && !story.rolling_back
    });
    let none = || Error::Usage("no bundle is handed out: there is nothing to sign".into());
    let story = story.ok_or_else(none)?;
    let (object, name) = story.object.clone().ok_or_else(none)?;
    let host = setup.host(&name).ok_or_else(none)?;
    let session = Session::new(setup, &journal, Some(&story.run));
    session.set_attempt(story.attempt);
    let store = StoreAccess { url: object.clone(), ..setup.config.store.clone() };
    let presign_seconds = setup.config.presign_seconds;
    let request = PresignRequest { object: ObjectAccess { store }, presign_seconds };
    let step = Step::new("presign", PRESIGN_LIMIT_SECONDS, Request::Presign(request));
    let step = step.once_more(session.moment());
    let response = session.step(host, step, super::say::done).await?;
    let Response::Presigned(signed) = response else { return Err(unexpected(host.as_ref())) };
    signed.warnings.iter().for_each(|text| session.warn(text.clone()));
    let bundle_file = renew_bundle(&story, &signed.url)?;
    Ok(Presigned { object, url: signed.url, ends_ms: signed.ends_ms, bundle_file })
}

/// The new URL in the bundle's file, if that is there and in clear.
fn renew_bundle(story: &Story, url: &crate::bundle::Sensitive) -> Result<Option<PathBuf>> {
    let Some((file, _)) = &story.handed_out else { return Ok(None) };
    let path = PathBuf::from(file);
    let Ok(text) = std::fs::read(&path).map(Zeroizing::new) else { return Ok(None) };
    let Ok(bundle) = serde_json::from_slice::<Bundle>(&text) else { return Ok(None) };
    let bundle = Bundle { oss_url: url.clone(), ..bundle };
    let mut json = bundle.to_json();
    json.push('\n');
    write_private(&path, json.as_bytes())?;
    Ok(Some(path))
}
