//! Plans the output: every bucket sized and packed, every page's place known. Nothing is written.

use crate::error::{Corruption, Location, Result};
use crate::format::page;
use crate::key_table::{self, KeyHasher, KeyTable, KeyTotals};
use crate::options::{ChangePrefix, Tuning};
use crate::parallel::ordered;
use crate::progress::{Progress, step};
use crate::read::{Bucket, PageSet, Snapshot, Unit, Units};
use crate::rewrite::PrefixRule;
use crate::rewrite::census::Counts;
use crate::rewrite::roles::RoleCounts;
use crate::rewrite::schema::{self, RecordKey};
use crate::save::chunk::Chunk;
use crate::save::pack::{ElementAt, Packer};
use crate::save::place::Level;
use crate::save::size::{Sized, Treatment, UnitSizes, bucket_value_bytes, check_order, size_unit};
use crate::save::store::Store;
use crate::units::Pgid;

/// Buckets in one another. etcd has one level; recursion ends long before the stack does.
const NESTING_MAX: usize = 16;
/// Buckets altogether, which are kept in memory. etcd has about a dozen.
const BUCKETS_MAX: usize = 65_536;

/// The output's meta pages take the next two transaction ids, and etcd goes on from there.
const TXID_MAX: u64 = u64::MAX / 2;

/// What becomes of a bucket's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BucketKind {
    /// The root bucket: all of them are buckets.
    Root,
    /// Bucket `key`: records under the rule.
    Records,
    /// Bucket `authRoles`: permissions under the rule.
    Roles,
    /// They are copied.
    Plain,
}

impl BucketKind {
    fn of(bucket: &Bucket, depth: usize) -> Self {
        match (depth, &*bucket.name) {
            (0, _) => Self::Root,
            (1, name) if *name == *schema::KEY.as_bytes() => Self::Records,
            (1, name) if *name == *schema::AUTH_ROLES.as_bytes() => Self::Roles,
            _ => Self::Plain,
        }
    }
}

/// A bucket of the output.
#[derive(Debug)]
pub struct TreePlan {
    /// The bucket in the source.
    pub bucket: Bucket,
    /// What its values are.
    pub kind: BucketKind,
    /// Where its units begin in the source.
    pub units: Vec<Unit>,
    /// Its sub-buckets in key order.
    pub children: Vec<TreePlan>,
    /// Its pieces; one if it is inline.
    pub chunks: Vec<Chunk>,
    /// Keys and values, sub-buckets included.
    pub pairs: u64,
    /// The size of its page if it stands in its parent's leaf.
    pub inline_bytes: Option<u64>,
    /// The branch pages above the chunks, bottom up.
    pub levels: Vec<Level>,
    /// Its root page; 0 if it is inline.
    pub root: Pgid,
}

/// What was found while planning, and the plan.
#[derive(Debug)]
pub struct Plan {
    /// The root bucket, whose children are the top-level buckets.
    pub tree: TreePlan,
    /// What the records are.
    pub counts: Counts,
    /// What became of the roles.
    pub roles: RoleCounts,
    /// What the store is besides.
    pub store: Store,
    /// Live keys and collisions.
    pub keys: KeyTotals,
    /// What hashed the keys, to find a collision's again.
    pub hasher: KeyHasher,
    /// One past the last page.
    pub high_water_mark: Pgid,
    /// The main revision whose record was dropped and which an empty record keeps.
    pub bumped_revision: Option<i64>,
}

/// Plans the rewriting of `snapshot`, on as many threads as `options` says.
///
/// Reads every record's header and fields, but not its value. Memory: some tens of bytes for each
/// 4 MiB, and at most 64 MiB for the keys, which spill to an unnamed temporary file above that.
///
/// # Errors
/// Damaged, refused, I/O, interrupted.
pub fn plan(
    snapshot: &Snapshot,
    rule: &PrefixRule,
    options: &ChangePrefix,
    progress: &dyn Progress,
) -> Result<Plan> {
    let mut planner = Planner {
        snapshot,
        store: Store::read(snapshot, progress)?,
        rule,
        threads: options.threads,
        tuning: options.tuning,
        progress,
        seen: PageSet::for_pages_of(snapshot),
        counts: Counts::default(),
        roles: RoleCounts::default(),
        keys: KeyTable::new(key_table::LIMIT_BYTES),
        buckets: 0,
        bumped_revision: None,
    };
    if snapshot.meta().txid.0 > TXID_MAX {
        let damage = Corruption::MetaInvalid { why: "transaction id has no successor" };
        return Err(snapshot.damaged(Location::default(), damage));
    }
    let mut tree = planner.tree(snapshot.root_bucket(), 0)?;
    if !tree.children.iter().any(|child| child.kind == BucketKind::Records) {
        let damage = Corruption::BucketMissing { name: schema::KEY };
        return Err(snapshot.damaged(Location::default(), damage));
    }
    let high_water_mark = tree.place(snapshot.page_size());
    Ok(Plan {
        tree,
        counts: planner.counts,
        roles: planner.roles,
        store: planner.store,
        hasher: planner.keys.hasher(),
        keys: planner.keys.finish()?,
        high_water_mark,
        bumped_revision: planner.bumped_revision,
    })
}

struct Planner<'s> {
    snapshot: &'s Snapshot,
    store: Store,
    rule: &'s PrefixRule,
    threads: usize,
    tuning: Tuning,
    progress: &'s dyn Progress,
    seen: PageSet,
    counts: Counts,
    roles: RoleCounts,
    keys: KeyTable,
    buckets: usize,
    bumped_revision: Option<i64>,
}

impl Planner<'_> {
    fn tree(&mut self, bucket: Bucket, depth: usize) -> Result<TreePlan> {
        self.buckets += 1;
        if self.buckets > BUCKETS_MAX {
            return Err(self.damaged(Corruption::TooManyBuckets { limit: BUCKETS_MAX }));
        }
        if depth > NESTING_MAX {
            return Err(self.damaged(Corruption::TooDeep { limit: NESTING_MAX }));
        }
        let kind = BucketKind::of(&bucket, depth);
        let mut packing = Packing::new(self.snapshot, &bucket, self.tuning);
        if kind == BucketKind::Records {
            self.pack_records(&mut packing)?
        } else {
            self.pack(&mut packing, kind, depth)?
        }
        let packed = packing.packer.finish();
        let page_bytes = page::HEADER_BYTES as u64 + packed.element_bytes;
        // As bbolt decides it (`Bucket.inlineable`, v1.3); the root bucket has no parent.
        let small = page_bytes <= self.snapshot.page_size().bytes() / 4;
        let inline = depth > 0 && packing.children.is_empty() && small;
        Ok(TreePlan {
            kind,
            units: packing.units,
            children: packing.children,
            chunks: packed.chunks,
            pairs: packing.pairs,
            inline_bytes: inline.then_some(page_bytes),
            levels: Vec::new(),
            root: Pgid(0),
            bucket,
        })
    }

    /// Packs a bucket of plain values, sub-buckets first; one after the other, for they are small.
    fn pack(&mut self, packing: &mut Packing<'_>, kind: BucketKind, depth: usize) -> Result<()> {
        let bucket = packing.bucket.clone();
        // The walk can't go on while sub-buckets enter their pages, so its units come first.
        let units = Units::new(self.snapshot, &bucket, &mut self.seen);
        let mut units = units.of_bytes(self.tuning.unit_bytes);
        let mut all = Vec::new();
        while let Some(unit) = units.next()? {
            all.push(unit);
        }
        let treatment = match kind {
            BucketKind::Root => Treatment::Buckets,
            BucketKind::Roles => Treatment::Roles(self.rule),
            BucketKind::Records | BucketKind::Plain => Treatment::Copy,
        };
        for unit in all {
            let mut sizes = size_unit(self.snapshot, &bucket, &unit, treatment)?;
            step(self.progress, unit.bytes)?;
            self.roles.merge(std::mem::take(&mut sizes.roles));
            let mut plans = Vec::new();
            for child in &sizes.buckets {
                plans.push(self.tree(child.clone(), depth + 1)?);
            }
            packing.unit(unit, &sizes, plans)?;
        }
        Ok(())
    }

    fn pack_records(&mut self, packing: &mut Packing<'_>) -> Result<()> {
        let (snapshot, bucket) = (self.snapshot, packing.bucket.clone());
        let treatment = Treatment::Records(self.rule, self.keys.hasher(), &self.store.leases);
        let units = Units::new(snapshot, &bucket, &mut self.seen);
        let mut units = units.of_bytes(self.tuning.unit_bytes);
        let (counts, keys, progress) = (&mut self.counts, &mut self.keys, self.progress);
        ordered(
            self.threads,
            || units.next(),
            |unit| Ok((size_unit(snapshot, &bucket, &unit, treatment)?, unit)),
            |(mut sizes, unit)| {
                step(progress, unit.bytes)?;
                counts.merge(std::mem::take(&mut sizes.counts));
                for (hash, flags) in sizes.hashes.drain(..) {
                    keys.push(hash, flags)?;
                }
                packing.unit(unit, &sizes, Vec::new())
            },
        )?;
        self.keep_revision(packing);
        Ok(())
    }

    /// The store's revision must not fall, or old resourceVersions would lie in the future and be
    /// given out again. An empty record holds it, as etcdutl's `--bump-revision` leaves one.
    fn keep_revision(&mut self, packing: &mut Packing<'_>) {
        let revision = self.counts.census().revision;
        let lost = self.counts.census().records > 0
            && self.counts.kept_revision.is_none_or(|kept| kept < revision);
        if lost {
            packing.packer.bump(packing.at, RecordKey::first_of(revision));
            packing.pairs += 1;
            self.bumped_revision = Some(revision);
        }
    }

    fn damaged(&self, damage: Corruption) -> crate::Error {
        self.snapshot.damaged(Location::default(), damage)
    }
}

/// A bucket while its units are packed.
struct Packing<'s> {
    snapshot: &'s Snapshot,
    bucket: Bucket,
    packer: Packer,
    units: Vec<Unit>,
    children: Vec<TreePlan>,
    at: ElementAt,
    last_key: Vec<u8>,
    pairs: u64,
}

impl<'s> Packing<'s> {
    fn new(snapshot: &'s Snapshot, bucket: &Bucket, tuning: Tuning) -> Self {
        Self {
            snapshot,
            bucket: bucket.clone(),
            packer: Packer::new(snapshot.page_size(), tuning.chunk_bytes),
            units: Vec::new(),
            children: Vec::new(),
            at: ElementAt::default(),
            last_key: Vec::new(),
            pairs: 0,
        }
    }

    fn unit(&mut self, unit: Unit, sizes: &UnitSizes, children: Vec<TreePlan>) -> Result<()> {
        self.check_order(sizes)?;
        let mut inline = children.iter().map(|child| child.inline_bytes);
        let mut key_at = 0;
        for sized in &sizes.elements {
            let (key_bytes, value_bytes) = match *sized {
                Sized::Dropped => (0, None),
                Sized::Record { key_bytes, value_bytes } => {
                    (key_bytes, Some(u64::from(value_bytes)))
                }
                Sized::Bucket { key_bytes } => {
                    (key_bytes, Some(bucket_value_bytes(inline.next().flatten())))
                }
            };
            let key = sizes.keys.get(key_at..key_at + key_bytes as usize).unwrap_or_default();
            key_at += key.len();
            match value_bytes {
                Some(value_bytes) => self.packer.record(self.at, key, value_bytes),
                None => self.packer.dropped(),
            }
            self.at.element += 1;
            self.at.children += usize::from(matches!(sized, Sized::Bucket { .. }));
            self.pairs += u64::from(value_bytes.is_some());
        }
        self.children.extend(children);
        self.units.push(unit);
        self.at = ElementAt { unit: self.units.len(), element: 0, ..self.at };
        Ok(())
    }

    /// Proves that the unit's first key comes after the last one of the units before.
    fn check_order(&mut self, sizes: &UnitSizes) -> Result<()> {
        if sizes.elements.is_empty() {
            return Ok(());
        }
        let bucket = Some(self.bucket.display_name());
        check_order(&self.last_key, &sizes.first_key).map_err(|damage| {
            self.snapshot.damaged(Location { bucket, ..Location::default() }, damage)
        })?;
        self.last_key.clone_from(&sizes.last_key);
        Ok(())
    }
}
