//! Sizes the records of one unit: what each will take in the output, and what it is.

use crate::error::{Corruption, Error, Refusal, Result};
use crate::format::bucket;
use crate::format::leaf::{ELEMENT_BYTES, LeafElement};
use crate::format::page;
use crate::key_table::{KeyFlags, KeyHash, KeyHasher};
use crate::options::Unmatched;
use crate::read::{Bucket, Leaf, Leaves, Snapshot, Unit};
use crate::rewrite::PrefixRule;
use crate::rewrite::census::Counts;
use crate::rewrite::key_bucket::{Judged, Record, VALUE_BYTES_MAX, judge};
use crate::rewrite::roles::{self, RoleCounts};
use crate::rewrite::schema::RecordKey;
use crate::save::store::LeaseIds;

/// bbolt's limit for keys (`MaxKeySize`, v1.3).
const KEY_BYTES_MAX: usize = 32_768;

/// What a source element becomes.
#[derive(Clone, Copy, Debug)]
pub enum Sized {
    /// A record whose key and value have these sizes.
    Record {
        /// The key's size.
        key_bytes: u32,
        /// The output value's size.
        value_bytes: u32,
    },
    /// Nothing.
    Dropped,
    /// A sub-bucket, the next of [`UnitSizes::buckets`]; its size is known once it is planned.
    Bucket {
        /// The key's size.
        key_bytes: u32,
    },
}

/// A unit sized.
#[derive(Default)]
pub struct UnitSizes {
    /// All elements in order.
    pub elements: Vec<Sized>,
    /// The keys of those that are not dropped, one after the other.
    pub keys: Vec<u8>,
    /// The unit's first key, which has to come after the last one of the unit before.
    pub first_key: Vec<u8>,
    /// The unit's last key.
    pub last_key: Vec<u8>,
    /// The sub-buckets among them.
    pub buckets: Vec<Bucket>,
    /// What the records are.
    pub counts: Counts,
    /// Their keys in the output, for live keys and collisions.
    pub hashes: Vec<(KeyHash, KeyFlags)>,
    /// What becomes of the roles among them.
    pub roles: RoleCounts,
}

/// How the values of a bucket are treated.
#[derive(Clone, Copy)]
pub enum Treatment<'a> {
    /// None: the root bucket, which holds nothing but buckets.
    Buckets,
    /// Copied.
    Copy,
    /// Bucket `key`: records under the rule.
    Records(&'a PrefixRule, KeyHasher, &'a LeaseIds),
    /// Bucket `authRoles`: permissions under the rule.
    Roles(&'a PrefixRule),
}

/// Sizes the elements of `unit`.
///
/// # Errors
/// Damaged: as the walk; elements that overlap or do not rise; in the root bucket what is no
/// bucket, in bucket `key` what is no record. Refused: a key that would become empty, a value that
/// would grow too large.
pub fn size_unit(
    snapshot: &Snapshot,
    bucket: &Bucket,
    unit: &Unit,
    treatment: Treatment<'_>,
) -> Result<UnitSizes> {
    let mut leaves = Leaves::resume(snapshot, bucket, &unit.position)?;
    let mut sizes = UnitSizes::default();
    let mut sizer = Sizer { snapshot, treatment, image: Vec::new(), sizes: &mut sizes };
    for _ in 0..unit.leaves {
        let Some(leaf) = leaves.next()? else {
            return Err(snapshot.busy(crate::error::BusyReason::Changed));
        };
        sizer.leaf(&leaf)?;
    }
    Ok(sizes)
}

struct Sizer<'a> {
    snapshot: &'a Snapshot,
    treatment: Treatment<'a>,
    /// The output key of the record at hand, kept for its allocation.
    image: Vec<u8>,
    sizes: &'a mut UnitSizes,
}

impl Sizer<'_> {
    fn leaf(&mut self, leaf: &Leaf<'_>) -> Result<()> {
        let view = leaf.view();
        let mut last = std::mem::take(&mut self.sizes.last_key);
        let mut earlier = last.as_slice();
        let mut sum = page::HEADER_BYTES;
        for index in 0..view.count() {
            let element = view.element(index).map_err(|damage| leaf.damaged(index, damage))?;
            // Before anything is copied: elements that share bytes could claim the same megabyte
            // thousands of times.
            sum += ELEMENT_BYTES + element.key.len() + element.value.len();
            if sum > leaf.run.bytes.len() {
                return Err(leaf.damaged(index, Corruption::ElementsOverlap));
            }
            check_key(earlier, element.key).map_err(|damage| leaf.damaged(index, damage))?;
            if self.sizes.elements.is_empty() {
                self.sizes.first_key.extend_from_slice(element.key);
            }
            earlier = element.key;
            let sized = self.element(leaf, index, &element)?;
            if !matches!(sized, Sized::Dropped) {
                self.sizes.keys.extend_from_slice(element.key);
            }
            self.sizes.elements.push(sized);
        }
        if let Some(index) = view.count().checked_sub(1) {
            let element = view.element(index).map_err(|damage| leaf.damaged(index, damage))?;
            last.clear();
            last.extend_from_slice(element.key);
        }
        self.sizes.last_key = last;
        Ok(())
    }

    fn element(
        &mut self,
        leaf: &Leaf<'_>,
        index: usize,
        element: &LeafElement<'_>,
    ) -> Result<Sized> {
        let key_bytes = element.key.len() as u32;
        match self.treatment {
            _ if element.is_bucket => self.bucket(leaf, index, element.key, element.value),
            Treatment::Buckets => Err(leaf.damaged(index, Corruption::RecordAmongBuckets)),
            Treatment::Copy => {
                Ok(Sized::Record { key_bytes, value_bytes: element.value.len() as u32 })
            }
            Treatment::Records(rule, hasher, leases) => {
                self.record(leaf, index, element, (rule, hasher, leases))
            }
            Treatment::Roles(rule) => self.role(leaf, index, element, rule),
        }
    }

    fn bucket(&mut self, leaf: &Leaf<'_>, index: usize, key: &[u8], value: &[u8]) -> Result<Sized> {
        if matches!(self.treatment, Treatment::Records(..)) {
            return Err(leaf.damaged(index, Corruption::BucketAmongRecords));
        }
        self.sizes.buckets.push(Bucket::from_element(self.snapshot, key, value)?);
        Ok(Sized::Bucket { key_bytes: key.len() as u32 })
    }

    fn role(
        &mut self,
        leaf: &Leaf<'_>,
        index: usize,
        element: &LeafElement<'_>,
        rule: &PrefixRule,
    ) -> Result<Sized> {
        let role = roles::rewrite(rule, element.value)
            .map_err(|why| leaf.damaged(index, Corruption::RoleInvalid { why }))?;
        self.sizes.roles.merge(role.counts);
        let value_bytes = role.value.map_or(element.value.len(), |value| value.len());
        Ok(Sized::Record { key_bytes: element.key.len() as u32, value_bytes: value_bytes as u32 })
    }

    fn record(
        &mut self,
        leaf: &Leaf<'_>,
        index: usize,
        element: &LeafElement<'_>,
        (rule, hasher, leases): (&PrefixRule, KeyHasher, &LeaseIds),
    ) -> Result<Sized> {
        let at = RecordKey::parse(element.key).map_err(|damage| leaf.damaged(index, damage))?;
        if at.revision.main < 0 {
            // It sorts behind all others but counts as lower than them.
            let bytes = element.key.len() as u64;
            return Err(leaf.damaged(index, Corruption::RevisionInvalid { bytes }));
        }
        let judged = judge(rule, element.value).map_err(|why| {
            leaf.damaged(index, Corruption::RecordInvalid { revision: at.revision, why })
        })?;
        let key = element.value.get(judged.key.clone()).unwrap_or_default();
        let kept = is_kept(rule, &judged.record);
        self.sizes.counts.note(rule, at, &judged, (key, element.value.len() as u64));
        self.sizes.counts.note_kept(at, kept);
        self.note_image(rule, &judged, key, kept);
        let matched = matches!(judged.record, Record::Matched { .. });
        if matched && self.image.is_empty() {
            return Err(self.refused(Refusal::EmptyKey { key: key.escape_ascii().to_string() }));
        }
        let leased = judged.lease != 0;
        let orphaned = leased && leases.lacks(judged.lease);
        let flags = KeyFlags { tombstone: at.tombstone, matched, leased, orphaned };
        self.sizes.hashes.push((hasher.hash(&self.image), flags));
        if !kept {
            return Ok(Sized::Dropped);
        }
        let value_bytes = value_bytes(rule, &judged, element.value.len());
        if value_bytes > VALUE_BYTES_MAX {
            let (bytes, limit) = (value_bytes, VALUE_BYTES_MAX);
            let revision = at.revision;
            return Err(self.refused(Refusal::ValueTooLarge { revision, bytes, limit }));
        }
        Ok(Sized::Record { key_bytes: element.key.len() as u32, value_bytes: value_bytes as u32 })
    }

    /// Sets `image` to what tells the record's key from all others in the output. A dropped key
    /// is not there, so it gets a head that no image has, which begins with a slash: it can't
    /// collide but counts as live. The empty key can't collide anyway, and is that of empty
    /// records too.
    fn note_image(&mut self, rule: &PrefixRule, judged: &Judged, key: &[u8], kept: bool) {
        self.image.clear();
        if !kept && !key.is_empty() {
            self.image.push(0xFF);
        }
        if matches!(judged.record, Record::Matched { .. }) {
            self.image.extend_from_slice(rule.dst().as_bytes());
            self.image.extend_from_slice(key.get(rule.src().len()..).unwrap_or_default());
        } else {
            self.image.extend_from_slice(key);
        }
    }

    fn refused(&self, refusal: Refusal) -> Error {
        Error::Refused { path: self.snapshot.path().into(), refusal }
    }
}

/// Whether a record is part of the output.
pub fn is_kept(rule: &PrefixRule, record: &Record) -> bool {
    rule.unmatched() != Unmatched::Drop || !matches!(record, Record::Unmatched { .. })
}

/// The size of a record's value in the output.
pub fn value_bytes(rule: &PrefixRule, judged: &Judged, before: usize) -> u64 {
    match &judged.record {
        Record::Matched { splice, .. } => splice.value_bytes(rule, before),
        _ => before as u64,
    }
}

/// The size of a sub-bucket's value: its header and, if it is inline, its page.
pub fn bucket_value_bytes(inline_page_bytes: Option<u64>) -> u64 {
    bucket::HEADER_BYTES as u64 + inline_page_bytes.unwrap_or(0)
}

/// Proves that `key` comes after `earlier` and is one that bbolt takes.
fn check_key(earlier: &[u8], key: &[u8]) -> Result<(), Corruption> {
    if key.len() > KEY_BYTES_MAX {
        return Err(Corruption::KeyTooLong { bytes: key.len() as u64 });
    }
    check_order(earlier, key)
}

/// Proves that `key` comes after `earlier`, nothing being before everything.
pub fn check_order(earlier: &[u8], key: &[u8]) -> Result<(), Corruption> {
    if earlier < key {
        return Ok(());
    }
    let hex = |key: &[u8]| key.iter().take(64).map(|byte| format!("{byte:02x}")).collect();
    Err(Corruption::OutOfOrder { earlier: hex(earlier), later: hex(key) })
}
