//! Save, rewrite, verify, upload, with a watch beside it that sees whether anybody writes.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use etcdprefix_core::progress::Progress;
use etcdprefix_core::{ChangePrefix, Outcome};
use etcdprefix_etcd::hashkv::HashOptions;
use etcdprefix_etcd::members::Survey;
use etcdprefix_etcd::save::{Change, SaveOptions, Saved, save};
use etcdprefix_etcd::{Dialer, Endpoint, QuietReport, QuietWatch};
use etcdprefix_store::{
    Cause, Description, ObjectLocation, PresignOptions, SharedProgress, Source, Store,
    UploadOptions, delete, presign, upload,
};

use super::reach;
use crate::error::{NodeError, NodeErrorKind};
use crate::protocol::{SnapshotRequest, Snapshotted};

/// For the watch to have seen all that was written until it is asked.
pub const CATCH_UP: Duration = Duration::from_secs(30);
/// The longest time without any byte of the snapshot.
const IDLE: Duration = Duration::from_secs(30);
/// How many times the stream may break.
const RETRIES: u32 = 2;
/// A rehearsal's object: enough to tell how fast the store takes it.
const PROBE_BYTES: u64 = 8 << 20;

/// Stops soon after the flag is set.
pub struct Stop(pub Arc<AtomicBool>);

impl Progress for Stop {
    fn interrupted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Does it. Files are removed whatever comes of it, unless they are to be kept.
///
/// # Errors
/// What etcd, the rewrite or the store refuse; [`NodeErrorKind::NotLeader`], [`NodeErrorKind::Written`].
pub fn run(
    request: &SnapshotRequest,
    environment: &BTreeMap<String, String>,
    interrupted: &Arc<AtomicBool>,
) -> Result<Snapshotted, NodeError> {
    let files = Files::new(request)?;
    let (dialer, endpoints) = reach::etcd(&request.etcd)?;
    let (store, location) = reach::store(&request.store, environment)?;
    let progress: SharedProgress = Arc::new(Stop(Arc::clone(interrupted)));
    let work = Work { request, files: &files, dialer, endpoints, store, location, progress };
    reach::wait(async {
        match request.rehearsal {
            true => work.rehearse().await,
            false => work.run().await,
        }
    })
}

struct Work<'a> {
    request: &'a SnapshotRequest,
    files: &'a Files,
    dialer: Dialer,
    endpoints: Vec<Endpoint>,
    store: Store,
    location: ObjectLocation,
    progress: SharedProgress,
}

impl Work<'_> {
    /// With the control plane asleep.
    async fn run(&self) -> Result<Snapshotted, NodeError> {
        let watch = QuietWatch::start(&self.dialer, &self.endpoints).await?;
        self.require_leader().await?;
        let (saved, outcome) = self.save().await?;
        let start = Instant::now();
        let uploaded = self.upload(&saved, &outcome, &watch).await?;
        let uploading = start.elapsed().as_secs_f64();
        let seen = watch.caught_up(CATCH_UP).await?;
        let mut made = self.made(&saved, &outcome, uploaded);
        made.phases.push(("upload".into(), uploading));
        unwritten(&seen, made.revision)?;
        made.warnings.extend(late_writers(&seen));
        made.quiet_until = seen.complete_revision;
        made.quiet = serde_json::to_value(&seen).ok();
        Ok(made)
    }

    /// A file that somebody wrote beside is not worth an upload.
    async fn upload(
        &self,
        saved: &Saved,
        outcome: &Outcome,
        watch: &QuietWatch,
    ) -> Result<u64, NodeError> {
        unwritten(&watch.caught_up(CATCH_UP).await?, saved.revision.unwrap_or_default())?;
        let source = Source::open(&self.files.rewritten)?;
        let options = UploadOptions {
            metadata: self.description(saved, outcome).metadata()?,
            // What is there under this name was uploaded by this step, before its host broke down.
            if_absent: false,
            ..UploadOptions::default()
        };
        let sent =
            upload(&self.store, &source, &self.location.key, &options, self.progress.clone());
        Ok(sent.await?.bytes)
    }

    fn description(&self, saved: &Saved, outcome: &Outcome) -> Description {
        Description {
            cluster_id: Some(self.request.owner.cluster.to_string()),
            revision: saved.revision,
            status_hash: outcome.status_hash_after.clone(),
            sha256: outcome.sha256.clone(),
            etcd_version: Some(saved.etcd_version.clone()).filter(|version| !version.is_empty()),
            prefix: Some(self.request.owner.cluster.dest_prefix()),
            encryption: None,
        }
    }

    /// With the cluster up: all the same, but a probe in the snapshot's place.
    async fn rehearse(&self) -> Result<Snapshotted, NodeError> {
        let (saved, outcome) = self.save().await?;
        let (seconds_a_byte, warning) = self.probe().await?;
        let mut made = self.made(&saved, &outcome, outcome.bytes_out);
        let uploading = seconds_a_byte * outcome.bytes_out as f64;
        made.phases.push(("upload (predicted)".into(), uploading));
        made.warnings.extend(warning);
        Ok(made)
    }

    async fn require_leader(&self) -> Result<(), NodeError> {
        if !self.request.require_leader {
            return Ok(());
        }
        let survey = Survey::take(&self.dialer, &self.endpoints).await?;
        if survey.statuses().any(|status| status.is_leader() && !status.is_learner) {
            return Ok(());
        }
        let message = "the leader of etcd is on another host now";
        Err(NodeError::new(NodeErrorKind::NotLeader, message))
    }

    async fn save(&self) -> Result<(Saved, Outcome), NodeError> {
        let request = self.request;
        let options = ChangePrefix {
            src_prefix: request.src_prefix.clone(),
            dest_prefix: request.owner.cluster.dest_prefix(),
            allow_undecryptable: request.allow_undecryptable,
            target_quota_bytes: request.target_quota_bytes,
            ..ChangePrefix::default()
        };
        let options = SaveOptions {
            target: self.files.rewritten.clone(),
            from: None,
            retries: RETRIES,
            idle_timeout: IDLE,
            total_timeout: None,
            check: true,
            verify_members: true,
            hash_timeout: HashOptions::default().timeout,
            change: Some(Change { options, keep: self.files.kept_saved() }),
            threads: etcdprefix_core::options::default_threads(),
        };
        let saved = save(&self.dialer, &self.endpoints, &options, self.progress.clone()).await?;
        let none = || NodeError::new(NodeErrorKind::Failed, "nothing was rewritten");
        let outcome = saved.change_prefix.clone().ok_or_else(none)?;
        Ok((saved, outcome))
    }

    fn made(&self, saved: &Saved, outcome: &Outcome, bytes: u64) -> Snapshotted {
        let rewriting: f64 = outcome.phases.iter().map(|phase| phase.seconds).sum();
        let saving = (saved.seconds - rewriting).max(0.0);
        let revision = saved.revision.unwrap_or_default();
        Snapshotted {
            object: self.location.to_string(),
            bytes,
            sha256: outcome.sha256.clone().unwrap_or_default(),
            revision,
            matched: outcome.census.matched,
            unmatched: outcome.census.unmatched,
            member: saved.member.title(),
            chosen: saved.chosen.clone(),
            hashkv: saved.hashkv.map(|proved| proved.hash),
            quiet_until: revision,
            quiet: None,
            phases: vec![
                ("save and check".into(), saving),
                ("rewrite and verify".into(), rewriting),
            ],
            kept: self.files.kept(),
            warnings: saved.warnings.iter().chain(&outcome.warnings).cloned().collect(),
        }
    }

    /// Uploads, signs and fetches an object of zeros, and removes it; tells the time a byte takes.
    async fn probe(&self) -> Result<(f64, Option<String>), NodeError> {
        let mut zeros = tempfile::NamedTempFile::new_in(&self.files.folder)
            .map_err(NodeError::io("write in", &self.files.folder))?;
        let written = zeros.write_all(&vec![0; PROBE_BYTES as usize]);
        written.map_err(NodeError::io("write", zeros.path()))?;
        let name = format!("etcdprefix-rehearsal-{}", self.request.owner.run);
        let location = below(&self.location, &name)?;
        let source = Source::open(zeros.path())?;
        let (options, start) = (UploadOptions::default(), Instant::now());
        let sent = upload(&self.store, &source, &location.key, &options, self.progress.clone());
        sent.await?;
        let seconds_a_byte = start.elapsed().as_secs_f64() / PROBE_BYTES as f64;
        let lifetime = Some(Duration::from_secs(self.request.presign_seconds));
        let options = PresignOptions { lifetime, shorter_ok: false, probe: true };
        let signed = presign(&self.store, &location.key, &options).await;
        let left = match delete(&self.store, &location.key).await {
            Err(error) if error.cause() == Some(&Cause::Denied) => Some(location.to_string()),
            removed => removed.map(|()| None)?,
        };
        signed?;
        Ok((seconds_a_byte, left.map(|object| format!("{object} had to be left: no DeleteObject"))))
    }
}

fn below(location: &ObjectLocation, name: &str) -> Result<ObjectLocation, NodeError> {
    let prefix = location.key.trim_end_matches('/');
    let key = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
    Ok(location.with_key(&key)?)
}

/// That nothing after the snapshot's revision was written by anybody.
pub fn unwritten(seen: &QuietReport, revision: i64) -> Result<(), NodeError> {
    if !seen.may_have_writes_after(revision) {
        return Ok(());
    }
    let keys: Vec<&str> = seen.keys.iter().take(3).map(|writes| writes.key.as_str()).collect();
    let who = match (&seen.gap, keys.is_empty()) {
        (Some(gap), _) => format!("not all could be seen: {gap}"),
        (None, false) => format!("to {}", keys.join(", ")),
        (None, true) => "to keys that are not known".into(),
    };
    let message = format!("somebody wrote after revision {revision} of the snapshot: {who}");
    let hint = "what else writes to etcd: an API server outside of these hosts, or a controller";
    Err(NodeError::new(NodeErrorKind::Written, message).try_(hint))
}

/// Writes that are in the snapshot, but came when nobody should write any more.
fn late_writers(seen: &QuietReport) -> Option<String> {
    let first = seen.first_write_revision?;
    let keys: Vec<&str> = seen.keys.iter().take(3).map(|writes| writes.key.as_str()).collect();
    Some(format!(
        "somebody wrote after the last API server was gone, at revision {first} ({}); it is in the \
         snapshot",
        keys.join(", ")
    ))
}

/// Removes what a run whose step was killed has left in its working folder; what has no name yet goes
/// with its process.
pub fn remove_leftovers(folder: &Path, run: &str) {
    let Ok(files) = std::fs::read_dir(folder) else { return };
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with(&format!("{run}.")) && name.ends_with(".db")
    };
    let ours = files.flatten().map(|file| file.path()).filter(is_ours);
    ours.for_each(|file| remove(&[&file]));
}

fn remove(files: &[&Path]) {
    for file in files {
        // What is not there needs no removing, and what can't be removed is no reason to fail now.
        let _ = std::fs::remove_file(file);
    }
}

/// The working folder and what lies in it.
struct Files {
    folder: PathBuf,
    rewritten: PathBuf,
    saved: PathBuf,
    keep: bool,
}

impl Files {
    /// Leftovers of this run, after a breakdown of the host, are removed first.
    fn new(request: &SnapshotRequest) -> Result<Self, NodeError> {
        let folder = request.working_dir.clone();
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(NodeError::io("make", &folder))?;
        let object = request.store.url.rsplit('/').next().unwrap_or_default();
        let name = |what: &str| folder.join(format!("{}.{object}.{what}.db", request.owner.run));
        let files =
            Self { rewritten: name("rewritten"), saved: name("saved"), keep: request.keep, folder };
        if !request.keep {
            remove_leftovers(&files.folder, &request.owner.run);
        }
        files.remove();
        Ok(files)
    }

    fn kept_saved(&self) -> Option<PathBuf> {
        self.keep.then(|| self.saved.clone())
    }

    fn kept(&self) -> Vec<PathBuf> {
        let files = [&self.saved, &self.rewritten].into_iter().filter(|_| self.keep);
        files.filter(|file| file.exists()).cloned().collect()
    }

    fn remove(&self) {
        remove(&[&self.rewritten, &self.saved]);
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        if !self.keep {
            self.remove();
        }
    }
}
