//! Whether anybody writes: a watch over all keys that knows expiries from writers.
//!
//! ```text
//! feed: events of one member -> follow: through breaks, asking for leases
//!     -> classify: writes or expiries, by revision -> tally: bounded counts -> report
//! ```
//!
//! The revision of a store moves even if nobody writes: keys with leases expire. Such deletes are
//! known by their lease, which is gone at that moment, while a client deletes under a living lease.
//! `etcdctl lease revoke` is no different from an expiry, neither in its events nor after them, and
//! is counted as one.

mod classify;
mod feed;
mod follow;
mod lease;
mod report;
mod shared;
mod tally;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::client::Dialer;
use crate::endpoint::Endpoint;
use crate::error::{Error, Failure, Result};

use classify::Position;
use feed::{Break, Feed, is_compacted_at, present};
use follow::Follower;
use shared::Shared;

pub use report::QuietReport;
pub use tally::{KeyWrites, OtherWrites};

/// For a member to come back, or a watch that fell behind to catch up.
const CATCH_UP: Duration = Duration::from_secs(60);

/// Before all endpoints are asked once more.
const PAUSE: Duration = Duration::from_millis(200);

/// A watch that runs until it is stopped or dropped, in a task of its own.
///
/// Where its member breaks away, it goes on with another endpoint, or the same, from where it was.
/// A member that is cut off from its leader looks like a quiet one; only [`Self::caught_up`] and
/// [`Self::stop`] prove that nothing is missing.
pub struct QuietWatch {
    dialer: Dialer,
    endpoints: Vec<Endpoint>,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl QuietWatch {
    /// Returns once a member watches, from the revision that the leader had then. The endpoints are
    /// tried in their order, and must be of one cluster.
    ///
    /// # Errors
    /// [`Error::Member`] if the user may not watch everything: then other members would not let it
    /// either. [`Error::NoMember`] if none of the endpoints serves, [`Error::Usage`] if there is none.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn start(dialer: &Dialer, endpoints: &[Endpoint]) -> Result<Self> {
        Self::start_from(dialer, endpoints, None).await
    }

    /// As [`Self::start`], but with everything after `revision`, which lies in the past. What was
    /// compacted since is an error or a gap. A lease that ended since then can't be asked for, so a
    /// client's delete under it is taken for an expiry.
    ///
    /// # Errors
    /// As [`Self::start`]; [`Error::Member`] too if the next revision is compacted, or if it lies in
    /// the future.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn start_after(
        dialer: &Dialer,
        endpoints: &[Endpoint],
        revision: i64,
    ) -> Result<Self> {
        Self::start_from(dialer, endpoints, Some(revision)).await
    }

    async fn start_from(
        dialer: &Dialer,
        endpoints: &[Endpoint],
        after: Option<i64>,
    ) -> Result<Self> {
        if endpoints.is_empty() {
            return Err(Error::Usage("no endpoint to watch".into()));
        }
        let mut failures = Vec::new();
        for (index, endpoint) in endpoints.iter().enumerate() {
            match begin(dialer, endpoint, after).await {
                Ok((shared, feed)) => {
                    return Ok(Self::spawn(dialer, endpoints, index, shared, feed));
                }
                Err(why) if !why.is_passing() => return Err(why.at(endpoint)),
                Err(why) => failures.push((endpoint, why)),
            }
        }
        let reasons = failures.iter().map(|(endpoint, why)| format!("{endpoint}: {why}")).collect();
        let failure = failures.into_iter().next().map(|(_, why)| why);
        Err(Error::NoMember { reasons, failure, passing: true })
    }

    fn spawn(
        dialer: &Dialer,
        endpoints: &[Endpoint],
        index: usize,
        shared: Shared,
        feed: Feed,
    ) -> Self {
        let shared = Arc::new(shared);
        let follower = Follower::new(dialer, endpoints, index, &shared);
        let task = tokio::spawn(follower.run(feed));
        Self { dialer: dialer.clone(), endpoints: endpoints.to_vec(), shared, task }
    }

    /// What was seen until now. Asks nobody, so the last moments, and all since a break that is not
    /// mended yet, may be missing.
    pub fn report_so_far(&self) -> QuietReport {
        self.shared.report()
    }

    /// Makes sure that everything until this call is seen, and goes on watching.
    ///
    /// Asks the leader for its revision, by a read that a member without leader can't answer, and
    /// waits until the watch has seen it: each revision has an event.
    ///
    /// # Errors
    /// [`Error::WatchBehind`] if that takes longer than `limit`. [`Error::Member`] if the user may not
    /// read any more.
    pub async fn caught_up(&self, limit: Duration) -> Result<QuietReport> {
        match tokio::time::timeout(limit, self.catch_up()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.behind(limit)),
        }
    }

    /// As [`Self::caught_up`], with a minute for it, and ends the watch.
    ///
    /// # Errors
    /// As [`Self::caught_up`].
    pub async fn stop(self) -> Result<QuietReport> {
        self.caught_up(CATCH_UP).await
    }

    async fn catch_up(&self) -> Result<QuietReport> {
        let mut complete = self.shared.complete.subscribe();
        let seen = *complete.borrow();
        let target = self.present().await?;
        // A watch sees nothing that the leader has not had before.
        if seen > target {
            let why = "the store went back to before them, so it is another one";
            self.shared.state().add_gap(why, target + 1, i64::MAX);
        }
        let patience = self.dialer.options().request_timeout;
        while *complete.borrow_and_update() < target {
            if tokio::time::timeout(patience, complete.changed()).await.is_err() {
                self.shared.nudge.notify_one();
            }
        }
        Ok(self.report_so_far())
    }

    /// The leader's revision, from the first endpoint that can tell it.
    async fn present(&self) -> Result<i64> {
        loop {
            for endpoint in &self.endpoints {
                match self.ask_present(endpoint).await {
                    Ok(revision) => return Ok(revision),
                    Err(why) if !why.is_passing() => return Err(why.at(endpoint)),
                    Err(why) => self.shared.state().trouble = Some(why),
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn ask_present(&self, endpoint: &Endpoint) -> Result<i64, Failure> {
        let (cluster_id, revision) = present(&self.dialer.dial(endpoint).await?).await?;
        if cluster_id != self.shared.cluster_id {
            return Err(Failure::Server(format!("{endpoint} is of another cluster now")));
        }
        Ok(revision)
    }

    fn behind(&self, limit: Duration) -> Error {
        let state = self.shared.state();
        Error::WatchBehind {
            seen: state.classifier.complete(),
            limit,
            failure: state.trouble.clone(),
        }
    }
}

impl Drop for QuietWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn begin(
    dialer: &Dialer,
    endpoint: &Endpoint,
    after: Option<i64>,
) -> Result<(Shared, Feed), Failure> {
    let connection = dialer.dial(endpoint).await?;
    let (cluster_id, present) = present(&connection).await?;
    let start = after.unwrap_or(present);
    if start > present {
        let why = format!("it is at revision {present}, before {start}: another store");
        return Err(Failure::Server(why));
    }
    let first = start + 1;
    if start < present && is_compacted_at(&connection, first).await? {
        return Err(Failure::Server(format!("compacted at {first}: its deletes can't be seen")));
    }
    let from = Position { revision: first, counted: 0 };
    match Feed::open(connection, from).await {
        Ok((feed, _)) => Ok((Shared::new(cluster_id, start), feed)),
        Err(Break::Failure(failure)) => Err(failure),
        Err(Break::Compacted(at)) => Err(Failure::Server(format!("compacted at {at} meanwhile"))),
    }
}
