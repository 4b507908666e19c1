//! What the small buckets say of the store: alarms, compaction, leases, whether auth is on. They are
//! read before the records, which are judged by them.

use crate::error::Result;
use crate::format::leaf::LeafElement;
use crate::outcome::{Alarms, Compaction};
use crate::progress::{Progress, step};
use crate::read::{Leaves, PageSet, Snapshot, Units};
use crate::rewrite::schema::{self, RecordKey};
use crate::rewrite::wire::{FieldValue, fields};

/// Leases kept in memory, 8 bytes each; etcd would take minutes to load so many.
const LEASES_MAX: usize = 4 << 20;

/// What the store is besides its records.
#[derive(Debug, Default)]
pub struct Store {
    /// Alarms by kind.
    pub alarms: Alarms,
    /// Whether clients have to authenticate.
    pub auth_enabled: bool,
    /// How far the store is compacted, and was to be.
    pub compaction: Compaction,
    /// The leases that exist.
    pub leases: LeaseIds,
}

/// The ids of all leases, unless there are too many to keep.
#[derive(Debug, Default)]
pub struct LeaseIds {
    /// Sorted.
    ids: Vec<u64>,
    /// How many there are, kept or not.
    pub count: u64,
    /// Whether there were too many to keep.
    overflowed: bool,
}

impl LeaseIds {
    /// Whether a lease of this id is known not to exist.
    pub fn lacks(&self, id: u64) -> bool {
        self.are_known() && self.ids.binary_search(&id).is_err()
    }

    /// Whether all of them are kept.
    pub fn are_known(&self) -> bool {
        !self.overflowed
    }

    fn note(&mut self, key: &[u8]) {
        self.count += 1;
        match number(key) {
            Some(id) if self.ids.len() < LEASES_MAX => self.ids.push(id),
            Some(_) => self.overflowed = true,
            // No id: etcd could not attach a key to it either.
            None => {}
        }
    }
}

impl Store {
    /// Reads the small buckets of `snapshot`. Those that are missing say nothing.
    ///
    /// # Errors
    /// Damaged, I/O, interrupted.
    pub fn read(snapshot: &Snapshot, progress: &dyn Progress) -> Result<Self> {
        let mut store = Self::default();
        each_pair(snapshot, schema::ALARM, progress, |pair| store.alarms.note(pair.key))?;
        each_pair(snapshot, schema::AUTH, progress, |pair| {
            store.auth_enabled |= pair.key == schema::AUTH_ENABLED.as_bytes() && pair.value == [1];
        })?;
        each_pair(snapshot, schema::META, progress, |pair| store.compaction.note(&pair))?;
        each_pair(snapshot, schema::LEASE, progress, |pair| store.leases.note(pair.key))?;
        // They are sorted already, unless the file is damaged.
        store.leases.ids.sort_unstable();
        Ok(store)
    }
}

impl Alarms {
    /// The key is an encoded `etcdserverpb.AlarmMember`: memberID = 1, alarm = 2.
    fn note(&mut self, key: &[u8]) {
        let mut kind = 0;
        for field in fields(key).map_while(Result::ok) {
            if let (2, FieldValue::Varint(alarm)) = (field.number, field.value) {
                kind = alarm;
            }
        }
        match kind {
            1 => self.nospace += 1,
            2 => self.corrupt += 1,
            _ => self.other += 1,
        }
    }
}

impl Compaction {
    fn note(&mut self, pair: &LeafElement<'_>) {
        let revision = || RecordKey::parse(pair.value).ok().map(|at| at.revision.main);
        if pair.key == schema::SCHEDULED_COMPACT_REV.as_bytes() {
            self.scheduled_revision = revision();
        } else if pair.key == schema::FINISHED_COMPACT_REV.as_bytes() {
            self.finished_revision = revision();
        }
    }
}

fn number(key: &[u8]) -> Option<u64> {
    let bytes: [u8; 8] = key.try_into().ok()?;
    Some(bytes.iter().fold(0, |number, &byte| (number << 8) | u64::from(byte)))
}

/// Shows every pair of a top-level bucket, if there is such a bucket.
fn each_pair(
    snapshot: &Snapshot,
    bucket: &str,
    progress: &dyn Progress,
    mut show: impl FnMut(LeafElement<'_>),
) -> Result<()> {
    let Some(bucket) = snapshot.bucket(bucket.as_bytes())? else {
        return Ok(());
    };
    // A page met twice would make the walk endless.
    let mut seen = PageSet::for_pages_of(snapshot);
    let mut units = Units::new(snapshot, &bucket, &mut seen);
    while let Some(unit) = units.next()? {
        let mut leaves = Leaves::resume(snapshot, &bucket, &unit.position)?;
        for _ in 0..unit.leaves {
            let Some(leaf) = leaves.next()? else { break };
            // Elements that share bytes could show the same megabyte thousands of times.
            leaf.check_sum()?;
            step(progress, 0)?;
            for index in 0..leaf.count() {
                show(leaf.element(index)?);
            }
        }
    }
    Ok(())
}
