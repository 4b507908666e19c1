//! HashKV, the hash that etcd's members compare among each other, from a file that is only read.
//!
//! The rules are those of a server that starts on the file (etcd `mvcc/hash.go` and `kvstore.go`,
//! 3.4 to 3.6). CRC-32C over the bucket's name, then key and value of each record up to the
//! revision asked for. Of records up to the compacted revision only those count that a compaction at
//! the revision asked for would keep: the last one of each key, unless it deletes the key. If it
//! would keep none, all of them count.

mod keep;

use std::cell::RefCell;

use serde::Serialize;

use crate::crc::Crc;
use crate::error::{Corruption, Error, Location, Result};
use crate::parallel;
use crate::progress::{Phase, Progress, step};
use crate::read::{Bucket, PageSet, Snapshot, Unit, Units};
use crate::rewrite::schema::{self, RecordKey};
use crate::verify::marks::CompactionMarks;
use crate::verify::pairs::Pairs;
use crate::verify::top_buckets::top_buckets;

use keep::Keep;

/// HashKV of a store at one revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HashKv {
    /// What a server that starts on the file answers: etcd from 3.4.34, 3.5.16 or 3.6.0 on, and
    /// older ones unless `alternatives` has another answer of theirs.
    pub hash: u32,
    /// The revision it is of.
    pub hash_revision: i64,
    /// The revision up to which that server has compacted or does, -1 for none.
    pub compact_revision: i64,
    /// The store's latest revision.
    pub revision: i64,
    /// What other servers answer, where it differs.
    pub alternatives: Vec<OtherHashKv>,
}

/// Another answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct OtherHashKv {
    /// Whose.
    pub of: Answering,
    /// The hash.
    pub hash: u32,
    /// The revision up to which that server has compacted, -1 for none.
    pub compact_revision: i64,
}

/// Who answers otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answering {
    /// etcd up to 3.4.33 and 3.5.15, which does not leave out a tombstone at the compacted
    /// revision. It matters only if no key lives at the revision asked for.
    OlderEtcd,
    /// A server that does not go on with the compaction under way: one that refuses it because
    /// its revision lies behind the last record.
    FinishedCompaction,
    /// Both.
    OlderEtcdFinishedCompaction,
}

/// Computes HashKV at `revision`, at the latest one if that is 0. Neither structure nor trailer is
/// looked at beyond what is read. It begins the phase.
///
/// Cost: one read of the records; if the store was ever compacted, two and 64 MiB for keys, above
/// that a temporary file of 24 bytes a key, and a bit a record; one more for an alternative.
///
/// # Errors
/// [`Error::NoSuchRevision`] for one that is compacted or still to come; damaged; I/O, interrupted,
/// or changed while it was read.
pub fn hash_kv(
    snapshot: &Snapshot,
    revision: i64,
    threads: usize,
    progress: &dyn Progress,
) -> Result<HashKv> {
    let hashed = Hasher::open(snapshot, revision, threads, progress)?.hash_kv();
    snapshot.unchanged()?;
    hashed
}

/// One way to hash: the compaction that is assumed, and the rule of older versions.
#[derive(Clone, Copy)]
struct Way {
    compacted: i64,
    older: bool,
}

struct Hasher<'s> {
    snapshot: &'s Snapshot,
    bucket: Bucket,
    marks: CompactionMarks,
    /// The highest revision that counts.
    upper: i64,
    threads: usize,
    progress: &'s dyn Progress,
}

/// What a pass over all records gives.
struct Pass {
    crc: Crc,
    /// The last record's main revision.
    last: i64,
}

impl<'s> Hasher<'s> {
    fn open(
        snapshot: &'s Snapshot,
        revision: i64,
        threads: usize,
        progress: &'s dyn Progress,
    ) -> Result<Self> {
        let seen = RefCell::new(PageSet::for_pages_of(snapshot));
        let [key, meta] = top_buckets(snapshot, [schema::KEY, schema::META], &seen)?;
        let missing = Corruption::BucketMissing { name: schema::KEY };
        let bucket = key.ok_or_else(|| snapshot.damaged(Location::default(), missing))?;
        let marks = meta.map(|meta| CompactionMarks::read(snapshot, &meta)).transpose()?;
        let upper = if revision == 0 { i64::MAX } else { revision };
        let marks = marks.unwrap_or_default();
        Ok(Self { snapshot, bucket, marks, upper, threads, progress })
    }

    fn hash_kv(&self) -> Result<HashKv> {
        let finished = self.marks.finished.unwrap_or(-1);
        let compacted = self.marks.scheduled.unwrap_or(-1).max(finished);
        let passes = if compacted < 0 { 1 } else { 2 };
        self.progress.begin(Phase::Read, self.snapshot.pages_bytes().saturating_mul(passes));
        let keep = if compacted < 0 { Keep::default() } else { Keep::read(self, compacted)? };
        let Pass { crc, last } = self.pass(Way { compacted, older: false }, &keep)?;
        // A server without any record is at revision 1.
        let revision = last.max(compacted).max(1);
        let hash_revision = if self.upper == i64::MAX { revision } else { self.upper };
        let (first, last) = (compacted.max(1), revision);
        if !(first..=last).contains(&hash_revision) {
            let (path, revision) = (self.snapshot.path().into(), hash_revision);
            return Err(Error::NoSuchRevision { path, revision, first, last });
        }
        let mut kv = HashKv {
            hash: crc.value(),
            hash_revision,
            compact_revision: compacted,
            revision,
            alternatives: Vec::new(),
        };
        self.add_alternatives(&mut kv, finished, &keep)?;
        Ok(kv)
    }

    fn add_alternatives(&self, kv: &mut HashKv, finished: i64, keep: &Keep) -> Result<()> {
        let compacted = kv.compact_revision;
        for (of, compacted, older) in [
            (Answering::OlderEtcd, compacted, true),
            (Answering::FinishedCompaction, finished, false),
            (Answering::OlderEtcdFinishedCompaction, finished, true),
        ] {
            let another = of == Answering::OlderEtcd || finished < kv.compact_revision;
            // The tombstone that the rules differ in is never kept, so it counts if all do.
            let differs = !older || (keep.is_empty() && compacted >= 0);
            if !(another && differs) {
                continue;
            }
            let hash = self.pass(Way { compacted, older }, keep)?.crc.value();
            let known = [(kv.hash, kv.compact_revision)];
            let others = kv.alternatives.iter().map(|other| (other.hash, other.compact_revision));
            if !known.into_iter().chain(others).any(|known| known == (hash, compacted)) {
                kv.alternatives.push(OtherHashKv { of, hash, compact_revision: compacted });
            }
        }
        Ok(())
    }

    /// Hashes all records that count.
    fn pass(&self, way: Way, keep: &Keep) -> Result<Pass> {
        let mut pass = Pass { crc: Crc::default(), last: 0 };
        pass.crc.update(schema::KEY.as_bytes());
        let mut units = 0;
        let numbered = |unit| {
            units += 1;
            (units - 1, unit)
        };
        self.each_unit(
            numbered,
            |(number, unit)| self.hash_unit(&unit, way, keep, keep.start_of(number)),
            |part: Pass| {
                pass.crc.append(&part.crc);
                pass.last = pass.last.max(part.last);
                Ok(())
            },
        )?;
        Ok(pass)
    }

    fn hash_unit(&self, unit: &Unit, way: Way, keep: &Keep, start: u64) -> Result<Pass> {
        let mut pairs = Pairs::of_unit(self.snapshot, &self.bucket, unit)?;
        let (mut last, mut ordinal) = (0, start);
        while let Some(pair) = pairs.peek()? {
            let key = match record_key(pair.is_bucket, pair.key) {
                Ok(key) => key,
                Err(damage) => return Err(pairs.damaged(damage)),
            };
            last = key.revision.main.max(last);
            if self.counts(key, way, keep, ordinal) {
                pairs.accept();
            } else {
                pairs.skip();
            }
            ordinal += u64::from(key.revision.main <= self.upper);
        }
        Ok(Pass { crc: pairs.into_crc(), last })
    }

    /// Whether a record is hashed; `ordinal` records up to the highest revision stand before it.
    fn counts(&self, key: RecordKey, way: Way, keep: &Keep, ordinal: u64) -> bool {
        let main = key.revision.main;
        let gone = main <= way.compacted && !keep.is_empty() && !keep.contains(ordinal);
        let left_out = !way.older && main == way.compacted && key.tombstone;
        main <= self.upper && !gone && !left_out
    }

    /// Takes the units of bucket `key` through `work`, in order into `consume`.
    fn each_unit<I: Send, R: Send>(
        &self,
        mut item: impl FnMut(Unit) -> I + Send,
        work: impl Fn(I) -> Result<R> + Sync,
        mut consume: impl FnMut(R) -> Result<()>,
    ) -> Result<()> {
        let mut pages = PageSet::for_pages_of(self.snapshot);
        let mut units = Units::new(self.snapshot, &self.bucket, &mut pages);
        parallel::ordered(
            self.threads,
            || Ok(units.next()?.map(|unit| (unit.bytes, item(unit)))),
            |(bytes, item)| Ok((bytes, work(item)?)),
            |(bytes, result)| {
                step(self.progress, bytes)?;
                consume(result)
            },
        )
    }
}

fn record_key(is_bucket: bool, key: &[u8]) -> Result<RecordKey, Corruption> {
    if is_bucket { Err(Corruption::BucketAmongRecords) } else { RecordKey::parse(key) }
}
