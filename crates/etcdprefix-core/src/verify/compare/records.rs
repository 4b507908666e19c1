//! Bucket `key`, record by record under the rule, unit by unit on many threads.

use std::cell::RefCell;

use super::{Hashes, Prover};
use crate::crc::Crc;
use crate::error::{Corruption, Error, Location, Result};
use crate::options::Unmatched;
use crate::parallel;
use crate::read::{Bucket, PageSet, Unit, Units};
use crate::rewrite::rule::{PrefixRule, Verdict};
use crate::rewrite::schema::{self, RecordKey};
use crate::units::Revision;
use crate::verify::pairs::{Pair, Pairs};
use crate::verify::record::{KEY_TAG, Record, write_varint};

/// What the records of a unit, or of all units so far, gave.
pub(super) struct Records {
    pub hashes: Hashes,
    /// Records of the source.
    pub source: u64,
    /// Those whose key the rule changes.
    pub renamed: u64,
    /// Records that the output has to hold.
    pub output: u64,
    /// Whether the inverse rule gives back the source: all matched records are as etcd writes
    /// them, and no other key could be taken for an image.
    pub reversible: bool,
    first: Vec<u8>,
    last: Vec<u8>,
    /// The last record's revision, and the last one that the output has.
    last_revision: Option<Revision>,
    last_kept: Option<Revision>,
}

impl Default for Records {
    fn default() -> Self {
        Self {
            hashes: Hashes::default(),
            source: 0,
            renamed: 0,
            output: 0,
            reversible: true,
            first: Vec::new(),
            last: Vec::new(),
            last_revision: None,
            last_kept: None,
        }
    }
}

impl Records {
    /// Goes on to the record `key` of the source, which has to rise.
    fn pass(&mut self, key: &[u8], revision: Revision) -> Result<(), Corruption> {
        match self.source {
            0 => self.first.extend_from_slice(key),
            _ if key <= self.last.as_slice() => return Err(out_of_order(&self.last, key)),
            _ => {}
        }
        self.last.clear();
        self.last.extend_from_slice(key);
        self.source += 1;
        self.last_revision = Some(revision);
        Ok(())
    }

    fn append(&mut self, next: Self) {
        self.hashes.append(&next.hashes);
        self.source += next.source;
        self.renamed += next.renamed;
        self.output += next.output;
        self.reversible &= next.reversible;
        self.last = next.last;
        self.last_revision = next.last_revision.or(self.last_revision);
        self.last_kept = next.last_kept.or(self.last_kept);
    }
}

impl Prover<'_> {
    /// Proves the records of `source` and `output` equal under the rule, but for records that the
    /// output has besides: their number tells.
    pub(super) fn key_bucket(
        &self,
        (source, output): (&Bucket, &Bucket),
        threads: usize,
        seen: &RefCell<PageSet>,
    ) -> Result<Records> {
        let mut all = Records::default();
        let mut pages = seen.borrow_mut();
        let mut units = Units::new(self.source, source, &mut pages);
        parallel::ordered(
            threads,
            || units.next(),
            |unit| self.unit((source, output), &unit),
            |unit| {
                if unit.source > 0 && all.source > 0 && unit.first <= all.last {
                    let at = Location { bucket: Some(schema::KEY.into()), ..Location::default() };
                    return Err(self.source.damaged(at, out_of_order(&all.last, &unit.first)));
                }
                all.append(unit);
                crate::progress::step(self.progress, 0)
            },
        )?;
        self.revision_mark(output, &mut all)?;
        Ok(all)
    }

    fn unit(&self, buckets: (&Bucket, &Bucket), unit: &Unit) -> Result<Records> {
        let mut records = Records::default();
        let mut inverse = Inverse::default();
        let mut source = Pairs::of_unit(self.source, buckets.0, unit)?;
        // Opened at the first record kept: where that is in the output only its key tells.
        let mut output: Option<Pairs<'_, '_>> = None;
        while let Some(pair) = source.peek()? {
            let (revision, kept) = match self.read(&pair, &mut records) {
                Ok(read) => read,
                Err(damage) => return Err(source.damaged(damage)),
            };
            if let Some(kept) = kept {
                let output = match &mut output {
                    Some(output) => output,
                    none => none.insert(self.of_output(Pairs::from_key(
                        self.output,
                        buckets.1,
                        pair.key,
                    ))?),
                };
                self.same_record(output, pair.key, &kept, &mut inverse)
                    .map_err(|why| self.record_differs(revision, why))?;
                records.reversible &= kept.reversible(self.rule);
                records.renamed += u64::from(matches!(kept, Kept::Renamed(_)));
                records.output += 1;
                records.last_kept = Some(revision);
                output.accept();
            }
            source.accept();
        }
        records.hashes.inverse = inverse.crc;
        records.hashes.source = source.into_crc();
        records.hashes.output = output.map(Pairs::into_crc).unwrap_or_default();
        Ok(records)
    }

    /// Reads a record of the source and what becomes of it, `None` if it is left out.
    fn read<'v>(
        &self,
        pair: &Pair<'v>,
        records: &mut Records,
    ) -> Result<(Revision, Option<Kept<'v>>), Corruption> {
        if pair.is_bucket {
            return Err(Corruption::BucketAmongRecords);
        }
        let revision = RecordKey::parse(pair.key)?.revision;
        records.pass(pair.key, revision)?;
        let kept = self.kept(pair.value);
        let kept = kept.map_err(|why| Corruption::RecordInvalid { revision, why })?;
        Ok((revision, kept))
    }

    /// What becomes of a record with this value; `None` if it is left out.
    fn kept<'v>(&self, value: &'v [u8]) -> Result<Option<Kept<'v>>, &'static str> {
        if value.is_empty() {
            return Ok(Some(Kept::Same(value, Record::parse(value)?)));
        }
        let record = Record::parse(value)?;
        Ok(match self.rule.verdict(record.key) {
            Verdict::Replace => Some(Kept::Renamed(record)),
            Verdict::Known => Some(Kept::Same(value, record)),
            Verdict::Unmatched if self.rule.unmatched() == Unmatched::Drop => None,
            Verdict::Unmatched => Some(Kept::Same(value, record)),
        })
    }

    /// Holds the output's next record against what the source's has to become, and hashes what the
    /// inverse rule makes of it.
    fn same_record(
        &self,
        output: &mut Pairs<'_, '_>,
        key: &[u8],
        kept: &Kept<'_>,
        inverse: &mut Inverse,
    ) -> Result<(), Differs> {
        let pair = match self.of_output(output.peek()) {
            Ok(Some(pair)) if pair.key == key && !pair.is_bucket => pair,
            Ok(_) => return Err(Differs::How("is missing or out of place")),
            Err(error) => return Err(Differs::Error(error)),
        };
        let Ok(record) = Record::parse(pair.value) else {
            return Err(Differs::How("does not decode"));
        };
        match kept {
            Kept::Same(value, _) if *value == pair.value => {}
            Kept::Same(..) => return Err(Differs::How("was changed")),
            Kept::Renamed(source) => renamed(self.rule, source, &record)?,
        }
        inverse.add(self.rule, &pair, &record);
        Ok(())
    }

    /// The empty record that keeps the store's revision where dropping would have lowered it.
    fn revision_mark(&self, output: &Bucket, all: &mut Records) -> Result<()> {
        let Some(last) = all.last_revision else {
            return Ok(());
        };
        if all.last_kept.is_some_and(|kept| kept.main == last.main) {
            return Ok(());
        }
        let key = RecordKey::first_of(last.main);
        let mut pairs = self.of_output(Pairs::from_key(self.output, output, &key))?;
        let mark = self.of_output(pairs.peek())?;
        let stands = mark.is_some_and(|pair| pair.key == key && pair.value.is_empty());
        if !stands {
            let how = "Drop left no record at the store's revision";
            return Err(self.record_differs(last, Differs::How(how)));
        }
        pairs.accept();
        if self.of_output(pairs.peek())?.is_some() {
            let how = "is not the last one";
            return Err(self.record_differs(last, Differs::How(how)));
        }
        all.hashes.output.append(&pairs.into_crc());
        all.output += 1;
        Ok(())
    }

    fn record_differs(&self, revision: Revision, why: Differs) -> Error {
        match why {
            Differs::How(how) => self.differs(format!("bucket key: record {revision} {how}")),
            Differs::Error(error) => error,
        }
    }
}

/// A record that the output has to have.
enum Kept<'v> {
    /// Byte for byte.
    Same(&'v [u8], Record<'v>),
    /// Under the image of its key.
    Renamed(Record<'v>),
}

impl Kept<'_> {
    /// Whether the inverse rule gives this record back.
    fn reversible(&self, rule: &PrefixRule) -> bool {
        match self {
            Self::Same(value, record) => value.is_empty() || !rule.is_under_destination(record.key),
            Self::Renamed(record) => record.canonical,
        }
    }
}

/// How a record failed.
enum Differs {
    How(&'static str),
    Error(Error),
}

fn out_of_order(earlier: &[u8], later: &[u8]) -> Corruption {
    let hex = |key: &[u8]| key.iter().map(|byte| format!("{byte:02x}")).collect();
    let (earlier, later) = (hex(earlier), hex(later));
    Corruption::OutOfOrder { earlier, later }
}

/// Whether `output` is `source` with the image of its key in the field that had it. The image is
/// put together here, from the rule's prefixes, without a buffer.
fn renamed(rule: &PrefixRule, source: &Record<'_>, output: &Record<'_>) -> Result<(), Differs> {
    let rest = source.key.strip_prefix(rule.src().as_bytes());
    let image_rest = output.key.strip_prefix(rule.dst().as_bytes());
    if rest.is_none() || rest != image_rest {
        return Err(Differs::How("has another key than the rule gives"));
    }
    if source.before != output.before || source.after != output.after {
        return Err(Differs::How("differs beyond its key"));
    }
    Ok(())
}

/// The status hash of an output's records under the source prefix, encoded as etcd does.
#[derive(Default)]
struct Inverse {
    crc: Crc,
    /// The pieces before the rest of a key, which are hashed in one go: they are short.
    head: Vec<u8>,
}

impl Inverse {
    fn add(&mut self, rule: &PrefixRule, pair: &Pair<'_>, record: &Record<'_>) {
        if pair.value.is_empty() || !rule.is_under_destination(record.key) {
            self.crc.update(pair.key);
            self.crc.update(pair.value);
            return;
        }
        let key_bytes = (rule.src().len() + record.key.len() - rule.dst().len()) as u64;
        self.head.clear();
        self.head.extend_from_slice(pair.key);
        // Empty as etcd writes it; else it may be long.
        if !record.before.is_empty() {
            self.crc.update(&self.head);
            self.crc.update(record.before);
            self.head.clear();
        }
        self.head.push(KEY_TAG);
        self.head.extend_from_slice(write_varint(key_bytes, &mut [0; 10]));
        self.head.extend_from_slice(rule.src().as_bytes());
        self.crc.update(&self.head);
        self.crc.update(record.from_key.get(rule.dst().len()..).unwrap_or_default());
    }
}
