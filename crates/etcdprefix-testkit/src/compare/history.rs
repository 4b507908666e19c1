//! The events of a watch that starts at the oldest revision.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use etcd_client::{Client, Event, EventType, WatchOptions};

use super::ranges::{MESSAGE_LIMIT, Seen};
use super::{Compared, Pair};
use crate::within;

/// The last key written under the prefix: the watch has seen everything when it sees this.
/// (Progress notices of old servers may come before the events that they promise.)
pub const END_MARK: &str = "end-of-watch";

const SILENCE_LIMIT: Duration = Duration::from_secs(30);

#[derive(PartialEq, Eq)]
struct Change {
    kind: EventType,
    now: Seen,
    before: Option<Seen>,
}

impl Change {
    fn new(event: &Event) -> Result<Self> {
        let now = Seen::new(event.kv().context("an event without a key")?);
        Ok(Self { kind: event.event_type(), now, before: event.prev_kv().map(Seen::new) })
    }

    fn shown(&self) -> String {
        let before = self.before.as_ref().map(Seen::shown);
        format!("{:?} {} (before: {before:?})", self.kind, self.now.shown())
    }
}

impl Pair<'_> {
    /// Events must come in the same order: it is the order of revisions, which keys don't change.
    pub(super) async fn history(&mut self, done: &mut Compared) -> Result<()> {
        let first = done.compacted.max(0) + 1;
        let end = self.map.source_key(END_MARK);
        let mut source = watch(&mut self.source, first, &end).await.context("the source")?;
        let dest = watch(&mut self.dest, first, &self.map.map(&end)).await?;
        for change in &mut source {
            change.now.key = self.map.map(&change.now.key);
            if let Some(before) = &mut change.before {
                before.key = self.map.map(&before.key);
            }
        }
        for (expected, found) in source.iter().zip(&dest) {
            if expected != found {
                bail!("event: expected {}, found {}", expected.shown(), found.shown());
            }
        }
        ensure!(source.len() == dest.len(), "{} events, not {}", dest.len(), source.len());
        done.events = dest.len();
        Ok(())
    }
}

async fn watch(client: &mut Client, first: i64, end: &[u8]) -> Result<Vec<Change>> {
    let mut watcher = client.watch_client().max_decoding_message_size(MESSAGE_LIMIT);
    let options = WatchOptions::new().with_all_keys().with_start_revision(first).with_prev_key();
    let mut stream = watcher.watch("", Some(options)).await?;
    let mut changes = Vec::new();
    loop {
        let message = within(SILENCE_LIMIT, "watch", stream.message()).await??;
        let message = message.context("the watch's stream ended")?;
        ensure!(!message.canceled(), "watch from {first} canceled: {}", message.cancel_reason());
        for event in message.events() {
            changes.push(Change::new(event)?);
        }
        if changes.last().is_some_and(|change| change.now.key == end) {
            return Ok(changes);
        }
    }
}
