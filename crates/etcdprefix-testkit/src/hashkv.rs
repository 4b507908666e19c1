//! What a server must answer to HashKV after the prefix changed, computed from the source file.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use anyhow::{Context, Result};
use prost::Message;

use crate::bolt::Bolt;
use crate::{PrefixMap, Version};

/// etcd's `mvccpb.KeyValue`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct KeyValue {
    /// The key.
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    /// The revision of the last creation.
    #[prost(int64, tag = "2")]
    pub create_revision: i64,
    /// The revision of this write; Kubernetes' resourceVersion.
    #[prost(int64, tag = "3")]
    pub mod_revision: i64,
    /// Writes since the creation.
    #[prost(int64, tag = "4")]
    pub version: i64,
    /// The value.
    #[prost(bytes = "vec", tag = "5")]
    pub value: Vec<u8>,
    /// The lease, or 0.
    #[prost(int64, tag = "6")]
    pub lease: i64,
}

/// Main and sub revision at the head of `bytes`: the form of the key bucket's keys and of the
/// compaction's marks.
#[expect(clippy::big_endian_bytes, reason = "etcd writes revisions so that bytes sort as numbers")]
pub fn revision(bytes: &[u8]) -> Option<(i64, i64)> {
    let part = |at: usize| Some(i64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    Some((part(0)?, part(9)?))
}

/// One record of the key bucket, with its key already mapped.
struct Record {
    /// 17 bytes, or 18 with a trailing `t` for a tombstone.
    bolt_key: Vec<u8>,
    key: Vec<u8>,
    encoded: Vec<u8>,
}

impl Record {
    fn revision(&self) -> (i64, i64) {
        revision(&self.bolt_key).expect("a key of the key bucket is a revision")
    }

    fn is_tombstone(&self) -> bool {
        self.bolt_key.len() == 18
    }
}

/// The mapped history of a source snapshot.
pub struct Expected {
    records: Vec<Record>,
}

impl Expected {
    /// Reads the source and maps every key by decoding and encoding the whole message, which is
    /// slow and shares nothing with the splice under test.
    pub fn from_source(snapshot: &Path, map: &PrefixMap) -> Result<Self> {
        let bolt = Bolt::open(snapshot)?;
        let entries = bolt.bucket(b"key").context("the snapshot has no key bucket")?;
        let records = entries.iter().map(|(key, value)| record(key, value, map));
        Ok(Self { records: records.collect::<Result<_>>()? })
    }

    /// The number of records: one per kept revision of a key, tombstones included.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The hash at `revision` on a server of that version whose compaction stands at `compacted`
    /// (-1 for none), both as HashKV answers them. Not defined for `revision <= compacted`.
    pub fn hash(&self, version: Version, revision: i64, compacted: i64) -> u32 {
        let keep = self.kept(revision);
        let mut hash = crc32c::crc32c(b"key");
        for record in &self.records {
            let (main, sub) = record.revision();
            // Versions after 3.4.33 and 3.5.15 keep such a tombstone and leave it out of the
            // hash, so that they agree with older ones, which deleted it.
            let kept_tombstone =
                version >= Version::V3_5_16 && record.is_tombstone() && main == compacted;
            let gone = main <= compacted && !keep.is_empty() && !keep.contains(&(main, sub));
            if main > revision || gone || kept_tombstone {
                continue;
            }
            hash = crc32c::crc32c_append(hash, &record.bolt_key);
            hash = crc32c::crc32c_append(hash, &record.encoded);
        }
        hash
    }

    /// The last revision of each key that lives at `revision`.
    fn kept(&self, revision: i64) -> HashSet<(i64, i64)> {
        let mut last: BTreeMap<&[u8], &Record> = BTreeMap::new();
        for record in self.records.iter().filter(|record| record.revision().0 <= revision) {
            last.insert(&record.key, record);
        }
        let living = last.values().filter(|record| !record.is_tombstone());
        living.map(|record| record.revision()).collect()
    }
}

fn record(bolt_key: &[u8], value: &[u8], map: &PrefixMap) -> Result<Record> {
    let mut decoded = KeyValue::decode(value)?;
    decoded.key = map.map(&decoded.key);
    // Etcd's bump at restore writes an empty value: no message, not one with an empty key.
    let encoded = if value.is_empty() { Vec::new() } else { decoded.encode_to_vec() };
    Ok(Record { bolt_key: bolt_key.to_vec(), key: decoded.key, encoded })
}
