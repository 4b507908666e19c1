//! Which leases exist.

use std::cell::RefCell;

use crate::error::{Error, Result};
use crate::format::bytes::u64_at;
use crate::read::{Bucket, PageSet, Snapshot};
use crate::rewrite::schema;
use crate::verify::findings::{Finding, FindingCode, Findings};
use crate::verify::pairs::{Pair, Pairs};
use crate::verify::record::{VARINT, skip, tag, varint};

/// 64 MiB of ids. A store with a lease for every key of a large cluster has a tenth of that.
const KNOWN_MAX: usize = 8 << 20;

/// The ids of a store's leases, 0 being none.
#[derive(Default)]
pub struct Leases {
    /// Sorted, so that they can be searched.
    ids: Vec<i64>,
    /// How many leases there are.
    pub count: u64,
    /// Whether all ids are here.
    complete: bool,
}

impl Leases {
    /// Those of a store that has no bucket for them.
    pub fn none() -> Self {
        Self { complete: true, ..Self::default() }
    }

    /// Reads bucket `lease`.
    pub fn read(
        snapshot: &Snapshot,
        bucket: &Bucket,
        seen: &RefCell<PageSet>,
        findings: &mut Findings,
    ) -> Result<Self> {
        let mut leases = Self::none();
        match leases.read_all(Pairs::whole(snapshot, bucket, Some(seen)), findings) {
            // The structure says what is wrong.
            Err(Error::Damaged { .. }) => leases.complete = false,
            result => result?,
        }
        leases.ids.sort_unstable();
        if !leases.complete {
            let detail = "not all leases are known: whether those of keys exist was not checked";
            findings
                .push(Finding::new(FindingCode::LeasesUnchecked, detail).in_bucket(schema::LEASE));
        }
        Ok(leases)
    }

    fn read_all(&mut self, mut pairs: Pairs<'_, '_>, findings: &mut Findings) -> Result<()> {
        while let Some(pair) = pairs.peek()? {
            self.count += 1;
            match id_of(&pair) {
                Ok(id) if self.ids.len() < KNOWN_MAX => self.ids.push(id),
                Ok(_) => self.complete = false,
                Err(why) => {
                    let key = pair.key.get(..8).unwrap_or(pair.key).escape_ascii();
                    let finding = Finding::new(FindingCode::LeaseInvalid, format!("{key}: {why}"));
                    findings.push(finding.in_bucket(schema::LEASE));
                }
            }
            pairs.skip();
        }
        Ok(())
    }

    /// Whether it is known that there is no lease `id`.
    pub fn lacks(&self, id: i64) -> bool {
        id != 0 && self.complete && self.ids.binary_search(&id).is_err()
    }
}

/// The id of a lease, which etcd reads from the message and finds by the key (`lessor.go`, 3.5).
fn id_of(pair: &Pair<'_>) -> Result<i64, &'static str> {
    if pair.is_bucket {
        return Err("a bucket among the leases");
    }
    let id = decode_id(pair.value)?;
    match key_id(pair.key) {
        Some(key) if key == id => Ok(id),
        Some(_) => Err("the lease under this id has another"),
        None => Err("key is no lease id"),
    }
}

fn key_id(key: &[u8]) -> Option<i64> {
    let little_endian = u64_at(key, 0).filter(|_| key.len() == 8)?;
    Some(little_endian.swap_bytes() as i64)
}

/// Field 1 of a `leasepb.Lease` (etcd `server/lease/leasepb/lease.proto`): ID = 1, TTL = 2,
/// RemainingTTL = 3, all varints.
fn decode_id(mut value: &[u8]) -> Result<i64, &'static str> {
    let mut id = 0;
    while !value.is_empty() {
        match tag(&mut value)? {
            (..=0, _) => return Err("illegal field number"),
            (1, VARINT) => id = varint(&mut value)? as i64,
            (1..=3, kind) if kind != VARINT => return Err("known field of the wrong wire type"),
            (_, kind) => skip(&mut value, kind)?,
        }
    }
    Ok(id)
}

/// For the tests of what uses them.
#[cfg(test)]
impl Leases {
    pub fn of(ids: &[i64]) -> Self {
        Self { ids: ids.to_vec(), count: ids.len() as u64, complete: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_read_from_its_message() {
        assert_eq!(decode_id(b"\x08\x81\x20\x10\x90\x1c"), Ok(0x1001));
        assert_eq!(decode_id(b""), Ok(0));
        for damaged in [b"\x08".as_slice(), b"\x0a\x01x", b"\x0c", b"\x02\x00", b"\x10\x90"] {
            assert!(decode_id(damaged).is_err(), "{damaged:?}");
        }
        assert_eq!(key_id(&[0, 0, 0, 0, 0, 0, 0x10, 1]), Some(0x1001));
        assert_eq!(key_id(b"short"), None);
    }

    #[test]
    fn only_what_is_known_to_be_missing_is_missing() {
        let leases = Leases::of(&[3, 7]);
        assert!(leases.lacks(5) && !leases.lacks(7) && !leases.lacks(0));
        assert!(!Leases { complete: false, ..leases }.lacks(5));
    }
}
