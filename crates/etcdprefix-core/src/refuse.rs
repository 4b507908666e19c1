//! What speaks against a change although the file is sound, decided from the plan alone.

use crate::error::{BusyReason, Error, Refusal, Result, counted};
use crate::key_table::{KeyHash, KeyHasher};
use crate::options::{ChangePrefix, Target, Unmatched};
use crate::read::{Leaves, Snapshot};
use crate::rewrite::PrefixRule;
use crate::rewrite::census::in_one_line;
use crate::rewrite::key_bucket::{Record, judge};
use crate::rewrite::rule::Verdict;
use crate::rewrite::schema;
use crate::run::output_bytes;
use crate::save::plan::Plan;

/// etcd's default for `--quota-backend-bytes`.
const DEFAULT_QUOTA_BYTES: u64 = 2 << 30;

/// Refuses what would lose or break something and was not asked for by name.
pub fn check(
    snapshot: &Snapshot,
    plan: &Plan,
    rule: &PrefixRule,
    options: &ChangePrefix,
) -> Result<()> {
    let refusals = [
        nothing_matches(plan, rule).filter(|_| !options.allow_empty),
        unmatched(plan, rule),
        undecryptable(plan).filter(|_| !options.allow_undecryptable),
        roles(plan).filter(|_| !options.allow_unmapped_roles),
        collision(snapshot, plan, rule)?,
        irreversible(plan, rule).filter(|_| options.target == Target::InPlace),
        over_quota(output_bytes(snapshot, plan), options.target_quota_bytes),
    ];
    match refusals.into_iter().flatten().next() {
        Some(refusal) => Err(Error::Refused { path: snapshot.path().into(), refusal }),
        None => Ok(()),
    }
}

/// What the user should know although it is no reason to refuse.
pub fn warnings(plan: &Plan, rule: &PrefixRule, bytes_out: u64) -> Vec<String> {
    let census = plan.counts.census();
    let alarms = pairs_of(plan, "alarm");
    let roles = auth_roles(plan);
    let sealed = census.encrypted.aesgcm + census.encrypted.kms;
    let revision = plan.bumped_revision.unwrap_or_default();
    let warnings = [
        (alarms > 0, format!("{} set, which a restore keeps", counted(alarms, "alarm"))),
        (
            roles > 0,
            format!("{} kept, which may name {}", counted(roles, "auth role"), shown(rule.src())),
        ),
        (
            sealed > 0,
            format!("{} not decryptable under the new prefix", counted(sealed, "encrypted value")),
        ),
        (census.matched == 0, "no key matched: only the file was rewritten".into()),
        (
            bytes_out > DEFAULT_QUOTA_BYTES,
            "the output is over etcd's default backend quota of 2 GiB".into(),
        ),
        (
            plan.bumped_revision.is_some(),
            format!("an empty record was added to keep the store at revision {revision}"),
        ),
    ];
    warnings.into_iter().filter(|(holds, _)| *holds).map(|(_, warning)| warning).collect()
}

/// How many roles the store has.
pub fn auth_roles(plan: &Plan) -> u64 {
    pairs_of(plan, schema::AUTH_ROLES)
}

fn pairs_of(plan: &Plan, name: &str) -> u64 {
    let buckets = plan.tree.children.iter();
    buckets.filter(|tree| *tree.bucket.name == *name.as_bytes()).map(|tree| tree.pairs).sum()
}

fn nothing_matches(plan: &Plan, rule: &PrefixRule) -> Option<Refusal> {
    if plan.counts.census().matched > 0 {
        return None;
    }
    let src_prefix = shown(rule.src());
    let records = plan.counts.under_destination;
    if records > 0 && !rule.dst().is_empty() {
        return Some(Refusal::AlreadyRewritten {
            src_prefix,
            dest_prefix: shown(rule.dst()),
            records,
        });
    }
    let components = in_one_line(&plan.counts.components());
    Some(Refusal::NothingMatches { src_prefix, components })
}

fn unmatched(plan: &Plan, rule: &PrefixRule) -> Option<Refusal> {
    let records = plan.counts.census().unmatched;
    (rule.unmatched() == Unmatched::Fail && records > 0).then(|| Refusal::Unmatched {
        src_prefix: shown(rule.src()),
        records,
        components: in_one_line(&plan.counts.components()),
    })
}

fn undecryptable(plan: &Plan) -> Option<Refusal> {
    let sealed = plan.counts.census().encrypted;
    let records = sealed.aesgcm + sealed.kms;
    let (aesgcm, kms) = (sealed.aesgcm, sealed.kms);
    (records > 0).then_some(Refusal::Undecryptable { records, aesgcm, kms })
}

fn roles(plan: &Plan) -> Option<Refusal> {
    let roles = auth_roles(plan);
    (roles > 0).then_some(Refusal::AuthRoles { roles })
}

fn irreversible(plan: &Plan, rule: &PrefixRule) -> Option<Refusal> {
    let (counts, dst) = (&plan.counts, shown(rule.dst()));
    let why = if counts.census().dropped > 0 {
        format!("{} would be dropped", counted(counts.census().dropped, "record"))
    } else if counts.under_destination > 0 && counts.census().matched > 0 {
        format!("{} under {dst} already", counted(counts.under_destination, "unmatched record"))
    } else if counts.matched_noncanonical > 0 {
        format!("{} not encoded as etcd does", counted(counts.matched_noncanonical, "key"))
    } else {
        return None;
    };
    Some(Refusal::Irreversible { why })
}

fn over_quota(bytes: u64, quota_bytes: Option<u64>) -> Option<Refusal> {
    let quota_bytes = quota_bytes.filter(|&quota| bytes > quota)?;
    Some(Refusal::OverQuota { bytes, quota_bytes })
}

fn collision(snapshot: &Snapshot, plan: &Plan, rule: &PrefixRule) -> Result<Option<Refusal>> {
    let Some(hash) = plan.keys.first_collision else {
        return Ok(None);
    };
    let names = colliding_keys(snapshot, rule, plan.hasher, hash)?;
    let (matched, unmatched) = names.ok_or_else(|| snapshot.busy(BusyReason::Changed))?;
    let (matched, unmatched) = (matched.escape_ascii(), unmatched.escape_ascii());
    let (matched, unmatched) = (matched.to_string(), unmatched.to_string());
    Ok(Some(Refusal::Collision { matched, unmatched, keys: plan.keys.collided }))
}

/// The matched key and the key in its way whose images have this hash, found by reading again.
fn colliding_keys(
    snapshot: &Snapshot,
    rule: &PrefixRule,
    hasher: KeyHasher,
    hash: KeyHash,
) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
    let Some(bucket) = snapshot.bucket(schema::KEY.as_bytes())? else {
        return Ok(None);
    };
    let (mut matched, mut unmatched) = (None, None);
    let mut leaves = Leaves::new(snapshot, &bucket);
    while let Some(leaf) = leaves.next()? {
        for index in 0..leaf.count() {
            let value = leaf.element(index)?.value;
            let Ok(judged) = judge(rule, value) else {
                continue;
            };
            let key = value.get(judged.key).unwrap_or_default();
            if matches!(judged.record, Record::Empty) {
                continue;
            }
            let replaced = rule.verdict(key) == Verdict::Replace;
            let image = if replaced { rule.image(key) } else { key.to_vec() };
            if hasher.hash(&image) == hash {
                let slot = if replaced { &mut matched } else { &mut unmatched };
                slot.get_or_insert_with(|| key.to_vec());
            }
        }
    }
    Ok(matched.zip(unmatched))
}

/// A prefix for messages: the empty one stands for the root.
fn shown(prefix: &str) -> String {
    if prefix.is_empty() { "/".into() } else { prefix.into() }
}
