//! An upload in parts: sent side by side, put together, or removed.

use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::{Sent, Upload};
use crate::checksum::{Checksum, Digest};
use crate::client::{Meter, Payload};
use crate::error::{Error, Result};
use crate::multipart::{Aborted, Multipart, Part};
use crate::object::written_etag;

/// Both stores' limit.
const MAX_PARTS: u64 = 10_000;
/// The least that both stores take for a part that is not the last, in production.
const PART_STEP_BYTES: u64 = 1 << 20;
/// An upload that failed is not worth more waiting for its parts to go.
const ABORT_LIMIT: Duration = Duration::from_secs(60);

impl Upload<'_> {
    pub(super) async fn in_parts(&self) -> Result<Sent> {
        let begun = self.unless_interrupted(Multipart::begin(self.store, &self.writing)).await;
        let multipart = begun.map_err(|error| self.named(error))?;
        match self.unless_interrupted(self.send_parts(&multipart)).await {
            Ok(sent) => self.complete(&multipart, sent).await,
            Err(error) => {
                let aborted = self.abort(&multipart).await;
                Err(self.left(&multipart, aborted, error))
            }
        }
    }

    async fn send_parts(&self, multipart: &Multipart<'_>) -> Result<Sent> {
        let part_bytes = part_bytes(self.source.bytes(), self.options.part_bytes);
        let count = self.source.bytes().div_ceil(part_bytes).max(1);
        let sends = (0..count).map(|index| self.send_part(multipart, index, part_bytes));
        let sends = stream::iter(sends).buffer_unordered(self.options.parallel.max(1));
        let done: Vec<(u32, Part)> = sends.try_collect().await?;
        self.source.check()?;
        Ok(self.joined(done))
    }

    async fn send_part(
        &self,
        multipart: &Multipart<'_>,
        index: u64,
        part_bytes: u64,
    ) -> Result<(u32, Part)> {
        let from = index * part_bytes;
        let slice = self.source.slice(from, part_bytes.min(self.source.bytes() - from));
        let digest = self.source.digest(&slice, multipart.hasher()).await?;
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

    async fn complete(&self, multipart: &Multipart<'_>, sent: Sent) -> Result<Sent> {
        let completing = multipart.complete(&sent.parts, sent.whole.checksum);
        let Some(done) = self.unless_late(completing).await else {
            return self.settle(multipart, sent, Error::Interrupted, true).await;
        };
        let sent = Sent { repeated: sent.repeated + done.tries.saturating_sub(1), ..sent };
        match done.answer {
            Ok(answer) => Ok(Sent { etag: written_etag(&answer), ..sent }),
            // Only this request's own repetitions tell whether it went through unseen.
            Err(error) => {
                let is_doubtful = done.is_unseen || done.tries > 1;
                self.settle(multipart, sent, error, is_doubtful).await
            }
        }
    }

    /// The parts may have been put together all the same: an upload that is gone is the store's way
    /// to say so.
    async fn settle(
        &self,
        multipart: &Multipart<'_>,
        sent: Sent,
        error: Error,
        is_doubtful: bool,
    ) -> Result<Sent> {
        let aborted = self.abort(multipart).await;
        let settled = match is_doubtful || matches!(aborted, Ok(Aborted::Gone)) {
            true => self.unless_ours(error, sent).await,
            false => self.source.check().and(Err(self.named(error))),
        };
        settled.map_err(|error| self.left(multipart, aborted, error))
    }

    async fn abort(&self, multipart: &Multipart<'_>) -> Result<Aborted> {
        let aborted = tokio::time::timeout(ABORT_LIMIT, multipart.abort()).await;
        let late = || self.store.unreachable(format!("no answer within {ABORT_LIMIT:?}"));
        aborted.unwrap_or_else(|_| Err(late()))
    }

    /// The error that tells what became of the parts.
    fn left(&self, multipart: &Multipart<'_>, aborted: Result<Aborted>, why: Error) -> Error {
        match aborted {
            Ok(_) => why,
            Err(abort) => Error::PartsLeft {
                location: self.location(),
                upload_id: multipart.upload_id.clone(),
                why: Box::new(why),
                abort: Box::new(abort),
            },
        }
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
