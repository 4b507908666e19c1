//! The events of all keys from one member.

use etcd_client::{GetOptions, ResponseHeader, WatchOptions, WatchResponse, WatchStream};

use crate::client::{Connection, of_request};
use crate::error::Failure;
use crate::quiet::classify::Position;

/// A request has 1.5 MiB unless the server is told otherwise, and a fragment, if it has more than
/// one event, not much more; one event has a value and the previous one.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

const RIGHTS: &str = "a watch over all keys needs the role root, or a role that may read all keys";

/// Why a watch does not go on.
#[derive(Debug)]
pub enum Break {
    /// The member, or the way to it.
    Failure(Failure),
    /// What comes next is compacted up to this revision.
    Compacted(i64),
}

impl From<Failure> for Break {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// An established watch.
pub struct Feed {
    connection: Connection,
    stream: WatchStream,
    /// Where it began: these events come once more.
    resumed: Position,
    /// Whether it has shown that it is where it began.
    current: bool,
}

impl Feed {
    /// Returns when the member has confirmed the watch.
    pub async fn open(connection: Connection, from: Position) -> Result<(Self, u64), Break> {
        let options = WatchOptions::new()
            .with_all_keys()
            .with_start_revision(from.revision)
            .with_prev_key()
            .with_fragment();
        let client = connection.client().watch_client();
        let mut client = client.max_decoding_message_size(MESSAGE_BYTES_MAX);
        let watch = client.watch(Vec::new(), Some(options));
        let stream = connection.ask(watch).await.map_err(with_rights)?;
        let current = from.counted == 0;
        let mut feed = Self { stream, resumed: from, current, connection };
        let confirmed = {
            let message = feed.stream.message();
            feed.connection.ask(message).await.map_err(with_rights)?
        };
        let cluster_id = cluster_id(checked(confirmed)?.header());
        Ok((feed, cluster_id))
    }

    /// The connection that it comes through, for requests beside.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The next message, however long it takes; may be dropped and called again.
    pub async fn next(&mut self) -> Result<WatchResponse, Break> {
        let message = self.stream.message().await;
        checked(message.map_err(|error| with_rights(of_request(&error)))?)
    }

    /// Whether the next event, of that revision, was counted before the watch was resumed.
    pub fn is_repeated(&mut self, revision: i64) -> bool {
        self.current |= revision >= self.resumed.revision;
        self.resumed.is_repeated(revision)
    }

    /// Whether an answer to [`Self::ask_progress`] says that everything seen is whole.
    ///
    /// Not in general what its revision says: before 3.4.25 and 3.5.8 the answer overtakes events.
    /// But the parts of one revision are sent in one go, so the answer never comes between them.
    pub fn is_current(&self) -> bool {
        self.current
    }

    /// Asks for a message without events. Members that are behind don't answer.
    pub async fn ask_progress(&mut self) -> Result<(), Break> {
        Ok(self.connection.ask(self.stream.request_progress()).await?)
    }
}

fn checked(message: Option<WatchResponse>) -> Result<WatchResponse, Break> {
    let ended = || Failure::Broken("the member ended the watch".into());
    let message = message.ok_or_else(ended)?;
    if !message.canceled() {
        return Ok(message);
    }
    if message.compact_revision() > 0 {
        return Err(Break::Compacted(message.compact_revision()));
    }
    Err(canceled(message.cancel_reason()).into())
}

/// The reason is an error's text only: the status has no code.
fn canceled(reason: &str) -> Failure {
    if reason.contains("permission denied") {
        with_rights(Failure::Denied(reason.into()))
    } else if reason.contains("user name is empty") {
        with_rights(Failure::Unauthenticated(reason.into()))
    } else {
        Failure::Server(format!("the member canceled the watch: {reason}"))
    }
}

fn with_rights(failure: Failure) -> Failure {
    match failure {
        Failure::Denied(why) => Failure::Denied(format!("{why}: {RIGHTS}")),
        Failure::Unauthenticated(why) => Failure::Unauthenticated(format!("{why}: {RIGHTS}")),
        failure => failure,
    }
}

/// The cluster and the revision that its leader has at this moment.
pub async fn present(connection: &Connection) -> Result<(u64, i64), Failure> {
    let options = GetOptions::new().with_count_only().with_limit(1);
    let mut client = connection.client();
    let answer = connection.ask(client.get([0], Some(options))).await.map_err(with_rights)?;
    let header = answer.header();
    Ok((cluster_id(header), header.map(ResponseHeader::revision).unwrap_or_default()))
}

/// Whether this is the compaction's own revision: a watch may begin there, but is not told that the
/// deletes of it are gone. Where the compaction is later, the member cancels the watch.
pub async fn is_compacted_at(connection: &Connection, revision: i64) -> Result<bool, Failure> {
    let before = can_read_at(connection, revision.saturating_sub(1)).await?;
    Ok(!before && can_read_at(connection, revision).await?)
}

async fn can_read_at(connection: &Connection, revision: i64) -> Result<bool, Failure> {
    let options = GetOptions::new().with_count_only().with_revision(revision);
    let mut client = connection.client();
    match connection.ask(client.get([0], Some(options))).await {
        Ok(_) => Ok(true),
        Err(Failure::Server(why)) if why.contains("has been compacted") => Ok(false),
        Err(why) => Err(why),
    }
}

fn cluster_id(header: Option<&ResponseHeader>) -> u64 {
    header.map(ResponseHeader::cluster_id).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_of_canceling_become_failures_that_name_the_role() {
        for (reason, passing) in [
            ("rpc error: code = PermissionDenied desc = etcdserver: permission denied", false),
            ("etcdserver: permission denied", false),
            ("etcdserver: user name is empty", false),
            ("etcdserver: no leader", true),
        ] {
            let failure = canceled(reason);
            assert_eq!(failure.is_passing(), passing, "{failure}");
            assert_eq!(failure.to_string().contains("the role root"), !passing, "{failure}");
        }
    }
}
