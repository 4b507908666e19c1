//! Nobody writes any more: reconciliation paused, writers at zero.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::Setup;
use super::look::held;
use super::objects::{Objects, WRITERS, meta, replicas};
use super::record::{ANNOTATION, Record, Writer};
use crate::error::{Error, NodeError, NodeErrorKind, Result};
use crate::kubernetes::Patched;

/// What others change at the same time, statuses mostly, is tried again.
const TRIES: u32 = 10;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// As the operator takes it.
pub const PAUSED: &str = "true";

/// Records what was in the annotation and pauses, in one change: either both are there or none.
pub async fn pause(objects: &Objects<'_>, hosted: &Value, record: &Record) -> Result<()> {
    let mut hosted = hosted.clone();
    for _ in 0..TRIES {
        let change = json!({
            "metadata": {
                "resourceVersion": meta(&hosted, "resourceVersion"),
                "annotations": {ANNOTATION: record.annotation()},
            },
            "spec": {"pausedUntil": PAUSED},
        });
        match objects.patch_hosted(&change).await? {
            Patched::Done(_) => return Ok(()),
            Patched::Missing => return Err(Error::NotFit("the HostedCluster is gone".into())),
            Patched::Changed => hosted = objects.hosted().await?,
        }
        if let Some(other) = Record::of(&hosted)? {
            return Err(held(&other));
        }
        if hosted["spec"]["pausedUntil"].as_str() != record.paused_until.as_deref() {
            return Err(changed("spec.pausedUntil of the HostedCluster"));
        }
    }
    Err(changed("the HostedCluster"))
}

/// Until the operator has passed this on: what was before the pause, or what an earlier run left would be taken
/// for an answer to ours; [`PAUSED`] after it, for before that it would scale writers up again.
pub async fn heeded(
    setup: &Setup,
    objects: &Objects<'_>,
    paused_until: Option<&str>,
    limit: Duration,
) -> Result<()> {
    let start = Instant::now();
    loop {
        setup.go_on()?;
        let passed_on = match objects.control_plane().await {
            Ok(None) => return Err(changed("the HostedControlPlane: it is gone")),
            Ok(Some(plane)) => Ok(plane["spec"]["pausedUntil"].as_str() == paused_until),
            Err(error) => Err(error),
        };
        match passed_on {
            Ok(true) => return Ok(()),
            Err(error) if start.elapsed() >= limit => return Err(error),
            Ok(false) if start.elapsed() >= limit => {
                let (value, seconds) = (paused_until.unwrap_or("absent"), limit.as_secs());
                return Err(still(
                    setup,
                    format!(
                        "pausedUntil of the HostedControlPlane is not {value} as the \
                         HostedCluster's after {seconds} s: the operator does not pass it on"
                    ),
                ));
            }
            _ => sleep(PAUSE).await,
        }
    }
}

/// Scales to zero what is not.
pub async fn stop(setup: &Setup, objects: &Objects<'_>, record: &Record) -> Result<()> {
    for writer in record.writers.iter().filter(|writer| writer.replicas > 0) {
        setup.go_on()?;
        zero(objects, writer).await?;
    }
    Ok(())
}

async fn zero(objects: &Objects<'_>, writer: &Writer) -> Result<()> {
    for _ in 0..TRIES {
        let Some(found) = objects.deployment(&writer.name).await? else {
            return Err(changed(&writer.name));
        };
        if meta(&found, "uid") != writer.uid || replicas(&found) != writer.replicas {
            return Err(changed(&format!("the scale of {}", writer.name)));
        }
        match objects.scale(&writer.name, meta(&found, "resourceVersion"), 0).await? {
            Patched::Done(_) => return Ok(()),
            Patched::Missing => return Err(changed(&writer.name)),
            Patched::Changed => {}
        }
    }
    Err(changed(&writer.name))
}

/// What the operator needs until kube-apiserver serves again is part of the outage: waited for within the limit.
/// What to tell if it does not.
pub async fn serving(setup: &Setup, record: &Record) -> Option<String> {
    record.writers.iter().find(|it| it.name == WRITERS[0] && it.replicas > 0)?;
    let start = Instant::now();
    loop {
        if let Ok(objects) = Objects::open(setup).await
            && let Ok(Some(found)) = objects.deployment(WRITERS[0]).await
            && found["status"]["readyReplicas"].as_i64().unwrap_or_default() > 0
        {
            return None;
        }
        if start.elapsed() >= setup.put_back_limit {
            let seconds = setup.put_back_limit.as_secs();
            return Some(format!(
                "kube-apiserver has its replicas again, but none is ready after {seconds} s"
            ));
        }
        sleep(PAUSE).await;
    }
}

/// Until neither status nor pods show any of them.
pub async fn stopped(
    setup: &Setup,
    objects: &Objects<'_>,
    record: &Record,
    limit: Duration,
) -> Result<()> {
    let start = Instant::now();
    loop {
        setup.go_on()?;
        let left = match left(objects, record).await {
            Ok(None) => return Ok(()),
            Ok(Some(left)) => left,
            Err(Error::Kubernetes(why)) => why,
            Err(error) => return Err(error),
        };
        if start.elapsed() >= limit {
            let seconds = limit.as_secs();
            return Err(still(
                setup,
                format!("not all writers are gone after {seconds} s: {left}"),
            ));
        }
        sleep(PAUSE).await;
    }
}

/// Who is still there.
async fn left(objects: &Objects<'_>, record: &Record) -> Result<Option<String>> {
    for writer in &record.writers {
        let found = objects.deployment(&writer.name).await?;
        let found = found.filter(|found| meta(found, "uid") == writer.uid);
        let Some(found) = found else { return Err(changed(&writer.name)) };
        if replicas(&found) != 0 {
            return Err(changed(&format!("the scale of {}", writer.name)));
        }
        let status = &found["status"];
        let seen = status["observedGeneration"].as_i64().unwrap_or_default();
        let is_seen = seen >= found["metadata"]["generation"].as_i64().unwrap_or_default();
        let count = status["replicas"].as_i64().unwrap_or_default();
        // One that never ran has no status.
        if (!is_seen && writer.replicas > 0) || count > 0 {
            return Ok(Some(format!("{} has {count} replicas", writer.name)));
        }
        let pods = objects.pods(&found).await?;
        if let Some(pod) = pods.first() {
            return Ok(Some(format!("the pod {pod} of {}", writer.name)));
        }
    }
    Ok(None)
}

/// That everything is still as this run has made it.
///
/// # Errors
/// [`Error::Written`]: somebody could have written.
pub async fn still_asleep(objects: &Objects<'_>, record: &Record) -> Result<()> {
    let meddled =
        |what: &str| Err(Error::Written(format!("somebody has changed {what} meanwhile")));
    let hosted = objects.hosted().await?;
    if Record::of(&hosted)?.is_none_or(|found| found.run != record.run) {
        return meddled("the annotation of the HostedCluster");
    }
    if hosted["spec"]["pausedUntil"] != PAUSED {
        return meddled("spec.pausedUntil of the HostedCluster");
    }
    if meta(&hosted, "uid") != record.uid {
        return meddled("the HostedCluster: it is another one");
    }
    let plane = objects.control_plane().await?;
    if plane.is_none_or(|plane| plane["spec"]["pausedUntil"] != PAUSED) {
        return meddled("spec.pausedUntil of the HostedControlPlane");
    }
    for name in WRITERS {
        let found = objects.deployment(name).await?;
        let before = record.writers.iter().find(|writer| writer.name == name);
        let uid = found.as_ref().map(|found| meta(found, "uid"));
        if before.map(|writer| writer.uid.as_str()) != uid {
            return meddled(name);
        }
        if found.is_some_and(|found| replicas(&found) != 0) {
            return meddled(&format!("the scale of {name}"));
        }
    }
    Ok(())
}

fn changed(what: &str) -> Error {
    Error::NotFit(format!("somebody has just changed {what}; try: again when nobody does"))
}

fn still(setup: &Setup, message: String) -> Error {
    let hint = format!(
        "kubectl -n {} get pods, to see what keeps them, then again; --stop-limit for more time",
        setup.control_plane
    );
    let error = NodeError::new(NodeErrorKind::StillRunning, message).try_(hint);
    Error::Step { host: setup.control_plane.clone(), error }
}
