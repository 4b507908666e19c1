//! What a watch has seen.

use serde::Serialize;

use crate::quiet::tally::{KeyWrites, OtherWrites};

/// What was seen between two revisions. Holds keys' names, never values.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub struct QuietReport {
    /// Everything after this revision is seen, if there is no gap.
    pub start_revision: i64,
    /// The last revision seen; that of the start if nothing happened.
    pub end_revision: i64,
    /// Up to here everything is seen and judged; the last revision may still come in parts.
    pub complete_revision: i64,
    /// How long the watch ran.
    pub seconds: f64,
    /// Whether it is proved that nobody wrote: no puts, no deletes but expiries, nothing
    /// undetermined, no gap.
    pub quiet: bool,
    /// Puts, each key of a transaction counted.
    pub puts: u64,
    /// Deletes by clients.
    pub deletes: u64,
    /// Keys deleted because their lease ended, by its time or by a client's revoking it: events and
    /// later leases are the same for both. A delete by a client whose lease ended before it could be
    /// asked for, such as after a reconnection, is counted here, too.
    pub expiries: u64,
    /// Deletes that may be expiries, but can't be shown to be: the previous value was compacted, or
    /// the lease could not be asked for.
    pub undetermined: u64,
    /// Which revisions may not have been seen, and why: a compaction came first, or the store is
    /// another one now.
    pub gap: Option<String>,
    /// The first revision with a write: a put, a delete, or an undetermined one.
    pub first_write_revision: Option<i64>,
    /// The last revision with a write.
    pub last_write_revision: Option<i64>,
    /// The keys written most often, at most 100, the busiest first. Of more than 4,096 different keys
    /// those that came first.
    pub keys: Vec<KeyWrites>,
    /// Writes to all other keys.
    pub other_keys: OtherWrites,
    /// The last revision in a gap.
    #[serde(skip)]
    pub(super) missed_revision: Option<i64>,
}

impl QuietReport {
    /// Whether a revision above this one was a write, or was not seen and so may have been one. Of
    /// revisions up to [`Self::start_revision`] it knows nothing.
    pub fn may_have_writes_after(&self, revision: i64) -> bool {
        let last = self.last_write_revision.max(self.missed_revision);
        last.is_some_and(|last| last > revision)
    }
}
