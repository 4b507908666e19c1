//! Counts keys without keeping them: how many are live, and whether two sets of keys overlap.
//!
//! A key is 24 bytes here, whatever its length: 128 bits of a keyed hash and its last record's
//! ordinal. Two keys of one hash would be taken for one; with random 128-bit hashes that happens
//! in one of 10^20 files of a billion keys, and nobody can aim for it without the random key.
//! Above the limit entries go to a temporary file in sorted runs, which the end merges.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::PathBuf;

use rayon::ThreadPoolBuilder;
use rayon::slice::ParallelSliceMut;
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::error::Result;

mod spill;

use spill::Spill;

/// The memory a table takes before it spills, where nothing asks for another limit.
pub const LIMIT_BYTES: usize = 64 << 20;

/// A key's hash, comparable only with those of the same table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash([u64; 2]);

/// Hashes keys for one table; a copy is as good, so every thread can have one.
#[derive(Clone, Copy, Debug)]
pub struct KeyHasher(SipHasher13);

impl KeyHasher {
    fn random() -> Self {
        let seed = RandomState::new();
        let keyed = SipHasher13::new_with_keys(seed.hash_one(0_u8), seed.hash_one(1_u8));
        Self(keyed)
    }

    /// The hash of `key`.
    pub fn hash(&self, key: &[u8]) -> KeyHash {
        self.hash_parts([key])
    }

    /// The hash of the key that `parts` make when joined.
    pub fn hash_parts<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> KeyHash {
        let mut hasher = self.0;
        for part in parts {
            hasher.write(part);
        }
        let hash = hasher.finish128();
        KeyHash([hash.h1, hash.h2])
    }
}

/// What a record says about its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyFlags {
    /// The record deletes the key.
    pub tombstone: bool,
    /// The key belongs to the first of the two sets whose overlap is asked for.
    pub matched: bool,
    /// The record attaches the key to a lease.
    pub leased: bool,
    /// The record attaches the key to a lease that does not exist.
    pub orphaned: bool,
}

/// What a table counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyTotals {
    /// Keys whose last record is no tombstone.
    pub live: u64,
    /// Live keys that are attached to a lease.
    pub leased: u64,
    /// Those whose lease does not exist.
    pub orphaned: u64,
    /// Keys.
    pub distinct: u64,
    /// Keys pushed both as matched and as not matched.
    pub collided: u64,
    /// Of those the one whose last record comes first.
    pub first_collision: Option<KeyHash>,
}

/// One key, as far as one run knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    hash: KeyHash,
    /// The last record's ordinal, above five bits of flags.
    last: u64,
}

const TOMBSTONE: u64 = 1;
const SEEN_MATCHED: u64 = 2;
const SEEN_UNMATCHED: u64 = 4;
const LEASED: u64 = 8;
const ORPHANED: u64 = 16;
const SEEN: u64 = SEEN_MATCHED | SEEN_UNMATCHED;
const FLAG_BITS: u32 = 5;

impl Entry {
    /// Joins what two entries know of one key, in whatever order they are given.
    fn join(&mut self, other: &Self) {
        let seen = (self.last | other.last) & SEEN;
        self.last = self.last.max(other.last) | seen;
    }
}

/// Collects the keys of records, in the records' order.
pub struct KeyTable {
    hasher: KeyHasher,
    entries: Vec<Entry>,
    limit: usize,
    ordinal: u64,
    spill: Spill,
}

impl KeyTable {
    /// An empty table that takes up to `limit_bytes` of memory, then spills to the system's folder
    /// for temporary files, 24 bytes for each key.
    pub fn new(limit_bytes: usize) -> Self {
        Self::spilling_to(std::env::temp_dir(), limit_bytes)
    }

    /// As [`KeyTable::new`], with the folder to spill to. The file there has no name.
    pub fn spilling_to(folder: PathBuf, limit_bytes: usize) -> Self {
        Self {
            hasher: KeyHasher::random(),
            entries: Vec::new(),
            limit: (limit_bytes / size_of::<Entry>()).max(2),
            ordinal: 0,
            spill: Spill::new(folder, limit_bytes),
        }
    }

    /// What hashes keys for this table.
    pub fn hasher(&self) -> KeyHasher {
        self.hasher
    }

    /// The hash of `key`.
    pub fn hash(&self, key: &[u8]) -> KeyHash {
        self.hasher.hash(key)
    }

    /// Adds the next record.
    ///
    /// # Errors
    /// I/O, if it has to spill and can't.
    pub fn push(&mut self, hash: KeyHash, flags: KeyFlags) -> Result<()> {
        if self.entries.len() >= self.limit {
            self.make_room()?;
        }
        let seen = if flags.matched { SEEN_MATCHED } else { SEEN_UNMATCHED };
        let mut last = (self.ordinal << FLAG_BITS) | seen;
        for (holds, bit) in
            [(flags.tombstone, TOMBSTONE), (flags.leased, LEASED), (flags.orphaned, ORPHANED)]
        {
            last |= if holds { bit } else { 0 };
        }
        self.entries.push(Entry { hash, last });
        self.ordinal += 1;
        Ok(())
    }

    /// The counts over all records.
    ///
    /// # Errors
    /// I/O on what was spilled.
    pub fn finish(self) -> Result<KeyTotals> {
        self.finish_with(|_| {})
    }

    /// As [`KeyTable::finish`], showing `live` the last record of every live key: how many records
    /// were pushed before it. They come in no order.
    ///
    /// # Errors
    /// I/O on what was spilled.
    pub fn finish_with(mut self, live: impl FnMut(u64)) -> Result<KeyTotals> {
        sort_and_join(&mut self.entries);
        let mut tally = Tally { live, totals: KeyTotals::default(), first_ordinal: None };
        if self.spill.is_empty() {
            self.entries.iter().for_each(|entry| tally.add(entry));
        } else {
            self.spill.write_run(&self.entries)?;
            // The merge takes as much memory again for its buffers.
            drop(self.entries);
            self.spill.merge(|entry| tally.add(entry))?;
        }
        Ok(tally.totals)
    }

    /// Spills only what joining leaves: few keys with long histories never do.
    fn make_room(&mut self) -> Result<()> {
        sort_and_join(&mut self.entries);
        if self.entries.len() > self.limit / 2 {
            self.spill.write_run(&self.entries)?;
            self.entries.clear();
        }
        Ok(())
    }
}

fn sort_and_join(entries: &mut Vec<Entry>) {
    // A pool of its own: the global one panics where the system has no more threads.
    match ThreadPoolBuilder::new().build() {
        Ok(pool) => pool.install(|| entries.par_sort_unstable()),
        Err(_) => entries.sort_unstable(),
    }
    entries.dedup_by(|later, kept| {
        let same = later.hash == kept.hash;
        if same {
            kept.join(later);
        }
        same
    });
}

struct Tally<L> {
    totals: KeyTotals,
    first_ordinal: Option<u64>,
    live: L,
}

impl<L: FnMut(u64)> Tally<L> {
    fn add(&mut self, entry: &Entry) {
        self.totals.distinct += 1;
        if entry.last & TOMBSTONE == 0 {
            self.totals.live += 1;
            self.totals.leased += u64::from(entry.last & LEASED != 0);
            self.totals.orphaned += u64::from(entry.last & ORPHANED != 0);
            (self.live)(entry.last >> FLAG_BITS);
        }
        if entry.last & SEEN != SEEN {
            return;
        }
        self.totals.collided += 1;
        let ordinal = entry.last >> FLAG_BITS;
        if self.first_ordinal.is_none_or(|first| ordinal < first) {
            self.first_ordinal = Some(ordinal);
            self.totals.first_collision = Some(entry.hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn flags(tombstone: bool, matched: bool) -> KeyFlags {
        // Leases that change from record to record, as those do.
        KeyFlags { tombstone, matched, leased: matched, orphaned: tombstone != matched }
    }

    /// The same counts from a map of whole keys, with the colliding keys in order.
    fn model(records: &[(u16, KeyFlags)]) -> (KeyTotals, Option<u16>) {
        let mut keys: HashMap<u16, (usize, KeyFlags, [bool; 2])> = HashMap::new();
        for (ordinal, &(key, flags)) in records.iter().enumerate() {
            let entry = keys.entry(key).or_default();
            (entry.0, entry.1) = (ordinal, flags);
            entry.2[usize::from(flags.matched)] = true;
        }
        let live = |of: fn(&KeyFlags) -> bool| {
            keys.values().filter(|(_, last, _)| !last.tombstone && of(last)).count() as u64
        };
        let collided = || keys.iter().filter(|(_, (_, _, seen))| *seen == [true; 2]);
        let totals = KeyTotals {
            live: live(|_| true),
            leased: live(|last| last.leased),
            orphaned: live(|last| last.orphaned),
            distinct: keys.len() as u64,
            collided: collided().count() as u64,
            first_collision: None,
        };
        (totals, collided().min_by_key(|(_, v)| v.0).map(|(k, _)| *k))
    }

    /// Where the last record of each live key is.
    fn live_records(records: &[(u16, KeyFlags)]) -> Vec<usize> {
        let last: HashMap<u16, usize> =
            records.iter().enumerate().map(|(at, (key, _))| (*key, at)).collect();
        let mut live: Vec<usize> =
            last.into_values().filter(|&at| !records[at].1.tombstone).collect();
        live.sort_unstable();
        live
    }

    fn check(records: &[(u16, KeyFlags)], limit_bytes: usize) {
        let mut table = KeyTable::new(limit_bytes);
        let hasher = table.hasher();
        for (key, flags) in records {
            table.push(hasher.hash(&key.to_le_bytes()), *flags).unwrap();
        }
        let mut live = Vec::new();
        let totals = table.finish_with(|ordinal| live.push(ordinal as usize)).unwrap();
        live.sort_unstable();
        let (expected, first) = model(records);
        assert_eq!(live, live_records(records), "limit {limit_bytes}");
        let first_collision = first.map(|key| hasher.hash(&key.to_le_bytes()));
        let expected = KeyTotals { first_collision, ..expected };
        assert_eq!(totals, expected, "limit {limit_bytes}");
    }

    proptest! {
        #[test]
        fn counts_as_a_map_of_keys_does(
            records in prop::collection::vec((0_u16..200, any::<bool>(), any::<bool>()), 0..600),
            limit_entries in 0_usize..100,
        ) {
            let records: Vec<_> = records
                .into_iter()
                .map(|(key, tombstone, matched)| (key, flags(tombstone, matched)))
                .collect();
            check(&records, limit_entries * size_of::<Entry>());
            check(&records, LIMIT_BYTES);
        }
    }

    /// Many runs, each with the keys of the one before: the last run decides.
    #[test]
    fn the_last_record_wins_across_runs() {
        let mut records = Vec::new();
        for round in 0..40 {
            for key in 0..1000 {
                records.push((key, flags((key + round) % 3 == 0, true)));
            }
        }
        check(&records, 600 * size_of::<Entry>());
    }

    #[test]
    fn parts_hash_like_the_whole() {
        let table = KeyTable::new(LIMIT_BYTES);
        let parts: [&[u8]; 3] = [b"/c1", b"", b"/pods/default/a-long-enough-name"];
        let whole = table.hash(&parts.concat());
        assert_eq!(table.hasher().hash_parts(parts), whole);
        assert_ne!(KeyTable::new(LIMIT_BYTES).hash(&parts.concat()), whole);
    }
}
