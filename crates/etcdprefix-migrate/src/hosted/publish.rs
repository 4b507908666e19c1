//! The snapshot: saved, uploaded, and known to be the last word before anybody has its URL.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use etcdprefix_core::ChangePrefix;
use etcdprefix_etcd::save::{Saved, SharedProgress};
use etcdprefix_store::{Description, Source, UploadOptions, upload};

use super::look::Look;
use super::way::{Wanted, Watch};
use super::{RunOptions, Setup};
use crate::error::{Error, NodeError, NodeErrorKind, Result};
use crate::flow::PhaseTime;
use crate::node::reach;
use crate::node::snapshot::Stop;
use crate::protocol::{ObjectAccess, PresignRequest, Signed, StoreAccess};

/// Of the file that is uploaded, in our own folder.
const SUFFIX: &str = ".db";

/// A snapshot in the store.
pub struct Published {
    pub saved: Saved,
    pub revision: i64,
    /// Of the object.
    pub bytes: u64,
    pub sha256: String,
    pub rewritten: Option<u64>,
    pub phases: Vec<PhaseTime>,
    pub warnings: Vec<String>,
}

/// Saves and uploads. The file goes whatever comes of it.
pub async fn publish(
    setup: &Setup,
    options: &RunOptions,
    look: &Look<'_>,
    watch: &dyn Watch,
    step: impl Fn(&str) -> Result<()>,
) -> Result<Published> {
    let file = Snapshot::new(setup, &look.record.run);
    let progress: SharedProgress = Arc::new(Stop(Arc::clone(&setup.interrupted)));
    step("save")?;
    let start = Instant::now();
    let change = options.prefixes.clone().map(|(src_prefix, dest_prefix)| ChangePrefix {
        src_prefix,
        dest_prefix,
        ..ChangePrefix::default()
    });
    let wanted = Wanted { target: &file.0, change, progress: progress.clone() };
    let saved = look.way.save(wanted).await?;
    let revision = saved.revision.unwrap_or_default();
    let mut phases = vec![phase("save and check", start)];
    let mut warnings = saved.warnings.clone();
    // A file that somebody wrote beside is not worth an upload.
    warnings.extend(watch.unwritten_since(revision).await?);
    step("upload")?;
    let start = Instant::now();
    let sha256 = saved.change_prefix.as_ref().and_then(|it| it.sha256.clone());
    let sha256 = sha256.unwrap_or_else(|| saved.sha256.clone());
    let description = Description {
        cluster_id: Some(setup.name.name.clone()),
        revision: Some(revision),
        status_hash: saved
            .change_prefix
            .as_ref()
            .map_or(saved.status_hash.clone(), |outcome| outcome.status_hash_after.clone()),
        sha256: Some(sha256.clone()),
        etcd_version: Some(saved.etcd_version.clone()).filter(|version| !version.is_empty()),
        prefix: options.prefixes.as_ref().map(|(_, dest)| dest.clone()),
        encryption: None,
    };
    let bytes = send(setup, &look.record.object, &file.0, description, progress).await?;
    phases.push(phase("upload", start));
    let rewritten = saved.change_prefix.as_ref().map(|outcome| outcome.census.matched);
    Ok(Published { saved, revision, bytes, sha256, rewritten, phases, warnings })
}

/// How long it took until now.
pub fn phase(name: &str, start: Instant) -> PhaseTime {
    PhaseTime { name: name.into(), seconds: start.elapsed().as_secs_f64() }
}

async fn send(
    setup: &Setup,
    object: &StoreAccess,
    file: &Path,
    description: Description,
    progress: SharedProgress,
) -> Result<u64> {
    let (store, location) = reach::store(object, &setup.environment).map_err(failed)?;
    let failed = |error: etcdprefix_store::Error| failed(error.into());
    let source = Source::open(file).map_err(failed)?;
    let metadata = description.metadata().map_err(failed)?;
    let options = UploadOptions { metadata, if_absent: false, ..UploadOptions::default() };
    let sent = upload(&store, &source, &location.key, &options, progress).await;
    Ok(sent.map_err(failed)?.bytes)
}

/// A URL that was tried.
pub async fn presign(setup: &Setup, options: &RunOptions, object: &StoreAccess) -> Result<Signed> {
    let object = ObjectAccess { store: object.clone() };
    let request = PresignRequest { object, presign_seconds: options.presign_seconds };
    let environment = setup.environment.clone();
    beside(move || crate::node::bundle::presign(&request, &environment)).await
}

/// Makes the object and its URLs dead; how it was done.
pub async fn unpublish(setup: &Setup, object: &StoreAccess) -> Result<String> {
    let request = ObjectAccess { store: object.clone() };
    let environment = setup.environment.clone();
    beside(move || crate::node::bundle::unpublish(&request, &environment)).await
}

/// Steps of hosts wait on a runtime of their own, which can't be had within ours.
async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, NodeError> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(failed),
        Err(error) => Err(Error::Engine(format!("a thread ended: {error}"))),
    }
}

fn failed(error: NodeError) -> Error {
    match error.kind {
        NodeErrorKind::Interrupted => Error::Interrupted,
        _ => Error::Step { host: "the store".into(), error },
    }
}

/// A file that goes when it is dropped.
struct Snapshot(PathBuf);

impl Snapshot {
    fn new(setup: &Setup, run: &str) -> Self {
        Self(setup.folder.join(format!("{run}{SUFFIX}")))
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        // What is not there needs no removing, and what can't be removed is no reason to fail now.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What a killed run has left goes with the next: it is the whole cluster. Other names are not ours.
pub fn remove_left(folder: &Path, run: &str) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter(|entry| entry.file_name().to_string_lossy().contains(run));
    for file in names.map(|entry| entry.path()) {
        let _ = std::fs::remove_file(file);
    }
}
