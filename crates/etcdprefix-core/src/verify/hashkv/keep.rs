//! Which records a compaction at the revision asked for would keep.

use super::{Hasher, record_key};
use crate::error::{Corruption, Result};
use crate::key_table::{KeyFlags, KeyHash, KeyHasher, KeyTable, LIMIT_BYTES};
use crate::read::Unit;
use crate::verify::pairs::Pairs;
use crate::verify::record::Record;

/// The last record of each key that lives, by its number among the records up to the revision
/// asked for (etcd's `index.Keep`, 3.4 to 3.6).
#[derive(Default)]
pub(super) struct Keep {
    /// A bit for each record up to the compacted revision; later ones are never asked for.
    bits: Vec<u64>,
    /// Keys that live.
    live: u64,
    /// How many records stand before each unit.
    starts: Vec<u64>,
}

/// What a unit adds.
#[derive(Default)]
struct Part {
    keys: Vec<(KeyHash, bool)>,
    /// How many of them are needed to have all up to the compacted revision.
    compacted: usize,
}

impl Keep {
    /// Of the keys as they are at revision `upper`, the records up to `compacted`.
    pub fn read(hasher: &Hasher<'_>, upper: i64, compacted: i64) -> Result<Self> {
        let mut table = KeyTable::new(LIMIT_BYTES);
        let (mut records, mut asked_for, mut starts) = (0, 0, Vec::new());
        let keys = table.hasher();
        hasher.each_unit(
            |unit| unit,
            |unit| Part::read(hasher, &unit, keys, [upper, compacted]),
            |part: Part| {
                starts.push(records);
                if part.compacted > 0 {
                    asked_for = records + part.compacted as u64;
                }
                records += part.keys.len() as u64;
                part.keys.into_iter().try_for_each(|(hash, tombstone)| {
                    table.push(hash, KeyFlags { tombstone, ..KeyFlags::default() })
                })
            },
        )?;
        let mut keep = Self { bits: vec![0; asked_for.div_ceil(64) as usize], live: 0, starts };
        keep.live = table.finish_with(|ordinal| insert(&mut keep.bits, ordinal))?.live;
        Ok(keep)
    }

    /// Whether no key lives, so that nothing is left out for not being kept.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Whether record `ordinal` is kept, if it is not later than the compacted revision.
    pub fn contains(&self, ordinal: u64) -> bool {
        let word = self.bits.get((ordinal / 64) as usize);
        word.is_some_and(|word| word & (1 << (ordinal % 64)) != 0)
    }

    /// How many records stand before that unit.
    pub fn start_of(&self, unit: usize) -> u64 {
        self.starts.get(unit).copied().unwrap_or_default()
    }
}

fn insert(bits: &mut [u64], ordinal: u64) {
    if let Some(word) = bits.get_mut((ordinal / 64) as usize) {
        *word |= 1 << (ordinal % 64);
    }
}

impl Part {
    fn read(
        hasher: &Hasher<'_>,
        unit: &Unit,
        keys: KeyHasher,
        [upper, compacted]: [i64; 2],
    ) -> Result<Self> {
        let mut part = Self::default();
        let mut pairs = Pairs::of_unit(hasher.snapshot, &hasher.bucket, unit)?;
        while let Some(pair) = pairs.peek()? {
            let added = record_key(pair.is_bucket, pair.key).and_then(|key| {
                let revision = key.revision;
                if revision.main > upper {
                    return Ok(());
                }
                let record = Record::parse(pair.value);
                let record = record.map_err(|why| Corruption::RecordInvalid { revision, why })?;
                part.keys.push((keys.hash(record.key), key.tombstone));
                if revision.main <= compacted {
                    part.compacted = part.keys.len();
                }
                Ok(())
            });
            if let Err(damage) = added {
                return Err(pairs.damaged(damage));
            }
            pairs.skip();
        }
        Ok(part)
    }
}
