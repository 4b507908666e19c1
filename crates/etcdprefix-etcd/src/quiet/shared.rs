//! What the watching task and its owner share.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, watch};

use crate::error::Failure;
use crate::quiet::classify::Classifier;
use crate::quiet::report::QuietReport;

/// The state of a watch.
pub struct Shared {
    state: Mutex<State>,
    /// Up to where everything was seen.
    pub complete: watch::Sender<i64>,
    /// That the member says nothing though it should, so that another one is to be watched.
    pub nudge: Notify,
    /// The cluster that is watched.
    pub cluster_id: u64,
    start_revision: i64,
    started: Instant,
}

/// What changes.
pub struct State {
    pub classifier: Classifier,
    /// What kept the watch, or its owner, from going on; nothing while all is well.
    pub trouble: Option<Failure>,
    gap: Option<Gap>,
}

impl State {
    /// Each revision has an event, so one that has none was lost.
    pub fn expect_next(&mut self, revision: i64) {
        let last = self.classifier.revision();
        if revision > last.saturating_add(1) {
            let first = last.saturating_add(1);
            self.add_gap("no events came of them", first, revision.saturating_sub(1));
        }
    }

    /// Not all was seen from `first` to `last`; of several gaps the first reason is told.
    pub fn add_gap(&mut self, why: &'static str, first: i64, last: i64) {
        let gap = self.gap.get_or_insert(Gap { why, first, last });
        gap.last = gap.last.max(last);
    }
}

/// From the first revision that may not have been seen to the last one.
struct Gap {
    why: &'static str,
    first: i64,
    last: i64,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.last {
            i64::MAX => write!(f, "revisions from {}: {}", self.first, self.why),
            last => write!(f, "revisions {} to {last}: {}", self.first, self.why),
        }
    }
}

impl Shared {
    pub fn new(cluster_id: u64, start_revision: i64) -> Self {
        let classifier = Classifier::new(start_revision);
        Self {
            state: Mutex::new(State { classifier, trouble: None, gap: None }),
            complete: watch::Sender::new(start_revision),
            nudge: Notify::new(),
            cluster_id,
            start_revision,
            started: Instant::now(),
        }
    }

    /// Never held across a wait.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells those who wait how far the watch is.
    pub fn publish(&self) {
        let complete = self.state().classifier.complete();
        self.complete.send_if_modified(|last| std::mem::replace(last, complete) != complete);
    }

    pub fn report(&self) -> QuietReport {
        let state = self.state();
        let tally = &state.classifier.tally;
        let seconds = self.started.elapsed().as_secs_f64();
        let (keys, other_keys) = tally.most_written(seconds);
        QuietReport {
            start_revision: self.start_revision,
            end_revision: state.classifier.revision(),
            complete_revision: state.classifier.complete(),
            seconds,
            quiet: tally.written.is_none() && state.gap.is_none(),
            puts: tally.puts,
            deletes: tally.deletes,
            expiries: tally.expiries,
            undetermined: tally.undetermined,
            gap: state.gap.as_ref().map(Gap::to_string),
            first_write_revision: tally.written.map(|(first, _)| first),
            last_write_revision: tally.written.map(|(_, last)| last),
            keys,
            other_keys,
            missed_revision: state.gap.as_ref().map(|gap| gap.last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quiet::classify::{Change, Kind};

    #[test]
    fn a_revision_that_was_skipped_is_a_gap() {
        let shared = Shared::new(1, 5);
        for revision in [6, 6, 7] {
            let mut state = shared.state();
            state.expect_next(revision);
            state.classifier.take(&Change { revision, key: b"k", kind: Kind::Put });
        }
        assert_eq!(shared.report().gap, None);
        shared.state().expect_next(9);
        let report = shared.report();
        assert_eq!(report.gap.as_deref(), Some("revisions 8 to 8: no events came of them"));
        assert!(report.may_have_writes_after(7) && !report.may_have_writes_after(8), "{report:?}");
        shared.state().add_gap("the store went back", 3, i64::MAX);
        assert!(shared.report().may_have_writes_after(i64::MAX - 1));
    }

    #[test]
    fn the_owner_is_told_how_far_it_is() {
        let shared = Shared::new(1, 5);
        shared.state().classifier.take(&Change { revision: 6, key: b"k", kind: Kind::Put });
        shared.publish();
        assert_eq!((*shared.complete.borrow(), shared.report().end_revision), (5, 6));
        assert_eq!(shared.report().complete_revision, 5);
        shared.state().classifier.set_whole();
        shared.publish();
        assert_eq!(*shared.complete.borrow(), 6);
    }
}
