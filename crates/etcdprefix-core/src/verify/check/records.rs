//! The records of bucket `key`, leaf by leaf as the structure check meets them.

use std::collections::BTreeSet;

use serde::Serialize;

use super::leases::Leases;
use crate::error::{Corruption, Error, Result};
use crate::format::leaf::{LeafElement, LeafView};
use crate::format::page::PageHeader;
use crate::key_table::{KeyFlags, KeyHash, KeyHasher, KeyTable, LIMIT_BYTES};
use crate::parallel;
use crate::progress::{Progress, Until, step};
use crate::read::{PageRun, Root, Snapshot, UNIT_BYTES};
use crate::rewrite::schema::{self, RecordKey};
use crate::units::{Pgid, Revision};
use crate::verify::findings::{Finding, FindingCode, Findings, KEPT_PER_CODE};
use crate::verify::record::{Numbers, Record};
use crate::verify::structure::{Expect, MetLeaves, StructureReport, Walk};

/// What the records of bucket `key` are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RecordCounts {
    /// Records that delete their key.
    pub tombstones: u64,
    /// Records without a value, which a restore with a revision bump leaves.
    pub empty_values: u64,
    /// The last record's main revision, 0 without records.
    pub revision: i64,
    /// Leases, whether keys have them or not.
    pub leases: u64,
}

/// Walks all trees of `snapshot` and judges the records on the way.
pub fn check(
    snapshot: &Snapshot,
    leases: &Leases,
    threads: usize,
    progress: &dyn Progress,
) -> Result<(StructureReport, RecordCounts, Findings)> {
    let mut walk = walk_keeping_leaves(snapshot, progress)?;
    let mut tally = Tally::new();
    let hasher = tally.lost.hasher();
    parallel::ordered(
        threads,
        || next_batch(&mut walk),
        |batch| judge_batch(snapshot, &batch, leases, hasher),
        |part| tally.add(part).and_then(|()| step(progress, 0)),
    )?;
    walk.unreached()?;
    tally.counts.leases = leases.count;
    let lost = Lost::of(tally.lost)?;
    tally.findings.append(lost.into_findings(snapshot, leases, progress)?);
    Ok((walk.into_report(), tally.counts, tally.findings))
}

fn walk_keeping_leaves<'s>(snapshot: &'s Snapshot, progress: &'s dyn Progress) -> Result<Walk<'s>> {
    let mut walk = Walk::new(snapshot, Expect::Accounted, progress);
    walk.leaves = Some(MetLeaves::default());
    walk.free_space()?;
    walk.begin()?;
    Ok(walk)
}

/// Goes on with the walk until there are leaves enough for a thread.
fn next_batch(walk: &mut Walk<'_>) -> Result<Option<Vec<Root>>> {
    while walk.leaves.as_ref().is_some_and(|met| met.bytes < UNIT_BYTES) && walk.advance()? {}
    let batch = walk.leaves.replace(MetLeaves::default()).unwrap_or_default();
    Ok((!batch.roots.is_empty()).then_some(batch.roots))
}

/// What one batch gave.
#[derive(Default)]
struct Part {
    findings: Findings,
    counts: RecordCounts,
    first: Option<Revision>,
    last: Option<Revision>,
    /// Of every record that decodes, its key and whether it has a lease that does not exist.
    keys: Vec<(KeyHash, bool)>,
}

struct Tally {
    findings: Findings,
    counts: RecordCounts,
    last: Option<Revision>,
    /// A key is live here if its last record has a lease that does not exist: older records may
    /// name any lease that once was.
    lost: KeyTable,
}

impl Tally {
    fn new() -> Self {
        let (findings, counts) = (Findings::default(), RecordCounts::default());
        Self { findings, counts, last: None, lost: KeyTable::new(LIMIT_BYTES) }
    }

    fn add(&mut self, part: Part) -> Result<()> {
        if let Some(first) = part.first.filter(|_| part.first == self.last) {
            self.findings.push(in_key(FindingCode::RevisionTwice, twice(first)));
        }
        self.findings.append(part.findings);
        self.counts.tombstones += part.counts.tombstones;
        self.counts.empty_values += part.counts.empty_values;
        self.last = part.last.or(self.last);
        self.counts.revision = self.last.map_or(0, |last| last.main);
        for (hash, lost) in part.keys {
            self.lost.push(hash, KeyFlags { tombstone: !lost, ..KeyFlags::default() })?;
        }
        Ok(())
    }
}

fn judge_batch(
    snapshot: &Snapshot,
    batch: &[Root],
    leases: &Leases,
    hasher: KeyHasher,
) -> Result<Part> {
    let mut part = Part::default();
    each_record(snapshot, batch, &mut |pgid, judged| match judged {
        Ok(read) => part.add(pgid, &read, leases, hasher),
        Err(damage) => {
            let finding = in_key(FindingCode::of(&damage), damage.to_string());
            part.findings.push(Finding { pgid, ..finding });
        }
    })?;
    Ok(part)
}

/// A record as etcd reads it.
struct Read<'l> {
    at: RecordKey,
    is_empty: bool,
    record: Record<'l>,
}

/// Gets every element and the page it is in, if that is not inline.
type EachRecord<'a> = dyn FnMut(Option<Pgid>, Result<Read<'_>, Corruption>) + 'a;

/// Shows every element of `batch`.
fn each_record(snapshot: &Snapshot, batch: &[Root], each: &mut EachRecord<'_>) -> Result<()> {
    for leaf in batch {
        match leaf {
            Root::Inline(bytes) => each_of_leaf(None, bytes, each),
            Root::Page(pgid) => match snapshot.page(*pgid) {
                Ok(PageRun { bytes, .. }) => each_of_leaf(Some(*pgid), &bytes, each),
                // The walk has read it, so somebody writes to the file.
                Err(Error::Damaged { damage, .. }) => each(Some(*pgid), Err(damage)),
                Err(error) => return Err(error),
            },
        }
    }
    Ok(())
}

fn each_of_leaf(pgid: Option<Pgid>, bytes: &[u8], each: &mut EachRecord<'_>) {
    let Ok(header) = PageHeader::parse(bytes) else { return };
    let view = LeafView::new(bytes, &header);
    for index in 0..view.count() {
        each(pgid, view.element(index).and_then(read));
    }
}

fn read(element: LeafElement<'_>) -> Result<Read<'_>, Corruption> {
    if element.is_bucket {
        return Err(Corruption::BucketAmongRecords);
    }
    let at = RecordKey::parse(element.key)?;
    let record = Record::parse(element.value)
        .map_err(|why| Corruption::RecordInvalid { revision: at.revision, why })?;
    Ok(Read { at, is_empty: element.value.is_empty(), record })
}

impl Part {
    fn add(&mut self, pgid: Option<Pgid>, read: &Read<'_>, leases: &Leases, hasher: KeyHasher) {
        let revision = read.at.revision;
        for (code, detail) in faults(read, self.last) {
            let finding = in_key(code, detail);
            self.findings.push(Finding { pgid, ..finding });
        }
        self.first = self.first.or(Some(revision));
        self.last = Some(revision);
        self.counts.tombstones += u64::from(read.at.tombstone);
        self.counts.empty_values += u64::from(read.is_empty);
        let lost = !read.at.tombstone && leases.lacks(read.record.numbers.lease);
        self.keys.push((hasher.hash(read.record.key), lost));
    }
}

/// What is wrong with a record that decodes. That keys rise is a matter of structure; those of one
/// revision, a put and a tombstone, rise too.
fn faults(read: &Read<'_>, last: Option<Revision>) -> Vec<(FindingCode, String)> {
    let Read { at: RecordKey { revision, tombstone }, is_empty, record } = read;
    let mut faults = Vec::new();
    if revision.main <= 0 || revision.sub < 0 {
        let detail = format!("record {revision}: etcd writes no such revision");
        faults.push((FindingCode::RevisionInvalid, detail));
    }
    if last == Some(*revision) {
        faults.push((FindingCode::RevisionTwice, twice(*revision)));
    }
    if record.key.is_empty() && (*tombstone || !is_empty) {
        faults.push((FindingCode::KeyEmpty, format!("record {revision} has no key")));
    }
    // A tombstone is the key alone (`storeTxnWrite.delete`, etcd 3.5).
    if *tombstone && !(record.canonical && record.after.is_empty()) && !is_empty {
        let detail = format!("tombstone {revision} holds more than its key");
        faults.push((FindingCode::TombstoneContent, detail));
    }
    if let Some(why) = inconsistency(*revision, &record.numbers).filter(|_| !tombstone && !is_empty)
    {
        faults.push((FindingCode::RecordInconsistent, format!("record {revision} {why}")));
    }
    faults
}

/// etcd writes the revision of its transaction as a record's own, the first one of the key's life
/// as its creation's, and counts writes from 1 (`storeTxnWrite.put`, 3.5).
fn inconsistency(revision: Revision, numbers: &Numbers) -> Option<String> {
    let Numbers { create_revision, mod_revision, version, .. } = *numbers;
    if mod_revision != revision.main {
        return Some(format!("calls itself modified at {mod_revision}"));
    }
    if !(1..=mod_revision).contains(&create_revision) {
        return Some(format!("calls itself created at {create_revision}"));
    }
    (version < 1).then(|| format!("has version {version}"))
}

fn twice(revision: Revision) -> String {
    format!("two records of revision {revision}")
}

fn in_key(code: FindingCode, detail: String) -> Finding {
    Finding::new(code, detail).in_bucket(schema::KEY)
}

/// Keys with a lease that does not exist.
struct Lost {
    keys: u64,
    /// The first of their last records: how many records that decode come before each.
    first: BTreeSet<u64>,
}

impl Lost {
    fn of(table: KeyTable) -> Result<Self> {
        let mut first = BTreeSet::new();
        let totals = table.finish_with(|ordinal| {
            first.insert(ordinal);
            if first.len() as u64 > KEPT_PER_CODE {
                first.pop_last();
            }
        })?;
        Ok(Self { keys: totals.live, first })
    }

    /// Reads the leaves once more up to the last record to name. Their keys are not told, which
    /// are the users'; their revisions lead to them.
    fn into_findings(
        self,
        snapshot: &Snapshot,
        leases: &Leases,
        progress: &dyn Progress,
    ) -> Result<Findings> {
        let mut findings = Findings::default();
        let Some(&last) = self.first.last() else {
            return Ok(findings);
        };
        let quiet = Until::new(progress);
        let mut walk = walk_keeping_leaves(snapshot, &quiet)?;
        let mut ordinal = 0;
        while let Some(batch) = next_batch(&mut walk)?.filter(|_| ordinal <= last) {
            each_record(snapshot, &batch, &mut |pgid, judged| {
                let Ok(read) = judged else { return };
                if self.first.contains(&ordinal) && leases.lacks(read.record.numbers.lease) {
                    findings.push(Finding { pgid, ..lost(&read) });
                }
                ordinal += 1;
            })?;
        }
        findings.totals.insert(FindingCode::LeaseMissing, self.keys);
        Ok(findings)
    }
}

fn lost(read: &Read<'_>) -> Finding {
    let (revision, lease) = (read.at.revision, read.record.numbers.lease);
    let detail = format!(
        "the key of record {revision} has lease {lease:x}, which does not exist: it will not expire"
    );
    in_key(FindingCode::LeaseMissing, detail)
}
