//! A member's snapshot stream, into a file.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{SnapshotResponse, SnapshotStreaming};
use etcdprefix_core::Error as CoreError;
use etcdprefix_core::format::trailer::TRAILER_BYTES;
use etcdprefix_core::progress::{Phase, Progress};
use etcdprefix_core::save::disk::RealDisk;
use etcdprefix_core::save::receive::{Received, Receiver};
use tokio::time::{Instant, timeout};

use crate::client::{Connection, of_request};
use crate::error::{Error, Failure, Result};

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

/// Why a stream does not become a file.
enum Ended {
    /// The member or the way to it.
    There(Failure),
    /// The local disk.
    Here(CoreError),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::There(failure)
    }
}

impl From<CoreError> for Ended {
    fn from(error: CoreError) -> Self {
        Self::Here(error)
    }
}

/// Asks a member for its snapshot and follows the stream to its end.
///
/// # Errors
/// [`Error::Member`]; [`Error::Core`] for what the local disk refuses. Nothing is left behind.
pub async fn follow(connection: &Connection, following: &Following<'_>) -> Result<Streamed> {
    let failed = |failure: Failure| failure.at(connection.endpoint());
    let mut client = connection.client().maintenance_client();
    let opened = timeout(following.idle_timeout, client.snapshot()).await;
    let stream = opened.map_err(|_| failed(Failure::Silent(following.idle_timeout)))?;
    let stream = stream.map_err(|error| failed(of_request(&error)))?;
    receive(stream, following).await.map_err(|ended| match ended {
        Ended::There(failure) => failed(failure),
        Ended::Here(error) => Error::Core(error),
    })
}

/// What of a message is looked at.
trait Message {
    fn blob(&self) -> &[u8];
    /// The bytes to come after this message, the trailer not among them.
    fn remaining_bytes(&self) -> u64;
    fn version(&self) -> &str;
}

/// Where messages come from, so that tests can be a server that lies.
trait Source {
    type Message: Message;
    async fn message(&mut self) -> Result<Option<Self::Message>, Failure>;
}

impl Message for SnapshotResponse {
    fn blob(&self) -> &[u8] {
        self.blob()
    }

    fn remaining_bytes(&self) -> u64 {
        self.remaining_bytes()
    }

    fn version(&self) -> &str {
        self.version()
    }
}

impl Source for SnapshotStreaming {
    type Message = SnapshotResponse;

    async fn message(&mut self) -> Result<Option<SnapshotResponse>, Failure> {
        Self::message(self).await.map_err(|error| of_request(&error))
    }
}

async fn receive(source: impl Source, following: &Following<'_>) -> Result<Streamed, Ended> {
    let mut messages = Messages::of(source, following.idle_timeout);
    let first = messages.next().await?;
    let first = first.ok_or_else(|| Failure::Broken("an empty stream".into()))?;
    let total_bytes = announced(&first)?;
    following.progress.begin(Phase::Receive, total_bytes);
    let mut receiver = Receiver::create(Arc::new(RealDisk), following.target, Some(total_bytes))?;
    let server_version = Some(first.version().to_owned()).filter(|version| !version.is_empty());
    let mut next = Some(first);
    while let Some(message) = next {
        if messages.received_bytes > total_bytes {
            return Err(Failure::Broken("the stream has more than it announced".into()).into());
        }
        receiver.push(message.blob())?;
        following.progress.advance(message.blob().len() as u64);
        next = messages.next().await?;
    }
    let received = receiver.finish().map_err(|error| sealed(error, &messages, total_bytes))?;
    Ok(Streamed { received, server_version })
}

/// The size of the file: the first message has so many bytes and says how many follow, the trailer
/// not among them (etcd's `maintenance.go`, 3.3 to 3.7).
fn announced(first: &impl Message) -> Result<u64, Failure> {
    let pages = first.remaining_bytes().checked_add(first.blob().len() as u64);
    let total = pages.and_then(|pages| pages.checked_add(TRAILER_BYTES));
    // No file system has larger files.
    let total = total.filter(|total| i64::try_from(*total).is_ok());
    total.ok_or_else(|| Failure::Broken("the stream announces an impossible size".into()))
}

/// A trailer that is missing or wrong says something about the way the bytes came, not of a file.
fn sealed<S>(error: CoreError, messages: &Messages<S>, total_bytes: u64) -> Ended {
    match error {
        CoreError::TrailerMissing { .. } => Ended::There(Failure::Broken(format!(
            "the stream ended after {} of {total_bytes} bytes",
            messages.received_bytes
        ))),
        CoreError::TrailerMismatch { found, computed, .. } => {
            Ended::There(Failure::Damaged { found, computed })
        }
        error => Ended::Here(error),
    }
}

struct Messages<S> {
    source: S,
    idle_timeout: Duration,
    received_bytes: u64,
}

impl<S> Messages<S> {
    fn of(source: S, idle_timeout: Duration) -> Self {
        Self { source, idle_timeout, received_bytes: 0 }
    }

    fn stalled(&self) -> Failure {
        Failure::Stalled { idle: self.idle_timeout, received_bytes: self.received_bytes }
    }
}

impl<S: Source> Messages<S> {
    /// The next message that holds anything. A server that can't read its own file any more sends
    /// empty ones without end.
    async fn next(&mut self) -> Result<Option<S::Message>, Failure> {
        let deadline = Instant::now() + self.idle_timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = timeout(left, self.source.message()).await.map_err(|_| self.stalled())?;
            match message? {
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
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use etcdprefix_core::progress::Silent;
    use etcdprefix_testkit::block_on;

    use super::*;

    /// The remaining bytes that it says, and what it holds.
    struct Piece(u64, Vec<u8>);

    impl Message for Piece {
        fn blob(&self) -> &[u8] {
            &self.1
        }

        fn remaining_bytes(&self) -> u64 {
            self.0
        }

        fn version(&self) -> &str {
            ""
        }
    }

    /// Sends these, then ends or says nothing more, or only empty messages.
    struct Liar {
        pieces: VecDeque<Piece>,
        end: End,
    }

    #[derive(Clone, Copy)]
    enum End {
        Closed,
        Silent,
        Empty,
    }

    impl Source for Liar {
        type Message = Piece;

        async fn message(&mut self) -> Result<Option<Piece>, Failure> {
            match (self.pieces.pop_front(), self.end) {
                (Some(piece), _) => Ok(Some(piece)),
                (None, End::Closed) => Ok(None),
                (None, End::Silent) => std::future::pending().await,
                (None, End::Empty) => {
                    tokio::task::yield_now().await;
                    Ok(Some(Piece(0, Vec::new())))
                }
            }
        }
    }

    /// What becomes of a stream; nothing may be left of it.
    async fn told(pieces: Vec<Piece>, end: End) -> String {
        let folder = tempfile::tempdir().unwrap();
        let following = Following {
            target: &folder.path().join("snap.db"),
            idle_timeout: Duration::from_millis(50),
            progress: &Silent,
        };
        let received = receive(Liar { pieces: pieces.into(), end }, &following).await;
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        match received {
            Ok(_) => "received".into(),
            Err(Ended::There(failure)) => failure.to_string(),
            Err(Ended::Here(error)) => panic!("{error}"),
        }
    }

    fn page(remaining_bytes: u64) -> Piece {
        Piece(remaining_bytes, vec![7; 512])
    }

    fn trailer() -> Piece {
        let digest = "6ee1ee8ae9b4bbbd21ae5a9fcd3c5fb4";
        Piece(0, digest.as_bytes()[..32].to_vec())
    }

    #[test]
    fn a_server_that_lies_is_told_and_leaves_nothing() {
        for (pieces, end, expected) in [
            (vec![], End::Closed, "the connection broke: an empty stream"),
            (vec![page(u64::MAX)], End::Closed, "announces an impossible size"),
            (vec![page(u64::MAX - 600)], End::Closed, "announces an impossible size"),
            (vec![page(0), page(0)], End::Closed, "has more than it announced"),
            (vec![page(512), trailer()], End::Closed, "ended after 544 of 1056 bytes"),
            (vec![page(0)], End::Closed, "ended after 512 of 544 bytes"),
            (vec![page(0), trailer()], End::Closed, "came damaged: its SHA-256"),
            (vec![], End::Empty, "nothing came for 50ms after 0 bytes"),
            (vec![page(512)], End::Empty, "nothing came for 50ms after 512 bytes"),
            (vec![page(512)], End::Silent, "nothing came for 50ms after 512 bytes"),
        ] {
            let told = block_on(told(pieces, end));
            assert!(told.contains(expected), "{expected:?} is not in: {told}");
        }
    }
}
