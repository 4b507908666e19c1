//! A file becomes an object: in one request, or in parts side by side, and proved by a HEAD.
//!
//! ```text
//! hash a range -> send it (again if need be) -> the store's checksum of it is ours
//!     -> put the parts together -> HEAD: size and checksum of the whole are ours
//! ```
//!
//! A range is read twice, once to be hashed and once to be sent, rather than held: memory depends
//! on how many parts are under way, not on how large they are.

mod prove;

use std::path::Path;
use std::time::{Duration, Instant};

use etcdprefix_core::progress::Phase;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;

use crate::SharedProgress;
use crate::checksum::{Checksum, Digest};
use crate::client::{Meter, Payload};
use crate::error::{Cause, Error, Result};
use crate::location::ObjectLocation;
use crate::metadata::Metadata;
use crate::multipart::{Multipart, Part};
use crate::object::{Writing, is_there, put, same_checksum, written_etag};
use crate::source::Source;
use crate::store::Store;

pub use prove::Agreed;
pub(crate) use prove::{Expected, prove};

/// Both stores' limit.
const MAX_PARTS: u64 = 10_000;
/// The least that both stores take for a part that is not the last, in production.
const PART_STEP_BYTES: u64 = 1 << 20;
/// How often an interruption is looked for.
const TICK: Duration = Duration::from_millis(50);
/// An upload that failed is not worth more waiting for its parts to go.
const ABORT_LIMIT: Duration = Duration::from_secs(60);

/// How to upload.
#[derive(Clone, Debug)]
pub struct UploadOptions {
    /// What to say of the object.
    pub metadata: Metadata,
    /// Fail if there is an object already, rather than replace it.
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

/// Uploads a file and proves that the store has it.
///
/// Memory: about 2 MiB for each part under way.
///
/// # Errors
/// Every variant of [`Error`] but those of presigning. Unless it is [`Error::PartsLeft`], the store
/// keeps nothing that was not there before, save for [`Error::Unproved`] and [`Error::Differs`],
/// after which there may be an object that is not to be trusted. If the future is dropped instead
/// of interrupted by `progress`, parts stay.
pub async fn upload(
    store: &Store,
    file: &Path,
    key: &str,
    options: &UploadOptions,
    progress: SharedProgress,
) -> Result<Uploaded> {
    let start = Instant::now();
    store.location(key).object_key()?;
    let source = Source::open(file)?;
    progress.begin(Phase::Upload, source.bytes());
    let writing = Writing { key, metadata: &options.metadata, if_absent: options.if_absent };
    let run = Upload { store, source, writing, options, progress };
    let sent = match run.source.bytes() < options.multipart_from_bytes {
        true => run.unless_interrupted(run.at_once()).await?,
        false => run.in_parts().await?,
    };
    run.proved(sent, start).await
}

struct Upload<'a> {
    store: &'a Store,
    source: Source,
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
    async fn at_once(&self) -> Result<Sent> {
        let slice = self.source.slice(0, self.source.bytes());
        let whole = self.source.digest(&slice, self.store.kind).await?;
        let payload = Payload::File(slice, Meter::new(self.progress.clone()));
        let (tries, answer) = put(self.store, &self.writing, payload, &whole).await;
        let repeated = tries.saturating_sub(1);
        let sent = Sent { whole, parts: Vec::new(), repeated, etag: None };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return self.unless_ours(error, sent).await,
        };
        self.source.check()?;
        match same_checksum(self.store, &answer, &whole) {
            true => Ok(Sent { etag: written_etag(&answer), ..sent }),
            false => Err(self.differs("it arrived with another checksum than it was sent with")),
        }
    }

    /// A condition that failed on a repetition may have failed by the first try's object. One that
    /// has the same size alone may as well be another's.
    async fn unless_ours(&self, error: Error, sent: Sent) -> Result<Sent> {
        self.source.check()?;
        let gone = error.cause() == Some(&Cause::NoUpload);
        if sent.repeated > 0 && (is_there(&error) || gone) && self.is_ours(&sent).await {
            return Ok(sent);
        }
        match is_there(&error) && self.options.if_absent {
            true => Err(Error::Exists(self.location())),
            false => Err(error),
        }
    }

    async fn is_ours(&self, sent: &Sent) -> bool {
        let proved = prove(self.store, self.writing.key, &self.expected(sent)).await;
        proved.is_ok_and(|(_, agreed)| agreed != Agreed::Size)
    }

    async fn in_parts(&self) -> Result<Sent> {
        let begun = self.unless_interrupted(Multipart::begin(self.store, &self.writing)).await;
        let multipart = match begun {
            Err(error) if is_there(&error) && self.options.if_absent => {
                return Err(Error::Exists(self.location()));
            }
            begun => begun?,
        };
        match self.unless_interrupted(self.send_parts(&multipart)).await {
            Ok(sent) => Ok(sent),
            Err(error) => Err(self.abort(&multipart, error).await),
        }
    }

    async fn send_parts(&self, multipart: &Multipart<'_>) -> Result<Sent> {
        let part_bytes = part_bytes(self.source.bytes(), self.options.part_bytes);
        let count = self.source.bytes().div_ceil(part_bytes).max(1);
        let sends = (0..count).map(|index| self.send_part(multipart, index, part_bytes));
        let sends = stream::iter(sends).buffer_unordered(self.options.parallel.max(1));
        let done: Vec<(u32, Part)> = sends.try_collect().await?;
        self.source.check()?;
        let sent = self.joined(done);
        let (tries, completed) = multipart.complete(&sent.parts, sent.whole.checksum).await;
        let sent = Sent { repeated: sent.repeated + tries.saturating_sub(1), ..sent };
        match completed {
            Ok(answer) => Ok(Sent { etag: written_etag(&answer), ..sent }),
            // Only this request's own repetitions tell whether it went through unseen.
            Err(error) if tries > 1 => self.unless_ours(error, sent).await,
            Err(error) => self.unless_ours(error, Sent { repeated: 0, ..sent }).await,
        }
    }

    async fn send_part(
        &self,
        multipart: &Multipart<'_>,
        index: u64,
        part_bytes: u64,
    ) -> Result<(u32, Part)> {
        let from = index * part_bytes;
        let slice = self.source.slice(from, part_bytes.min(self.source.bytes() - from));
        let digest = self.source.digest(&slice, self.store.kind).await?;
        let payload = Payload::File(slice, Meter::new(self.progress.clone()));
        let sent = multipart.part(index as u32 + 1, payload, digest).await;
        // A file that changes under way makes other errors, too.
        if sent.is_err() {
            self.source.check()?;
        }
        sent
    }

    fn joined(&self, mut done: Vec<(u32, Part)>) -> Sent {
        done.sort_by_key(|(_, part)| part.number);
        let repeated = done.iter().map(|(tries, _)| tries.saturating_sub(1)).sum();
        let parts: Vec<Part> = done.into_iter().map(|(_, part)| part).collect();
        let whole = parts.iter().fold(Checksum::empty(self.store.kind), |whole, part| {
            whole.then(part.digest.checksum, part.digest.bytes)
        });
        let whole = Digest { checksum: whole, md5: None, bytes: self.source.bytes() };
        Sent { whole, parts, repeated, etag: None }
    }

    /// The error that tells what became of the parts.
    async fn abort(&self, multipart: &Multipart<'_>, why: Error) -> Error {
        let aborted = tokio::time::timeout(ABORT_LIMIT, multipart.abort()).await;
        let late = || self.store.unreachable(format!("no answer within {ABORT_LIMIT:?}"));
        match aborted.unwrap_or_else(|_| Err(late())) {
            Ok(()) => why,
            Err(abort) => Error::PartsLeft {
                location: self.location(),
                upload_id: multipart.upload_id.clone(),
                why: Box::new(why),
                abort: Box::new(abort),
            },
        }
    }

    async fn proved(&self, sent: Sent, start: Instant) -> Result<Uploaded> {
        let (head, agreed) = prove(self.store, self.writing.key, &self.expected(&sent)).await?;
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

    fn location(&self) -> ObjectLocation {
        self.store.location(self.writing.key)
    }

    fn differs(&self, what: &str) -> Error {
        Error::Differs { location: self.location(), what: what.into() }
    }
}

/// So large that there are no more parts than both stores take.
fn part_bytes(bytes: u64, wanted: u64) -> u64 {
    let least = bytes.div_ceil(MAX_PARTS);
    if least <= wanted { wanted.max(1) } else { least.next_multiple_of(PART_STEP_BYTES) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_more_parts_than_stores_take() {
        for bytes in [0, 1, 16 << 20, 160 << 30, (160 << 30) + 1, 5 << 40, 48 << 40] {
            let part = part_bytes(bytes, 16 << 20);
            assert!(bytes.div_ceil(part) <= MAX_PARTS && part >= 16 << 20, "{bytes}");
        }
        assert_eq!(part_bytes(100, 10), 10);
    }
}
