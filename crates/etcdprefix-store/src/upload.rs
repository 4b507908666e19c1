//! A file becomes an object: in one request, or in parts side by side, and proved by a HEAD.
//!
//! ```text
//! hash a range -> send it (again if need be) -> the store's checksum of it is ours
//!     -> put the parts together -> HEAD: size and checksum of the whole are ours
//! ```
//!
//! A range is read twice, once to be hashed and once to be sent, rather than held: memory depends
//! on how many parts are under way, not on how large they are.

mod parts;
mod prove;

use std::time::{Duration, Instant};

use etcdprefix_core::progress::Phase;
use serde::Serialize;

use crate::SharedProgress;
use crate::checksum::{Checksum, Digest, Hasher};
use crate::client::{Answer, Meter, Payload};
use crate::error::{Error, Result};
use crate::location::ObjectLocation;
use crate::metadata::Metadata;
use crate::multipart::Part;
use crate::object::{Writing, is_there, put, same_checksum, written_etag};
use crate::presence::{Presence, find};
use crate::source::Source;
use crate::store::Store;

pub use prove::Agreed;
pub(crate) use prove::{Expected, prove};

/// How often an interruption is looked for.
const TICK: Duration = Duration::from_millis(50);
/// How long after an interruption the request that makes the object may still take.
const FINISH_LIMIT: Duration = Duration::from_secs(10);

/// How to upload.
#[derive(Clone, Debug)]
pub struct UploadOptions {
    /// What to say of the object.
    pub metadata: Metadata,
    /// Fail if there is an object already, rather than replace it. It is asked for before, and the
    /// write has a condition; where the store ignores that, one that comes meanwhile is replaced.
    pub if_absent: bool,
    /// Files smaller than this go in one request.
    pub multipart_from_bytes: u64,
    /// The size of a part; more if there would be over 10,000 of them. Stores refuse parts under
    /// 5 MiB (S3) or 100 KiB (OSS), but for the last.
    pub part_bytes: u64,
    /// How many parts are under way at once.
    pub parallel: usize,
}

impl Default for UploadOptions {
    fn default() -> Self {
        Self {
            metadata: Metadata::default(),
            if_absent: false,
            multipart_from_bytes: 100_000_000,
            part_bytes: 16 << 20,
            parallel: 4,
        }
    }
}

/// An object that is there.
#[derive(Clone, Debug, Serialize)]
pub struct Uploaded {
    /// Where.
    pub location: ObjectLocation,
    /// Its size.
    pub bytes: u64,
    /// Its ETag.
    pub etag: String,
    /// The checksum of what was sent.
    pub checksum: Checksum,
    /// What of it the store agreed with afterwards.
    pub agreed: Agreed,
    /// How many parts it was sent in; 0 for one request.
    pub parts: u32,
    /// How many requests had to be repeated, counted by repetition.
    pub repeated: u32,
    /// Time for all.
    pub seconds: f64,
}

/// Uploads a file and proves that the store has it. If it changed since it was opened, or does so
/// meanwhile, that is an error.
///
/// Memory: about 2 MiB for each part under way.
///
/// # Errors
/// Every variant of [`Error`] but those of presigning. The store keeps nothing that was not there
/// before, save for [`Error::PartsLeft`]; [`Error::MaybeWritten`], after which the object may be
/// there, whole, instead of what was; and [`Error::Unproved`] and [`Error::Differs`], after which
/// there may be an object that is not to be trusted. An interruption by `progress` lets a request
/// that puts parts together end, for ten seconds. If the future is dropped instead, parts stay and
/// what became of the object is not known.
pub async fn upload(
    store: &Store,
    source: &Source,
    key: &str,
    options: &UploadOptions,
    progress: SharedProgress,
) -> Result<Uploaded> {
    let start = Instant::now();
    store.location(key).object_key()?;
    source.check()?;
    progress.begin(Phase::Upload, source.bytes());
    let writing = Writing { key, metadata: &options.metadata, if_absent: options.if_absent };
    let run = Upload { store, source, writing, options, progress };
    run.unless_interrupted(run.if_absent()).await?;
    let sent = match run.source.bytes() < options.multipart_from_bytes {
        true => run.at_once().await?,
        false => run.in_parts().await?,
    };
    run.proved(sent, start).await
}

struct Upload<'a> {
    store: &'a Store,
    source: &'a Source,
    writing: Writing<'a>,
    options: &'a UploadOptions,
    progress: SharedProgress,
}

/// What went out.
struct Sent {
    whole: Digest,
    parts: Vec<Part>,
    repeated: u32,
    /// As the store's answer told it.
    etag: Option<String>,
}

impl Upload<'_> {
    /// Some stores and buckets ignore the condition of a write, so it is asked before, too.
    async fn if_absent(&self) -> Result<()> {
        if self.options.if_absent && find(self.store, self.writing.key).await? == Presence::There {
            return Err(Error::Exists(self.location()));
        }
        Ok(())
    }

    async fn at_once(&self) -> Result<Sent> {
        let slice = self.source.slice(0, self.source.bytes());
        let hasher = Hasher::new(self.store.kind);
        let whole = self.unless_interrupted(self.source.digest(&slice, hasher)).await?;
        let payload = Payload::File(slice, Meter::new(self.progress.clone()));
        let putting = put(self.store, &self.writing, payload.clone(), &whole);
        let done = self.unless_interrupted(async { Ok(putting.await) }).await;
        // Of an empty body nothing is seen to be sent.
        let is_sent = payload.sent() > 0 || payload.len() == 0;
        let done = match done {
            Err(error) if is_sent => return Err(self.maybe_written(error)),
            done => done?,
        };
        let repeated = done.tries.saturating_sub(1);
        let sent = Sent { whole, parts: Vec::new(), repeated, etag: None };
        match done.answer {
            Ok(answer) => self.taken(&answer, sent),
            // A condition that failed on a repetition may have failed by the first try's object.
            Err(error) if is_there(&error) && repeated > 0 => self.unless_ours(error, sent).await,
            Err(error) if done.is_unseen && is_sent => {
                Err(self.maybe_written(self.source.check().err().unwrap_or(error)))
            }
            Err(error) => self.source.check().and(Err(self.named(error))),
        }
    }

    fn taken(&self, answer: &Answer, sent: Sent) -> Result<Sent> {
        self.source.check().map_err(|error| self.maybe_written(error))?;
        if !same_checksum(self.store, answer, &sent.whole) {
            let what = "it arrived with another checksum than it was sent with".to_owned();
            return Err(Error::Differs { location: self.location(), what });
        }
        Ok(Sent { etag: written_etag(answer), ..sent })
    }

    /// A write that did not seem to succeed did if the object is what was sent. One that has the
    /// same size alone may as well be another's.
    async fn unless_ours(&self, error: Error, sent: Sent) -> Result<Sent> {
        let error = match self.source.check() {
            Ok(()) => self.named(error),
            Err(changed) => return Err(self.maybe_written(changed)),
        };
        let expected = self.expected(&sent);
        let proof = self.unless_late(prove(self.store, self.writing.key, &expected)).await;
        match proof {
            Some(Ok((_, agreed))) if agreed != Agreed::Size => Ok(sent),
            Some(Ok(_) | Err(Error::Differs { .. })) if matches!(error, Error::Exists(_)) => {
                Err(error)
            }
            _ => Err(self.maybe_written(error)),
        }
    }

    async fn proved(&self, sent: Sent, start: Instant) -> Result<Uploaded> {
        let expected = self.expected(&sent);
        let proving = prove(self.store, self.writing.key, &expected);
        let Some(proved) = self.unless_late(proving).await else {
            return Err(self.maybe_written(Error::Interrupted));
        };
        let (head, agreed) = proved?;
        Ok(Uploaded {
            location: self.location(),
            bytes: head.bytes,
            etag: head.etag,
            checksum: sent.whole.checksum,
            agreed,
            parts: sent.parts.len() as u32,
            repeated: sent.repeated,
            seconds: start.elapsed().as_secs_f64(),
        })
    }

    fn expected<'b>(&self, sent: &'b Sent) -> Expected<'b> {
        Expected { whole: &sent.whole, parts: &sent.parts, etag: sent.etag.as_deref() }
    }

    async fn unless_interrupted<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        crate::unless_interrupted(self.progress.as_ref(), TICK, work).await
    }

    /// After an interruption, what was begun has some time to end: to be cut off would leave unknown
    /// what became of it.
    async fn unless_late<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let late = async {
            while !self.progress.interrupted() {
                tokio::time::sleep(TICK).await;
            }
            tokio::time::sleep(FINISH_LIMIT).await;
        };
        tokio::select! {
            done = work => Some(done),
            () = late => None,
        }
    }

    fn location(&self) -> ObjectLocation {
        self.store.location(self.writing.key)
    }

    fn named(&self, error: Error) -> Error {
        match is_there(&error) && self.options.if_absent {
            true => Error::Exists(self.location()),
            false => error,
        }
    }

    fn maybe_written(&self, why: Error) -> Error {
        Error::MaybeWritten { location: self.location(), why: Box::new(why) }
    }
}
