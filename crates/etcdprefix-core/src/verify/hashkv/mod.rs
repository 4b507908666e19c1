//! HashKV, the hash that etcd's members compare among each other, from a file that is only read.
//!
//! The rules are those of a server that starts on the file (etcd `mvcc/hash.go` and `kvstore.go`,
//! 3.4 to 3.6). CRC-32C over the bucket's name, then key and value of each record up to the
//! revision asked for. Of records up to the compacted revision only those count that a compaction at
//! the revision asked for would keep: the last one of each key, unless it deletes the key. If it
//! would keep none, all of them count.
//!
//! A server that has compacted since the file was saved answers of the records that are left, and
//! names that revision: [`hash_kv_at`]. Where a compaction at the revision asked for would keep some,
//! this only moves the compacted revision; where it would keep none, what the server's own compaction
//! removed must not count.

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
    /// etcd from 3.5.16 on that has since compacted at the very revision asked for, and answers
    /// with the hash that it took then. Only of [`hash_kv_at`], and only if no key lives at that
    /// revision.
    JustCompacted,
}

/// What HashKV is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HashKvAt {
    /// The revision, 0 for the latest one.
    pub revision: i64,
    /// The revision up to which the server says that it has compacted, -1 for none. It may have
    /// done so after the file was saved, up to the revision asked for. `None` for a server that
    /// starts on the file.
    pub compacted: Option<i64>,
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
    hash_kv_at(snapshot, HashKvAt { revision, compacted: None }, threads, progress)
}

/// The same of a server that may have compacted since the file was saved. `compact_revision` of the
/// result is then the one given. Cost: as [`hash_kv`], and one more read if no key lives.
///
/// # Errors
/// As [`hash_kv`]; [`Error::NoSuchRevision`] also if the revision compacted is beyond the one asked
/// for, or below the one up to which the file's compaction is finished.
pub fn hash_kv_at(
    snapshot: &Snapshot,
    at: HashKvAt,
    threads: usize,
    progress: &dyn Progress,
) -> Result<HashKv> {
    let hashed = Hasher::open(snapshot, at, threads, progress)?.hash_kv();
    snapshot.unchanged()?;
    hashed
}

impl HashKv {
    /// Adds an answer that is not known yet.
    fn add(&mut self, other: OtherHashKv) {
        let same = |hash, compacted| (hash, compacted) == (other.hash, other.compact_revision);
        let known = self.alternatives.iter().any(|known| same(known.hash, known.compact_revision));
        if !known && !same(self.hash, self.compact_revision) {
            self.alternatives.push(other);
        }
    }
}

/// One way to hash: the compaction that is assumed, and the rule of older versions.
#[derive(Clone, Copy)]
struct Way<'k> {
    compacted: i64,
    older: bool,
    /// Which records up to the compacted revision count; all if `None`.
    kept: Option<&'k Keep>,
}

struct Hasher<'s> {
    snapshot: &'s Snapshot,
    bucket: Bucket,
    marks: CompactionMarks,
    /// The highest revision that counts.
    upper: i64,
    /// The compaction given, not the file's.
    assumed: Option<i64>,
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
        at: HashKvAt,
        threads: usize,
        progress: &'s dyn Progress,
    ) -> Result<Self> {
        let seen = RefCell::new(PageSet::for_pages_of(snapshot));
        let [key, meta] = top_buckets(snapshot, [schema::KEY, schema::META], &seen)?;
        let missing = Corruption::BucketMissing { name: schema::KEY };
        let bucket = key.ok_or_else(|| snapshot.damaged(Location::default(), missing))?;
        let marks = meta.map(|meta| CompactionMarks::read(snapshot, &meta)).transpose()?;
        let upper = if at.revision == 0 { i64::MAX } else { at.revision };
        let (marks, assumed) = (marks.unwrap_or_default(), at.compacted);
        Ok(Self { snapshot, bucket, marks, upper, assumed, threads, progress })
    }

    fn hash_kv(&self) -> Result<HashKv> {
        let compacted = self.assumed.unwrap_or(self.marked());
        let passes = if compacted < 0 { 1 } else { 2 };
        self.progress.begin(Phase::Read, self.snapshot.pages_bytes().saturating_mul(passes));
        let keep = |upper| match compacted {
            ..0 => Ok(Keep::default()),
            _ => Keep::read(self, upper, compacted),
        };
        let living = keep(self.upper)?;
        // What the server's own compaction leaves; what an earlier one left is in the file.
        let removed = compacted > self.finished() && living.is_empty();
        let left = removed.then(|| keep(compacted)).transpose()?;
        let kept = Some(&living).filter(|living| !living.is_empty());
        let way = Way { compacted, older: false, kept: kept.or(left.as_ref()) };
        let Pass { crc, last } = self.pass(way)?;
        let mut kv = self.judged(crc.value(), compacted, last)?;
        self.add_alternatives(&mut kv, way, kept)?;
        Ok(kv)
    }

    /// The compaction that a server makes when it starts on the file, or the last one; -1 for none.
    fn marked(&self) -> i64 {
        self.marks.scheduled.unwrap_or(-1).max(self.finished())
    }

    fn finished(&self) -> i64 {
        self.marks.finished.unwrap_or(-1)
    }

    /// Whether a server could answer at all, `last` being the last record's revision.
    fn judged(&self, hash: u32, compacted: i64, last: i64) -> Result<HashKv> {
        // A server without any record is at revision 1.
        let revision = last.max(self.marked()).max(1);
        let hash_revision = if self.upper == i64::MAX { revision } else { self.upper };
        let there = |asked, first, last| {
            let path = self.snapshot.path().into();
            let missing = Error::NoSuchRevision { path, revision: asked, first, last };
            if (first..=last).contains(&asked) { Ok(()) } else { Err(missing) }
        };
        there(hash_revision, compacted.max(1), revision)?;
        there(compacted, self.finished(), revision)?;
        let (compact_revision, alternatives) = (compacted, Vec::new());
        Ok(HashKv { hash, hash_revision, compact_revision, revision, alternatives })
    }

    /// Adds what others answer than one that hashes `way`; `kept` is what a compaction at the
    /// revision asked for would keep, if anything.
    fn add_alternatives(&self, kv: &mut HashKv, way: Way<'_>, kept: Option<&Keep>) -> Result<()> {
        let finished = Way { compacted: self.finished(), kept, ..way };
        let (under_way, assumed) = (way.compacted > finished.compacted, self.assumed.is_some());
        // The tombstone that the rules differ in is never kept, so it counts if all do.
        let older = |way: Way<'_>| way.kept.is_none() && way.compacted >= 0;
        let just = assumed && kept.is_none() && (0..kv.hash_revision).contains(&way.compacted);
        let none = Keep::default();
        for (of, applies, way) in [
            (Answering::OlderEtcd, older(way), Way { older: true, ..way }),
            (Answering::FinishedCompaction, under_way && !assumed, finished),
            (
                Answering::OlderEtcdFinishedCompaction,
                under_way && !assumed && older(finished),
                Way { older: true, ..finished },
            ),
            (Answering::JustCompacted, just, Way { kept: Some(&none), ..way }),
        ] {
            if applies {
                let (hash, compact_revision) = (self.pass(way)?.crc.value(), way.compacted);
                kv.add(OtherHashKv { of, hash, compact_revision });
            }
        }
        Ok(())
    }

    /// Hashes all records that count.
    fn pass(&self, way: Way<'_>) -> Result<Pass> {
        let mut pass = Pass { crc: Crc::default(), last: 0 };
        pass.crc.update(schema::KEY.as_bytes());
        let mut units = 0;
        let numbered = |unit| {
            units += 1;
            (units - 1, unit)
        };
        self.each_unit(
            numbered,
            |(number, unit)| {
                let start = way.kept.map_or(0, |kept| kept.start_of(number));
                self.hash_unit(&unit, way, start)
            },
            |part: Pass| {
                pass.crc.append(&part.crc);
                pass.last = pass.last.max(part.last);
                Ok(())
            },
        )?;
        Ok(pass)
    }

    fn hash_unit(&self, unit: &Unit, way: Way<'_>, start: u64) -> Result<Pass> {
        let mut pairs = Pairs::of_unit(self.snapshot, &self.bucket, unit)?;
        let (mut last, mut ordinal) = (0, start);
        while let Some(pair) = pairs.peek()? {
            let key = match record_key(pair.is_bucket, pair.key) {
                Ok(key) => key,
                Err(damage) => return Err(pairs.damaged(damage)),
            };
            last = key.revision.main.max(last);
            if self.counts(key, way, ordinal) {
                pairs.accept();
            } else {
                pairs.skip();
            }
            ordinal += u64::from(key.revision.main <= self.upper);
        }
        Ok(Pass { crc: pairs.into_crc(), last })
    }

    /// Whether a record is hashed; `ordinal` records up to the highest revision stand before it.
    fn counts(&self, key: RecordKey, way: Way<'_>, ordinal: u64) -> bool {
        let main = key.revision.main;
        let gone = main <= way.compacted && way.kept.is_some_and(|kept| !kept.contains(ordinal));
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
