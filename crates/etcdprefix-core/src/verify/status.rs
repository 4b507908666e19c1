//! What `etcdutl snapshot status` says of a file.

use std::cell::RefCell;

use crate::crc::Crc;
use crate::error::{Corruption, Location, Result};
use crate::key_table::{KeyFlags, KeyHash, KeyHasher, KeyTable, LIMIT_BYTES};
use crate::parallel;
use crate::progress::{Progress, Until, first_fault, step};
use crate::read::{Bucket, PageSet, Snapshot, Unit, Units};
use crate::rewrite::schema::{self, RecordKey};
use crate::verify::pairs::Pairs;
use crate::verify::record::Record;
use crate::verify::structure::{Expect, check_structure};

/// What `snapshot status` prints, of every version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// CRC-32C over the buckets' names and all their keys and values.
    pub hash: u32,
    /// The last record's main revision, 0 without records.
    pub revision: i64,
    /// `totalKey` up to etcd 3.5: the pairs of all buckets.
    pub total_pairs: u64,
    /// Bytes of all pages in use.
    pub total_size: u64,
    /// What etcd 3.6 and newer print besides; they fail where this is an error, older ones don't.
    pub newer: Result<Newer, Corruption>,
}

/// What `snapshot status` of etcd 3.6 and newer prints besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Newer {
    /// `totalKey` from etcd 3.6 on: keys whose last record is no tombstone, the empty key of
    /// records without a value being one of them.
    pub live_keys: u64,
    /// The storage version, normalised; empty if there is none or it is no version.
    pub version: String,
}

/// Checks the structure of `snapshot` as bbolt does and reads all of it. The trailer is not looked
/// at, as etcdutl does not. The caller begins the phase; twice `pages_bytes()` are reported.
///
/// Memory: 64 MiB for counting keys, above that a temporary file; a few MiB a thread.
///
/// # Errors
/// Damaged if the structure is not sound, a record's key is no revision, or a plain pair stands
/// among the buckets: etcdutl fails or panics there. I/O, interrupted.
pub fn status(snapshot: &Snapshot, threads: usize, progress: &dyn Progress) -> Result<Status> {
    let mut tally = Tally::new();
    let hasher = Some(tally.keys.hasher());
    let until = Until::shown(progress);
    let (sound, hash) = std::thread::scope(|scope| {
        let sound = parallel::spawn(scope, || until.fails(check_sound(snapshot, &until)));
        // It does not stop the other: what the structure says comes first, whoever is faster.
        let hash = read_all(snapshot, threads, hasher, &until, &mut |part| tally.add(part));
        (sound.and_then(parallel::join), hash)
    });
    let ((), hash) = first_fault(sound, hash)?;
    let newer = match tally.fault {
        Some(fault) => Err(fault),
        None => {
            Ok(Newer { live_keys: tally.keys.finish()?.live, version: storage_version(snapshot)? })
        }
    };
    Ok(Status {
        hash: hash.value(),
        revision: tally.revision,
        total_pairs: tally.pairs,
        total_size: snapshot.pages_bytes(),
        newer,
    })
}

/// The hash that `snapshot status` prints, without its structure check; errors as [`status`].
pub fn status_hash(snapshot: &Snapshot, threads: usize, progress: &dyn Progress) -> Result<u32> {
    let hash = read_all(snapshot, threads, None, progress, &mut |_| Ok(()))?;
    Ok(hash.value())
}

/// Proves that bbolt's `Check` finds nothing. The caller begins the phase.
///
/// # Errors
/// [`Corruption::Unsound`] with the first finding; I/O, interrupted.
pub fn check_sound(snapshot: &Snapshot, progress: &dyn Progress) -> Result<()> {
    let report = check_structure(snapshot, Expect::Sound, progress)?;
    match report.findings.summary() {
        None => Ok(()),
        Some(why) => Err(snapshot.damaged(Location::default(), Corruption::Unsound { why })),
    }
}

/// What etcdutl up to 3.5 reads of a record's key: main, a byte, sub.
const SHORTEST_KEY_BYTES: usize = 17;

/// What one unit adds.
#[derive(Default)]
struct Part {
    crc: Crc,
    bytes: u64,
    pairs: u64,
    revision: Option<i64>,
    keys: Vec<(KeyHash, bool)>,
    /// The first record that does not decode.
    fault: Option<Corruption>,
}

struct Tally {
    keys: KeyTable,
    pairs: u64,
    revision: i64,
    fault: Option<Corruption>,
}

impl Tally {
    fn new() -> Self {
        Self { keys: KeyTable::new(LIMIT_BYTES), pairs: 0, revision: 0, fault: None }
    }

    fn add(&mut self, part: Part) -> Result<()> {
        self.pairs += part.pairs;
        self.revision = part.revision.unwrap_or(self.revision);
        self.fault = self.fault.take().or(part.fault);
        for (hash, tombstone) in part.keys {
            self.keys.push(hash, KeyFlags { tombstone, ..KeyFlags::default() })?;
        }
        Ok(())
    }
}

/// Reads all buckets in order, counting keys where there is a `hasher`; gives the status hash.
fn read_all(
    snapshot: &Snapshot,
    threads: usize,
    hasher: Option<KeyHasher>,
    progress: &dyn Progress,
    consume: &mut dyn FnMut(Part) -> Result<()>,
) -> Result<Crc> {
    let seen = RefCell::new(PageSet::for_pages_of(snapshot));
    let mut hash = Crc::default();
    let mut root = Pairs::whole(snapshot, &snapshot.root_bucket(), Some(&seen));
    while let Some(pair) = root.peek()? {
        if !pair.is_bucket {
            return Err(root.damaged(Corruption::RecordAmongBuckets));
        }
        let bucket = Bucket::from_element(snapshot, pair.key, pair.value)?;
        root.skip();
        hash.update(&bucket.name);
        let hasher = hasher.filter(|_| *bucket.name == *schema::KEY.as_bytes());
        let mut pages = seen.borrow_mut();
        let mut units = Units::new(snapshot, &bucket, &mut pages);
        parallel::ordered(
            threads,
            || units.next(),
            |unit| read_unit(snapshot, &bucket, &unit, hasher),
            |part| {
                hash.append(&part.crc);
                step(progress, part.bytes)?;
                consume(part)
            },
        )?;
    }
    Ok(hash)
}

fn read_unit(
    snapshot: &Snapshot,
    bucket: &Bucket,
    unit: &Unit,
    hasher: Option<KeyHasher>,
) -> Result<Part> {
    let mut pairs = Pairs::of_unit(snapshot, bucket, unit)?;
    let mut part = Part { bytes: unit.bytes, ..Part::default() };
    while let Some(pair) = pairs.peek()? {
        if let Some(hasher) = hasher {
            let value = if pair.is_bucket { &[] } else { pair.value };
            if let Err(damage) = part.add_record(pair.key, value, hasher) {
                return Err(pairs.damaged(damage));
            }
        }
        part.pairs += 1;
        pairs.accept();
    }
    part.crc = pairs.into_crc();
    Ok(part)
}

impl Part {
    /// Up to etcd 3.5 any key that is long enough is a revision, and values are not decoded; so
    /// what else is wrong is kept for newer versions.
    fn add_record(
        &mut self,
        key: &[u8],
        value: &[u8],
        hasher: KeyHasher,
    ) -> Result<(), Corruption> {
        let judged = RecordKey::parse(key).and_then(|record_key| {
            let revision = record_key.revision;
            Record::parse(value)
                .map(|record| (hasher.hash(record.key), record_key.tombstone))
                .map_err(|why| Corruption::RecordInvalid { revision, why })
        });
        let main = key.first_chunk::<8>().filter(|_| key.len() >= SHORTEST_KEY_BYTES);
        match (judged, main) {
            (Err(damage), None) => return Err(damage),
            (Err(damage), _) => drop(self.fault.get_or_insert(damage)),
            (Ok(counted), _) => self.keys.push(counted),
        }
        let main = main.map(|main| main.iter().fold(0, |sum, &byte| (sum << 8) | i64::from(byte)));
        self.revision = main.or(self.revision);
        Ok(())
    }
}

/// etcd's `ReadStorageVersionFromSnapshot` (3.6, `server/storage/schema/schema.go`), but that a
/// missing bucket, where it panics, is no version.
fn storage_version(snapshot: &Snapshot) -> Result<String> {
    let Some(meta) = snapshot.bucket(schema::META.as_bytes())? else {
        return Ok(String::new());
    };
    let key = schema::STORAGE_VERSION.as_bytes();
    let mut pairs = Pairs::from_key(snapshot, &meta, key)?;
    let found = pairs.peek()?.filter(|pair| pair.key == key && !pair.is_bucket);
    let version = found.and_then(|pair| normal_version(&String::from_utf8_lossy(pair.value)));
    Ok(version.unwrap_or_default())
}

/// As go-semver reads and prints a version.
fn normal_version(text: &str) -> Option<String> {
    let (text, metadata) = text.split_once('+').unwrap_or((text, ""));
    let (text, pre_release) = text.split_once('-').unwrap_or((text, ""));
    let numbers: Vec<i64> =
        text.splitn(3, '.').map(|number| number.parse().ok()).collect::<Option<_>>()?;
    let [major, minor, patch] = numbers.as_slice() else {
        return None;
    };
    let mut version = format!("{major}.{minor}.{patch}");
    for (sign, part) in [("-", pre_release), ("+", metadata)] {
        if !part.is_empty() {
            version += sign;
            version += part;
        }
    }
    Some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_printed_as_go_semver_does() {
        for (text, version) in [
            ("3.6.0", Some("3.6.0")),
            ("03.6.0-rc.1+x-y", Some("3.6.0-rc.1+x-y")),
            ("3.6.0-", Some("3.6.0")),
            ("3.6", None),
            ("3.6.0.1", None),
            ("3.6.x", None),
            ("3..0", None),
            ("", None),
        ] {
            assert_eq!(normal_version(text).as_deref(), version, "{text}");
        }
    }
}
