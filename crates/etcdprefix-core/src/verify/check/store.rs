//! The buckets beside `key`: which there are, and the store's own numbers.

use std::cell::RefCell;

use super::leases::Leases;
use crate::error::{Error, Result};
use crate::read::{Bucket, PageSet, Snapshot};
use crate::rewrite::schema;
use crate::verify::findings::{Finding, FindingCode, Findings};
use crate::verify::marks::{CompactionMarks, MARK_BYTES};
use crate::verify::pairs::Pairs;
use crate::verify::top_buckets::top_buckets;

/// The buckets to look for: the first two, without which it is no etcd database, and what every
/// etcd from 3.3 on makes at its first start (`server/storage/schema/bucket.go`, 3.5).
const NAMES: [&str; 8] = [
    schema::KEY,
    schema::META,
    schema::LEASE,
    "auth",
    "authUsers",
    schema::AUTH_ROLES,
    "members",
    "members_removed",
];
const NEEDED: usize = 2;

/// The numbers of bucket `meta` and their sizes, which etcd relies on: a shorter one is a panic
/// (`binary.BigEndian.Uint64`, `bytesToRev`).
const NUMBERS: [(&str, usize); 4] = [
    ("consistent_index", 8),
    ("term", 8),
    (schema::SCHEDULED_COMPACT_REV, MARK_BYTES),
    (schema::FINISHED_COMPACT_REV, MARK_BYTES),
];

/// What is known of a store before its records are read.
pub struct Store {
    pub leases: Leases,
    pub compaction: CompactionMarks,
    findings: Findings,
    /// Damage that ended the reading of a bucket. As a rule the structure check finds it too.
    damage: Vec<Finding>,
}

impl Store {
    /// What was found; damage only where the structure is sound.
    pub fn findings(self, sound: bool) -> Findings {
        let mut findings = self.findings;
        self.damage.into_iter().filter(|_| sound).for_each(|damage| findings.push(damage));
        findings
    }

    /// Goes on without what can't be read.
    fn tolerate<T: Default>(&mut self, result: Result<T>) -> Result<T> {
        match result {
            Err(Error::Damaged { damage, at, .. }) => {
                let finding = Finding::new(FindingCode::of(&damage), damage.to_string());
                self.damage.push(Finding { pgid: at.pgid, bucket: at.bucket, ..finding });
                Ok(T::default())
            }
            result => result,
        }
    }
}

/// Reads all buckets that are checked, but for `key`.
pub fn read(snapshot: &Snapshot) -> Result<Store> {
    let mut store = Store {
        leases: Leases::default(),
        compaction: CompactionMarks::default(),
        findings: Findings::default(),
        damage: Vec::new(),
    };
    let seen = RefCell::new(PageSet::for_pages_of(snapshot));
    let found = top_buckets(snapshot, NAMES, &seen).map(Some);
    let Some(found) = store.tolerate(found)? else {
        return Ok(store);
    };
    missing(&found, &mut store.findings);
    let [_, meta, leases, ..] = found;
    if let Some(meta) = meta {
        let numbers = numbers(snapshot, &meta, &seen, &mut store.findings);
        store.tolerate(numbers)?;
        store.compaction = store.tolerate(CompactionMarks::read(snapshot, &meta))?;
    }
    store.leases = match leases {
        Some(leases) => Leases::read(snapshot, &leases, &seen, &mut store.findings)?,
        None => Leases::none(),
    };
    Ok(store)
}

fn missing(found: &[Option<Bucket>], findings: &mut Findings) {
    for (at, name) in NAMES.iter().enumerate() {
        let code = if at < NEEDED { FindingCode::BucketMissing } else { FindingCode::BucketAbsent };
        if found.get(at).is_some_and(Option::is_none) {
            findings.push(Finding::new(code, format!("no bucket {name}")));
        }
    }
}

fn numbers(
    snapshot: &Snapshot,
    meta: &Bucket,
    seen: &RefCell<PageSet>,
    findings: &mut Findings,
) -> Result<()> {
    let mut pairs = Pairs::whole(snapshot, meta, Some(seen));
    while let Some(pair) = pairs.peek()? {
        let number = NUMBERS.iter().find(|(name, _)| name.as_bytes() == pair.key);
        if let Some((name, bytes)) = number.filter(|(_, bytes)| pair.value.len() != *bytes) {
            let detail = format!("{name} has {} bytes instead of {bytes}", pair.value.len());
            let finding = Finding::new(FindingCode::MetaRecordInvalid, detail);
            findings.push(finding.in_bucket(schema::META));
        }
        pairs.skip();
    }
    Ok(())
}
