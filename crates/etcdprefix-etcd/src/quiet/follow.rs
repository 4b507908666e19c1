//! The task that watches: through breaks, from member to member.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::WatchResponse;
use tokio::time::sleep;

use crate::client::Dialer;
use crate::endpoint::Endpoint;
use crate::error::Failure;
use crate::quiet::classify::{Change, Verdict};
use crate::quiet::feed::{Break, Feed, is_compacted_at};
use crate::quiet::lease::Leases;
use crate::quiet::shared::Shared;

/// Without events for so long, it is asked whether the last revision is whole.
const SETTLE_AFTER: Duration = Duration::from_millis(100);

/// Between attempts to reconnect: the first, doubled up to the last.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(2)];

/// Members that may fail to tell of one lease before its deletes stay undetermined.
const LEASE_FAILURES_MAX: u32 = 3;

/// Follows the events and never ends by itself.
pub struct Follower {
    dialer: Dialer,
    endpoints: Vec<Endpoint>,
    /// The endpoint that is watched.
    index: usize,
    shared: Arc<Shared>,
    leases: Leases,
    lease_failures: u32,
}

impl Follower {
    pub fn new(
        dialer: &Dialer,
        endpoints: &[Endpoint],
        index: usize,
        shared: &Arc<Shared>,
    ) -> Self {
        Self {
            dialer: dialer.clone(),
            endpoints: endpoints.to_vec(),
            index,
            shared: shared.clone(),
            leases: Leases::default(),
            lease_failures: 0,
        }
    }

    pub async fn run(mut self, mut feed: Feed) {
        loop {
            if let Err(why) = self.step(&mut feed).await {
                // The old connection ends before there is a new one.
                drop(feed);
                feed = self.resume(why).await;
            }
        }
    }

    async fn step(&mut self, feed: &mut Feed) -> Result<(), Break> {
        // Left over from a break, or nothing.
        self.judge(feed).await?;
        let shared = self.shared.clone();
        let patience = self.dialer.options().request_timeout;
        let whole = { shared.state().classifier.position().counted == 0 };
        tokio::select! {
            message = feed.next() => self.take(feed, &message?).await,
            () = shared.nudge.notified() => Err(Failure::Silent(patience).into()),
            () = sleep(SETTLE_AFTER), if !whole => feed.ask_progress().await,
        }
    }

    async fn take(&mut self, feed: &mut Feed, message: &WatchResponse) -> Result<(), Break> {
        if message.events().is_empty() && feed.is_current() {
            self.shared.state().classifier.set_whole();
            self.shared.publish();
        }
        for change in message.events().iter().filter_map(Change::of) {
            if feed.is_repeated(change.revision) {
                continue;
            }
            let before = self.shared.state().classifier.revision();
            if change.revision > before {
                self.judge(feed).await?;
                self.shared.state().expect_next(change.revision);
            }
            self.shared.state().classifier.take(&change);
            self.shared.publish();
        }
        // At once: a lease that is asked for later has had more time to end.
        self.judge(feed).await
    }

    /// Finds out what the deletes are that wait for it.
    async fn judge(&mut self, feed: &Feed) -> Result<(), Break> {
        let pending = self.shared.state().classifier.pending();
        let Some(lease) = pending else { return Ok(()) };
        let verdict = match self.leases.is_gone(feed.connection(), lease).await {
            Ok(true) => Verdict::Expiry,
            Ok(false) => Verdict::Writes,
            Err(why) if why.is_passing() && self.lease_failures < LEASE_FAILURES_MAX => {
                self.lease_failures += 1;
                return Err(why.into());
            }
            Err(_) => Verdict::Undetermined,
        };
        self.lease_failures = 0;
        self.shared.state().classifier.judge(verdict);
        Ok(())
    }

    async fn resume(&mut self, why: Break) -> Feed {
        let mut why = why;
        let [mut pause, longest] = PAUSES;
        loop {
            self.note(why);
            sleep(pause).await;
            pause = (pause * 2).min(longest);
            match self.open().await {
                Ok(feed) => {
                    self.shared.state().trouble = None;
                    return feed;
                }
                Err(next) => why = next,
            }
        }
    }

    fn note(&mut self, why: Break) {
        match why {
            Break::Failure(failure) => {
                self.shared.state().trouble = Some(failure);
                self.index = (self.index + 1) % self.endpoints.len();
            }
            Break::Compacted(until) => self.note_gap(until),
        }
    }

    /// Goes on behind the compaction, whose own revision may have lost its events, too.
    fn note_gap(&mut self, until: i64) {
        let mut state = self.shared.state();
        let first = state.classifier.position().revision;
        state.add_gap("compacted before they were wholly seen", first, until);
        state.classifier.skip_to(until);
        drop(state);
        self.shared.publish();
    }

    async fn open(&self) -> Result<Feed, Break> {
        let position = self.shared.state().classifier.position();
        let Some(endpoint) = self.endpoints.get(self.index) else {
            return Err(Failure::Unreachable("no endpoint".into()).into());
        };
        let connection = self.dialer.dial(endpoint).await?;
        let (feed, cluster_id) = Feed::open(connection, position).await?;
        if cluster_id != self.shared.cluster_id {
            return Err(Failure::Server("it is a member of another cluster now".into()).into());
        }
        if is_compacted_at(feed.connection(), position.revision).await? {
            return Err(Break::Compacted(position.revision));
        }
        Ok(feed)
    }
}
