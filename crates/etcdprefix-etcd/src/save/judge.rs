//! What is done with a whole file before it gets its name.

use std::path::PathBuf;
use std::sync::Arc;

use etcdprefix_core::progress::Phase;
use etcdprefix_core::read::{ReadMode, Snapshot};
use etcdprefix_core::save::disk::RealDisk;
use etcdprefix_core::save::receive::Received;
use etcdprefix_core::verify::findings::Level;
use etcdprefix_core::verify::{Depth, HashKvAt, check, hash_kv_at, status, status_hash};
use etcdprefix_core::{ChangePrefix, Error as CoreError, Outcome, Target, change_prefix_of};

use crate::client::{Connection, Dialer};
use crate::endpoint::Endpoint;
use crate::error::{Error, Result};
use crate::hashkv::ask_one;
use crate::save::{Change, ProvedHashKv, SaveOptions, SharedProgress, unless_interrupted};

/// What was found out about the file, and where it is now.
pub struct Judged {
    pub file: Option<PathBuf>,
    pub facts: Facts,
    pub hashkv: Option<ProvedHashKv>,
    pub outcome: Option<Outcome>,
}

/// What the file says.
#[derive(Default)]
pub struct Facts {
    pub status_hash: Option<u32>,
    pub revision: Option<i64>,
    pub warnings: Vec<String>,
}

/// Checks, proves, rewrites and publishes, as the options want it.
pub async fn judge(
    received: Received,
    dialer: &Dialer,
    connection: &Connection,
    options: &SaveOptions,
    progress: &SharedProgress,
) -> Result<Judged> {
    let file = File { received, options: options.clone(), progress: progress.clone() };
    let endpoint = connection.endpoint().clone();
    let (file, mut facts) = blocking(move || file.read(&endpoint)).await?;
    let (file, hashkv) = if options.verify_members {
        let (file, hashkv) = file.prove(dialer, connection, facts.revision).await?;
        (file, Some(hashkv))
    } else {
        (file, None)
    };
    let (path, outcome, warnings) = blocking(move || file.publish()).await?;
    facts.warnings.extend(warnings);
    Ok(Judged { file: path, facts, hashkv, outcome })
}

/// A received file and what is to become of it.
struct File {
    received: Received,
    options: SaveOptions,
    progress: SharedProgress,
}

impl File {
    fn snapshot(&self) -> Result<Snapshot> {
        Ok(self.received.snapshot(ReadMode::Map)?)
    }

    /// Reads all of it, checking it if it is to be.
    fn read(self, endpoint: &Endpoint) -> Result<(Self, Facts)> {
        let facts = if self.options.check { self.check(endpoint)? } else { self.look() };
        // Looking at a file turns an interruption into a warning like any other.
        if self.progress.interrupted() {
            return Err(Error::Interrupted);
        }
        Ok((self, facts))
    }

    fn check(&self, endpoint: &Endpoint) -> Result<Facts> {
        let (snapshot, threads) = (self.snapshot()?, self.options.threads);
        let progress = self.progress.as_ref();
        progress.begin(Phase::Read, snapshot.pages_bytes().saturating_mul(2));
        let report = check(&snapshot, Depth::Records, threads, progress)?;
        let errors = report.findings.total_of(Level::Error);
        let texts = report.findings.kept.iter().map(ToString::to_string);
        if errors > 0 {
            let first = texts.take(1).collect();
            return Err(Error::Unsound { endpoint: endpoint.clone(), errors, first });
        }
        let warnings = texts.map(|text| format!("the snapshot: {text}")).collect();
        let revision = report.records.map(|records| records.revision);
        let status_hash = Some(status_hash(&snapshot, threads, progress)?);
        Ok(Facts { status_hash, revision, warnings })
    }

    /// What can be told of a file that nobody wants checked, damaged or not.
    fn look(&self) -> Facts {
        let looked = self.snapshot().and_then(|snapshot| {
            let progress = self.progress.as_ref();
            progress.begin(Phase::Read, snapshot.pages_bytes().saturating_mul(2));
            Ok(status(&snapshot, self.options.threads, progress)?)
        });
        match looked {
            Ok(status) => Facts {
                status_hash: Some(status.hash),
                revision: Some(status.revision),
                warnings: vec![],
            },
            Err(error) => {
                Facts { warnings: vec![format!("the snapshot: {error}")], ..Facts::default() }
            }
        }
    }

    /// Compares HashKV with the member's. If that has compacted since, ours is computed as if the file
    /// were, too.
    async fn prove(
        self,
        dialer: &Dialer,
        connection: &Connection,
        revision: Option<i64>,
    ) -> Result<(Self, ProvedHashKv)> {
        let endpoint = connection.endpoint().clone();
        let unreadable = "the snapshot's revision can't be read, so HashKV can't be compared";
        // A store without records is at revision 1.
        let revision = revision.ok_or_else(|| Error::Differs(unreadable.into()))?.max(1);
        let asked = async {
            let asked = ask_one(dialer, connection, revision, self.options.hash_timeout).await;
            asked.map_err(|failure| failure.at(&endpoint))
        };
        let (hash, compact_revision) = unless_interrupted(self.progress.as_ref(), asked).await?;
        let proved = ProvedHashKv { hash, revision, compact_revision };
        blocking(move || self.compare(&endpoint, proved)).await
    }

    fn compare(self, endpoint: &Endpoint, theirs: ProvedHashKv) -> Result<(Self, ProvedHashKv)> {
        let (snapshot, threads) = (self.snapshot()?, self.options.threads);
        let at = HashKvAt { revision: theirs.revision, compacted: Some(theirs.compact_revision) };
        let ours = hash_kv_at(&snapshot, at, threads, self.progress.as_ref());
        let ours = ours.map_err(|error| match error {
            CoreError::NoSuchRevision { .. } => Error::Differs(format!(
                "{endpoint} says that it has compacted up to {}, which the saved file contradicts",
                theirs.compact_revision
            )),
            error => error.into(),
        })?;
        let others = ours.alternatives.iter().map(|other| other.hash);
        if std::iter::once(ours.hash).chain(others).any(|hash| hash == theirs.hash) {
            return Ok((self, theirs));
        }
        Err(Error::Differs(format!(
            "HashKV at revision {} is {} in the saved file and {} at {endpoint}: \
             the file is not what the member holds",
            theirs.revision, ours.hash, theirs.hash
        )))
    }

    /// Rewrites it, if it is to be, and gives the file its name, if it is to be kept.
    fn publish(self) -> Result<(Option<PathBuf>, Option<Outcome>, Vec<String>)> {
        let target = self.options.saved_target().to_owned();
        let outcome = self.options.change.as_ref().map(|change| self.change(change)).transpose()?;
        let keep = self.options.change.as_ref().is_none_or(|change| change.keep.is_some());
        if !keep {
            return Ok((None, outcome, Vec::new()));
        }
        self.progress.begin(Phase::Sync, 0);
        self.received.sync()?;
        self.progress.begin(Phase::Publish, 0);
        if self.progress.interrupted() && outcome.is_none() {
            return Err(Error::Interrupted);
        }
        let warnings = self.received.publish(true)?;
        Ok((Some(target), outcome, warnings))
    }

    fn change(&self, change: &Change) -> Result<Outcome> {
        // What is not kept has no name but this.
        let db = change.keep.clone().unwrap_or_else(|| "the saved snapshot".into());
        let options = ChangePrefix {
            db,
            target: Target::File(self.options.target.clone()),
            ..change.options.clone()
        };
        let snapshot = self.snapshot()?;
        Ok(change_prefix_of(Arc::new(RealDisk), snapshot, &options, self.progress.as_ref())?)
    }
}

/// Runs what reads files on a thread that may wait.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::Interrupted),
        },
    }
}
