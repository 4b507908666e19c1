//! How a hosted cluster is, and what it was.

use super::Setup;
use super::journal::{Journal, Phase, State};
use super::objects::{Objects, WRITERS, replicas};
use super::record::Record;
use super::results::{Status, WriterStatus};
use crate::error::Result;

/// Changes nothing.
pub async fn status(setup: &Setup) -> Result<Status> {
    let journal = Journal::look(&setup.folder)?;
    let objects = Objects::open(setup).await?;
    let hosted = objects.hosted().await?;
    let asleep = Record::of(&hosted)?;
    let open = journal.clone().filter(State::is_open);
    let mut writers = Vec::new();
    for name in WRITERS {
        let found = objects.deployment(name).await?;
        let known = asleep.as_ref().or(open.as_ref().map(|state| &state.record));
        let recorded = known.iter().flat_map(|record| &record.writers);
        let before = recorded.filter(|writer| writer.name == name).map(|it| it.replicas).next();
        let replicas = found.as_ref().map(replicas);
        writers.push(WriterStatus { name: name.into(), replicas, before });
    }
    let advice = advice(asleep.as_ref(), open.as_ref());
    Ok(Status {
        hosted_cluster: setup.name.to_string(),
        paused_until: hosted["spec"]["pausedUntil"].as_str().map(str::to_owned),
        asleep,
        writers,
        journal: journal.map(|state| state.phase),
        advice: advice.into(),
    })
}

fn advice(asleep: Option<&Record>, open: Option<&State>) -> &'static str {
    match (asleep, open) {
        (Some(record), _) if record.is_left() => {
            "it is asleep as asked for; `etcdprefix migrate hosted rollback` wakes it, its snapshot \
             stays in the store"
        }
        (Some(record), _) if record.made => {
            "its snapshot is made, but it is not awake; if nobody is at work on it, `etcdprefix \
             migrate hosted rollback` wakes it"
        }
        (Some(_), _) => {
            "if nobody is at work on it, `etcdprefix migrate hosted rollback` puts it back"
        }
        (None, Some(state)) if state.phase == Phase::Running => {
            "a run of here did not end, and its annotation is not there; `etcdprefix migrate hosted \
             rollback` puts back what is not as before, and closes it"
        }
        (None, Some(_)) => {
            "its annotation is gone: somebody has woken it, or lost it; `etcdprefix migrate hosted \
             rollback` puts back what is not as before"
        }
        (None, None) => "nothing: no run has it asleep",
    }
}
