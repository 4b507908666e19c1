//! How far the store is compacted, as bucket `meta` has it (etcd `mvcc/kvstore.go`, 3.3 to 3.6).

use crate::error::Result;
use crate::read::{Bucket, Snapshot};
use crate::rewrite::schema::{FINISHED_COMPACT_REV, RecordKey, SCHEDULED_COMPACT_REV};
use crate::verify::pairs::Pairs;

/// A revision as a record's key has it; what follows is not looked at.
pub const MARK_BYTES: usize = 17;

/// Main revisions; `None` if the mark is not there or is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompactionMarks {
    /// Up to here the server compacts, or goes on compacting when it starts.
    pub scheduled: Option<i64>,
    /// Up to here it has.
    pub finished: Option<i64>,
}

impl CompactionMarks {
    /// Reads the marks from bucket `meta`.
    ///
    /// # Errors
    /// Damaged if the way to them can't be read; I/O.
    pub fn read(snapshot: &Snapshot, meta: &Bucket) -> Result<Self> {
        let mark = |name: &str| -> Result<Option<i64>> {
            let mut pairs = Pairs::from_key(snapshot, meta, name.as_bytes())?;
            let pair = pairs.peek()?.filter(|pair| pair.key == name.as_bytes());
            Ok(pair.and_then(|pair| revision_in(pair.value)))
        };
        Ok(Self { scheduled: mark(SCHEDULED_COMPACT_REV)?, finished: mark(FINISHED_COMPACT_REV)? })
    }

    /// Whether a server that starts on this store compacts first.
    pub fn is_under_way(&self) -> bool {
        self.scheduled > self.finished
    }
}

fn revision_in(mark: &[u8]) -> Option<i64> {
    RecordKey::parse(mark.get(..MARK_BYTES)?).ok().map(|key| key.revision.main)
}
