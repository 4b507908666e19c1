//! An object's bytes in order, from wherever the connection broke.

use std::io::Write;
use std::time::{Duration, Instant};

use etcdprefix_core::progress::Phase;
use http::Method;
use reqwest::Response;
use serde::Serialize;

use crate::SharedProgress;
use crate::checksum::{Checksum, Hasher};
use crate::client::{Request, explain};
use crate::error::{Cause, Error, Result};
use crate::object::{Head, head, same_etag};
use crate::store::Store;

/// How often an interruption is looked for.
const TICK: Duration = Duration::from_millis(50);
/// How many times a stream may break without a byte gained.
const FRUITLESS_LIMIT: u32 = 4;

/// What was downloaded.
#[derive(Clone, Debug, Serialize)]
pub struct Downloaded {
    /// What the store said of it.
    pub head: Head,
    /// The checksum of what came.
    pub checksum: Checksum,
    /// Whether the store keeps a checksum of the whole; if so, it is the same.
    pub checked: bool,
    /// How many times the stream broke and went on.
    pub resumed: u32,
    /// Time for all.
    pub seconds: f64,
}

/// Writes an object's bytes to `sink`, in order and each once. Call it on a runtime of several
/// threads: what it writes may keep one waiting.
///
/// # Errors
/// The store's and the network's; [`Error::ObjectChanged`] if it was replaced meanwhile;
/// [`Error::Differs`] if what came has another checksum; [`Error::Write`], or what a
/// [`Plaintext`](crate::Plaintext) failed of; [`Error::Interrupted`]. With any of them, `sink` has
/// got a part, or all, of something not to be trusted.
pub async fn download(
    store: &Store,
    key: &str,
    sink: &mut (dyn Write + Send),
    progress: SharedProgress,
) -> Result<Downloaded> {
    store.location(key).object_key()?;
    let work = Download::run(store, key, sink, progress.clone());
    crate::unless_interrupted(progress.as_ref(), TICK, work).await
}

struct Download<'a> {
    store: &'a Store,
    key: &'a str,
    sink: &'a mut (dyn Write + Send),
    progress: SharedProgress,
    head: Head,
    hasher: Hasher,
    done: u64,
}

impl<'a> Download<'a> {
    async fn run(
        store: &'a Store,
        key: &'a str,
        sink: &'a mut (dyn Write + Send),
        progress: SharedProgress,
    ) -> Result<Downloaded> {
        let start = Instant::now();
        let head = head(store, key).await?;
        progress.begin(Phase::Download, head.bytes);
        let hasher = Hasher::plain(store.kind);
        let mut this = Self { store, key, sink, progress, head, hasher, done: 0 };
        let resumed = this.stream().await?;
        this.finish(resumed, start)
    }

    /// As many requests as it takes; how often one broke.
    async fn stream(&mut self) -> Result<u32> {
        let (mut resumed, mut fruitless) = (0, 0);
        while self.done < self.head.bytes {
            let before = self.done;
            let response = self.open().await?;
            let Err(error) = self.drain(response).await else { continue };
            fruitless = if self.done > before { 0 } else { fruitless + 1 };
            // Without a condition, the rest may be another object's.
            let goes_on = self.done == 0 || self.head.condition().is_some();
            let is_broken = matches!(error, Error::Unreachable { .. });
            if fruitless > FRUITLESS_LIMIT || !is_broken || !goes_on {
                return Err(error);
            }
            resumed += 1;
        }
        Ok(resumed)
    }

    async fn open(&self) -> Result<Response> {
        let mut request = Request::new("GetObject", Method::GET, self.key);
        if let Some(condition) = self.head.condition() {
            request = request.header("if-match", &condition);
        }
        if self.done > 0 {
            request = request.header("range", &format!("bytes={}-", self.done));
        }
        let opened = self.store.open_stream(&request).await;
        let changed = || Error::ObjectChanged { location: self.store.location(self.key) };
        match opened {
            Err(error) if error.cause() == Some(&Cause::Condition) => Err(changed()),
            Ok(response) if self.begins_right(&response) => Ok(response),
            Ok(_) => Err(changed()),
            Err(error) => Err(error),
        }
    }

    /// A store that does not honour a condition or a range must not mix two objects.
    fn begins_right(&self, response: &Response) -> bool {
        let etag = response.headers().get("etag").and_then(|etag| etag.to_str().ok());
        let known = etag.filter(|etag| !etag.is_empty() && !self.head.etag.is_empty());
        let same = known.is_none_or(|etag| same_etag(etag, &self.head.etag));
        let range = response.headers().get("content-range").and_then(|range| range.to_str().ok());
        let wanted = format!("bytes {}-", self.done);
        same && (self.done == 0 || range.is_some_and(|range| range.starts_with(&wanted)))
    }

    async fn drain(&mut self, mut response: Response) -> Result<()> {
        let idle = self.store.idle_timeout;
        loop {
            let piece = tokio::time::timeout(idle, response.chunk()).await;
            let silent = |_| self.store.unreachable(format!("nothing came for {idle:?}"));
            let piece = piece.map_err(silent)?;
            let piece = piece.map_err(|error| self.store.unreachable(explain(&error)))?;
            let Some(piece) = piece else {
                let short = self.done < self.head.bytes;
                let why = || self.store.unreachable("the answer ended early".into());
                return if short { Err(why()) } else { Ok(()) };
            };
            self.take(&piece)?;
        }
    }

    fn take(&mut self, piece: &[u8]) -> Result<()> {
        self.done += piece.len() as u64;
        if self.done > self.head.bytes {
            return Err(self.differs("more bytes came than it has".into()));
        }
        self.hasher.update(piece);
        self.sink.write_all(piece).map_err(Error::of_sink)?;
        self.progress.advance(piece.len() as u64);
        Ok(())
    }

    fn finish(self, resumed: u32, start: Instant) -> Result<Downloaded> {
        let differs = |what| Error::Differs { location: self.store.location(self.key), what };
        let checksum = self.hasher.finish(self.done).checksum;
        // That of an upload in parts may be of their checksums, which can't be told from the bytes.
        let told = self.head.checksum.as_ref().filter(|told| !told.contains('-'));
        let (ours, checked) = (checksum.text(), told.is_some());
        if let Some(told) = told.filter(|told| **told != ours) {
            let what = format!("the checksum of what came is {ours} and the store's is {told}");
            return Err(differs(what));
        }
        let seconds = start.elapsed().as_secs_f64();
        Ok(Downloaded { head: self.head, checksum, checked, resumed, seconds })
    }

    fn differs(&self, what: String) -> Error {
        Error::Differs { location: self.store.location(self.key), what }
    }
}
