//! A member's snapshot stream, into a file.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{SnapshotResponse, SnapshotStreaming};
use etcdprefix_core::format::trailer::TRAILER_BYTES;
use etcdprefix_core::progress::{Phase, Progress};
use etcdprefix_core::save::disk::RealDisk;
use etcdprefix_core::save::receive::{Received, Receiver};
use tokio::time::{Instant, timeout};

use crate::client::{Connection, of_request};
use crate::error::{Failure, Result};

/// How a stream is followed.
pub struct Following<'a> {
    /// The file that it is to become.
    pub target: &'a Path,
    /// The longest time without any byte.
    pub idle_timeout: Duration,
    /// Told of every message.
    pub progress: &'a dyn Progress,
}

/// A whole snapshot, proved by its trailer, and the version that its sender claims (3.6 and newer).
pub struct Streamed {
    pub received: Received,
    pub server_version: Option<String>,
}

/// Asks a member for its snapshot and follows the stream to its end.
///
/// # Errors
/// [`Error::Member`]; [`Error::Core`] for what the local disk refuses, and for a trailer that is
/// missing or wrong. Nothing is left behind.
pub async fn follow(connection: &Connection, following: &Following<'_>) -> Result<Streamed> {
    let failed = |failure: Failure| failure.at(connection.endpoint());
    let mut client = connection.client().maintenance_client();
    let opened = timeout(following.idle_timeout, client.snapshot()).await;
    let stream = opened.map_err(|_| failed(Failure::Silent(following.idle_timeout)))?;
    let stream = stream.map_err(|error| failed(of_request(&error)))?;
    let mut messages = Messages { stream, idle_timeout: following.idle_timeout, received_bytes: 0 };
    let first = messages.next().await.map_err(failed)?;
    let first = first.ok_or_else(|| failed(Failure::Broken("an empty stream".into())))?;
    let total_bytes = announced(&first).map_err(failed)?;
    following.progress.begin(Phase::Receive, total_bytes);
    let mut receiver = Receiver::create(Arc::new(RealDisk), following.target, Some(total_bytes))?;
    let server_version = Some(first.version().to_owned()).filter(|version| !version.is_empty());
    let mut next = Some(first);
    while let Some(message) = next {
        if messages.received_bytes > total_bytes {
            return Err(failed(Failure::Broken("the stream has more than it announced".into())));
        }
        receiver.push(message.blob())?;
        following.progress.advance(message.blob().len() as u64);
        next = messages.next().await.map_err(failed)?;
    }
    Ok(Streamed { received: receiver.finish()?, server_version })
}

/// The size of the file: the first message has so many bytes and says how many follow, the trailer
/// not among them (etcd's `maintenance.go`, 3.3 to 3.7).
fn announced(first: &SnapshotResponse) -> Result<u64, Failure> {
    let pages = first.remaining_bytes().checked_add(first.blob().len() as u64);
    let total = pages.and_then(|pages| pages.checked_add(TRAILER_BYTES));
    total.ok_or_else(|| Failure::Broken("the stream announces an impossible size".into()))
}

struct Messages {
    stream: SnapshotStreaming,
    idle_timeout: Duration,
    received_bytes: u64,
}

impl Messages {
    /// The next message that holds anything. A server that can't read its own file any more sends
    /// empty ones without end.
    async fn next(&mut self) -> Result<Option<SnapshotResponse>, Failure> {
        let deadline = Instant::now() + self.idle_timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = timeout(left, self.stream.message()).await.map_err(|_| self.stalled())?;
            match message.map_err(|error| of_request(&error))? {
                Some(message) if message.blob().is_empty() => {
                    if Instant::now() >= deadline {
                        return Err(self.stalled());
                    }
                }
                Some(message) => {
                    self.received_bytes += message.blob().len() as u64;
                    return Ok(Some(message));
                }
                None => return Ok(None),
            }
        }
    }

    fn stalled(&self) -> Failure {
        Failure::Stalled { idle: self.idle_timeout, received_bytes: self.received_bytes }
    }
}
