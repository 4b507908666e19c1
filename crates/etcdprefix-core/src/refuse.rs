//! What speaks against a change although the file is sound, decided from the plan alone.

use crate::error::{BusyReason, Error, Refusal, Result, counted};
use crate::format::leaf::LeafElement;
use crate::key_table::{KeyHash, KeyHasher};
use crate::options::{ChangePrefix, Target, Unmatched};
use crate::read::{Leaves, Snapshot};
use crate::rewrite::PrefixRule;
use crate::rewrite::census::in_one_line;
use crate::rewrite::key_bucket::{Record, judge};
use crate::rewrite::roles::{self, PermissionFate, Reach, Rewritten};
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
        escalation(plan, rule),
        opened(snapshot, plan, rule)?,
        straddling(plan).filter(|_| !options.allow_unmapped_roles),
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
    let roles = &plan.roles;
    let sealed = census.encrypted.aesgcm + census.encrypted.kms;
    let revision = plan.bumped_revision.unwrap_or_default();
    let warnings = [
        (alarms > 0, format!("{} set, which a restore keeps", counted(alarms, "alarm"))),
        (
            roles.straddling > 0,
            format!("{} kept without an equivalent", counted(roles.straddling, "permission")),
        ),
        (
            roles.narrowed > 0,
            format!(
                "{} narrowed to the keys under {}",
                counted(roles.narrowed, "permission"),
                shown(rule.dst())
            ),
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

fn straddling(plan: &Plan) -> Option<Refusal> {
    let permissions = plan.roles.straddling;
    let first = plan.roles.first(PermissionFate::Straddles);
    (permissions > 0).then_some(Refusal::RolesStraddle { permissions, first })
}

fn escalation(plan: &Plan, rule: &PrefixRule) -> Option<Refusal> {
    let permissions = plan.roles.escalating;
    let (dest_prefix, first) = (shown(rule.dst()), plan.roles.first(PermissionFate::Escalates));
    (permissions > 0).then_some(Refusal::RolesEscalate { dest_prefix, permissions, first })
}

/// A key that lies under the destination already and that a role gets at only after the change.
fn opened(snapshot: &Snapshot, plan: &Plan, rule: &PrefixRule) -> Result<Option<Refusal>> {
    let kept = rule.unmatched() == Unmatched::Keep && plan.counts.under_destination > 0;
    if !kept || plan.roles.changed_roles == 0 {
        return Ok(None);
    }
    let changed = changed_roles(snapshot, rule)?;
    let mut found = None;
    each_key(snapshot, rule, |key, verdict| {
        let stays = verdict == Verdict::Unmatched && rule.is_under_destination(key);
        let opens = |role: &&ChangedRole| role.after.opens(key, &role.before);
        let role = Some(()).filter(|()| stays).and_then(|()| changed.iter().find(opens));
        found = role.map(|role| (role.name.clone(), key.escape_ascii().to_string()));
        found.is_none()
    })?;
    let dest_prefix = shown(rule.dst());
    Ok(found.map(|(role, key)| Refusal::RolesOpen { dest_prefix, role, key }))
}

struct ChangedRole {
    name: String,
    before: Reach,
    after: Reach,
}

fn changed_roles(snapshot: &Snapshot, rule: &PrefixRule) -> Result<Vec<ChangedRole>> {
    let mut changed = Vec::new();
    let Some(bucket) = snapshot.bucket(schema::AUTH_ROLES.as_bytes())? else {
        return Ok(changed);
    };
    let mut leaves = Leaves::new(snapshot, &bucket);
    while let Some(leaf) = leaves.next()? {
        for index in 0..leaf.count() {
            let LeafElement { key, value, .. } = leaf.element(index)?;
            // Planning has decoded all of them.
            let Ok(Rewritten { value: Some(rewritten), .. }) = roles::rewrite(rule, value) else {
                continue;
            };
            if let (Ok(before), Ok(after)) = (Reach::of_role(value), Reach::of_role(&rewritten)) {
                let name = key.escape_ascii().to_string();
                changed.push(ChangedRole { name, before, after });
            }
        }
    }
    Ok(changed)
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
    let (mut matched, mut unmatched) = (None, None);
    each_key(snapshot, rule, |key, verdict| {
        let replaced = verdict == Verdict::Replace;
        let image = if replaced { rule.image(key) } else { key.to_vec() };
        if hasher.hash(&image) == hash {
            let slot = if replaced { &mut matched } else { &mut unmatched };
            slot.get_or_insert_with(|| key.to_vec());
        }
        matched.is_none() || unmatched.is_none()
    })?;
    Ok(matched.zip(unmatched))
}

/// Shows every record's key until `more` says that it is enough. Planning has decoded all of them.
fn each_key(
    snapshot: &Snapshot,
    rule: &PrefixRule,
    mut more: impl FnMut(&[u8], Verdict) -> bool,
) -> Result<()> {
    let Some(bucket) = snapshot.bucket(schema::KEY.as_bytes())? else {
        return Ok(());
    };
    let mut leaves = Leaves::new(snapshot, &bucket);
    while let Some(leaf) = leaves.next()? {
        for index in 0..leaf.count() {
            let value = leaf.element(index)?.value;
            let Ok(judged) = judge(rule, value) else { continue };
            let key = value.get(judged.key).unwrap_or_default();
            if !matches!(judged.record, Record::Empty) && !more(key, rule.verdict(key)) {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// A prefix for messages: the empty one stands for the root.
fn shown(prefix: &str) -> String {
    if prefix.is_empty() { "/".into() } else { prefix.into() }
}
