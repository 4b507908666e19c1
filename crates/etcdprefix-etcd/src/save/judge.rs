//! What is done with a whole file before it gets its name.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use etcdprefix_core::progress::Phase;
use etcdprefix_core::read::{ReadMode, Snapshot};
use etcdprefix_core::save::disk::RealDisk;
use etcdprefix_core::save::receive::Received;
use etcdprefix_core::verify::findings::Level;
use etcdprefix_core::verify::{
    Depth, HashKv, HashKvAt, check, hash_kv, hash_kv_at, status, status_hash,
};
use etcdprefix_core::{ChangePrefix, Error as CoreError, Outcome, Target, change_prefix_of};

use crate::client::{Connection, Dialer};
use crate::endpoint::Endpoint;
use crate::error::{Error, Failure, Result};
use crate::hashkv::{Asking, Question, ask_one, is_compacted};
use crate::interrupt::unless_interrupted;
use crate::save::{Change, ProvedHashKv, SaveOptions, SharedProgress};

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
    /// That of the last record, as `snapshot status` prints it.
    pub revision: Option<i64>,
    /// That of a server that starts on the file, which a compaction may have brought further.
    store_revision: Option<i64>,
    pub warnings: Vec<String>,
}

/// Who sent the file.
pub struct Sender<'a> {
    pub dialer: &'a Dialer,
    pub connection: &'a Connection,
    /// The highest revision that any member had before: a file that ends sooner lacks writes that
    /// somebody was told of.
    pub seen_revision: i64,
}

/// Checks, proves, rewrites and publishes, as the options want it.
pub async fn judge(
    received: Received,
    sender: &Sender<'_>,
    options: &SaveOptions,
    progress: &SharedProgress,
) -> Result<Judged> {
    let file = File {
        received,
        options: options.clone(),
        progress: progress.clone(),
        seen_revision: sender.seen_revision,
    };
    let endpoint = sender.connection.endpoint().clone();
    let (file, ours) = if options.verify_members {
        let endpoint = endpoint.clone();
        let (file, ours) = blocking(move || file.hash(&endpoint)).await?;
        (file, Some(ours))
    } else {
        (file, None)
    };
    let theirs = async {
        match &ours {
            Some(ours) => sender.hash_at(ours.revision, options.hash_timeout).await.map(Some),
            None => Ok(None),
        }
    };
    // The member reads its store while the file is read here. The file is waited for in any case: as long
    // as somebody reads it, it is not gone.
    let read = blocking(move || file.read(&endpoint));
    let theirs = unless_interrupted(progress.as_ref(), theirs);
    let (mut read, mut theirs) = (pin!(read), pin!(theirs));
    let ((file, mut facts), theirs) = tokio::select! {
        read = &mut read => (read?, theirs.await?),
        theirs = &mut theirs => {
            let read = read.await;
            let theirs = theirs?;
            (read?, theirs)
        }
    };
    facts.store_revision = ours.as_ref().map(|ours| ours.revision).or(facts.store_revision);
    facts.warnings.extend(sender.lag(&facts, options)?);
    let (file, hashkv) = match (ours.clone(), theirs) {
        (Some(ours), Some(theirs)) => {
            let endpoint = sender.connection.endpoint().clone();
            let (file, proved) = blocking(move || file.compare(&endpoint, &ours, theirs)).await?;
            (file, Some(proved))
        }
        _ => (file, None),
    };
    let (path, outcome, warnings) = blocking(move || file.publish()).await?;
    facts.warnings.extend(warnings);
    Ok(Judged { file: path, facts, hashkv, outcome })
}

impl Sender<'_> {
    async fn hash_at(&self, revision: i64, timeout: Duration) -> Result<ProvedHashKv> {
        // The file has nothing of before its compaction, so the answer must not, either.
        let question = Question { revision, asking: Asking::Latest, timeout };
        let asked = ask_one(self.dialer, self.connection, question).await;
        let endpoint = self.connection.endpoint();
        let (hash, compact_revision) = asked.map_err(|failure| match failure {
            Failure::Server(why) if is_compacted(&why) => {
                Error::Overtaken { endpoint: endpoint.clone(), revision }
            }
            failure => failure.at(endpoint),
        })?;
        Ok(ProvedHashKv { hash, revision, compact_revision })
    }

    /// A file that lacks what somebody was told of is refused, or warned of where its member was asked for
    /// by name.
    fn lag(&self, facts: &Facts, options: &SaveOptions) -> Result<Option<String>> {
        let lagging = facts.store_revision.filter(|revision| *revision < self.seen_revision);
        let lagging = lagging.map(|revision| Error::Lagging {
            endpoint: self.connection.endpoint().clone(),
            revision,
            seen: self.seen_revision,
        });
        match lagging {
            Some(error) if options.from.is_none() => Err(error),
            lagging => Ok(lagging.map(|error| error.to_string())),
        }
    }
}

/// A received file and what is to become of it.
struct File {
    received: Received,
    options: SaveOptions,
    progress: SharedProgress,
    seen_revision: i64,
}

impl File {
    fn snapshot(&self) -> Result<Snapshot> {
        Ok(self.received.snapshot(ReadMode::Map)?)
    }

    /// Reads all of it, checking it if it is to be.
    fn read(self, endpoint: &Endpoint) -> Result<(Self, Facts)> {
        let facts = if self.options.check {
            self.check(endpoint).map_err(|error| blame(endpoint, error))?
        } else {
            self.look()
        };
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
        let marks = report.compaction.unwrap_or_default();
        let store_revision = revision.max(marks.scheduled).max(marks.finished).max(Some(1));
        let status_hash = Some(status_hash(&snapshot, threads, progress)?);
        Ok(Facts { status_hash, revision, store_revision, warnings })
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
                store_revision: self.store_revision(status.revision),
                ..Facts::default()
            },
            Err(error) => {
                Facts { warnings: vec![format!("the snapshot: {error}")], ..Facts::default() }
            }
        }
    }

    /// Where the store stands. It matters only if the last record comes short of what there was, which a
    /// compaction may have removed.
    fn store_revision(&self, last_revision: i64) -> Option<i64> {
        if last_revision >= self.seen_revision {
            return Some(last_revision);
        }
        let snapshot = self.snapshot().ok()?;
        let hashed = hash_kv(&snapshot, 0, self.options.threads, self.progress.as_ref());
        hashed.ok().map(|hashed| hashed.revision)
    }

    /// HashKV at the file's own revision, and what that is.
    fn hash(self, endpoint: &Endpoint) -> Result<(Self, HashKv)> {
        let threads = self.options.threads;
        let ours = self
            .snapshot()
            .and_then(|snapshot| Ok(hash_kv(&snapshot, 0, threads, self.progress.as_ref())?));
        let ours = ours.map_err(|error| blame(endpoint, error))?;
        Ok((self, ours))
    }

    /// If the member has compacted since, ours is computed as if the file were, too.
    fn compare(
        self,
        endpoint: &Endpoint,
        ours: &HashKv,
        theirs: ProvedHashKv,
    ) -> Result<(Self, ProvedHashKv)> {
        if matches(ours, theirs) {
            return Ok((self, theirs));
        }
        let at = HashKvAt { revision: theirs.revision, compacted: Some(theirs.compact_revision) };
        let (snapshot, threads) = (self.snapshot()?, self.options.threads);
        let ours = hash_kv_at(&snapshot, at, threads, self.progress.as_ref());
        let ours = ours.map_err(|error| match error {
            CoreError::NoSuchRevision { .. } => Error::Differs(format!(
                "{endpoint} says that it has compacted up to {}, which the saved file contradicts",
                theirs.compact_revision
            )),
            error => error.into(),
        })?;
        if matches(&ours, theirs) {
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
        let keep = self.options.change.as_ref().is_none_or(|change| change.keep.is_some());
        if keep {
            // Before the change, after which no signal counts any more.
            self.progress.begin(Phase::Sync, 0);
            self.received.sync()?;
        }
        let outcome = self.options.change.as_ref().map(|change| self.change(change)).transpose()?;
        if !keep {
            return Ok((None, outcome, Vec::new()));
        }
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

/// The file has no name yet, so what is damaged is what the member sent.
fn blame(endpoint: &Endpoint, error: Error) -> Error {
    match error {
        Error::Core(CoreError::Damaged { damage, at, .. }) => {
            let first = format!("{damage}{at}");
            Error::Unsound { endpoint: endpoint.clone(), errors: 1, first }
        }
        error => error,
    }
}

/// Whether the member's answer is one that a server of some version gives on the file.
fn matches(ours: &HashKv, theirs: ProvedHashKv) -> bool {
    let answers = ours.alternatives.iter().map(|other| (other.hash, other.compact_revision));
    std::iter::once((ours.hash, ours.compact_revision))
        .chain(answers)
        .any(|answer| answer == (theirs.hash, theirs.compact_revision))
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
