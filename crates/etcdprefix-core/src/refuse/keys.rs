//! Refusals that name keys, which planning did not keep: they are found by reading again.

use crate::error::{BusyReason, Refusal, Result};
use crate::format::leaf::LeafElement;
use crate::key_table::KeyHash;
use crate::options::Unmatched;
use crate::progress::{Progress, step};
use crate::read::{Leaves, Snapshot};
use crate::refuse::Change;
use crate::rewrite::PrefixRule;
use crate::rewrite::key_bucket::{Record, judge};
use crate::rewrite::roles::{self, Reach, Rewritten};
use crate::rewrite::rule::{Verdict, shown};
use crate::rewrite::schema;

/// Roles that every key is held against, and what they may take. Real stores have a few; with more
/// the change is refused if there is any such key.
const ROLES_DECIDED: usize = 256;
const ROLES_BYTES: usize = 16 << 20;
/// Bytes of a key that a message shows.
const SHOWN_BYTES: usize = 512;

/// A key that lies under the destination already and that a role gets at only after the change.
pub fn opened(change: Change<'_>, progress: &dyn Progress) -> Result<Option<Refusal>> {
    let Change { snapshot, plan, rule, .. } = change;
    let kept = rule.unmatched() == Unmatched::Keep && plan.counts.under_destination > 0;
    if !kept || plan.roles.changed_roles == 0 {
        return Ok(None);
    }
    let changed = changed_roles(snapshot, rule)?;
    let opener = |key: &[u8]| match &changed {
        Some(roles) => {
            let mut opening = roles.iter().filter(|role| role.after.opens(key, &role.before));
            opening.next().map(|role| role.name.clone())
        }
        None => Some(format!("(one of more than {ROLES_DECIDED}, or of {ROLES_BYTES} bytes)")),
    };
    let mut found = None;
    each_key(change, progress, |key, verdict| {
        if verdict == Verdict::Unmatched && rule.is_under_destination(key) {
            found = opener(key).map(|role| (role, escaped(key)));
        }
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

/// The roles in which something moves; `None` if there are too many to hold every key against.
fn changed_roles(snapshot: &Snapshot, rule: &PrefixRule) -> Result<Option<Vec<ChangedRole>>> {
    let (mut changed, mut bytes) = (Vec::new(), 0);
    let Some(bucket) = snapshot.bucket(schema::AUTH_ROLES.as_bytes())? else {
        return Ok(Some(changed));
    };
    let mut leaves = Leaves::new(snapshot, &bucket);
    while let Some(leaf) = leaves.next()? {
        for index in 0..leaf.count() {
            let LeafElement { key, value, .. } = leaf.element(index)?;
            // Planning has decoded all of them.
            let Ok(Rewritten { value: Some(rewritten), .. }) = roles::rewrite(rule, value) else {
                continue;
            };
            bytes += value.len() + rewritten.len();
            if changed.len() >= ROLES_DECIDED || bytes > ROLES_BYTES {
                return Ok(None);
            }
            if let (Ok(before), Ok(after)) = (Reach::of_role(value), Reach::of_role(&rewritten)) {
                let name = escaped(key);
                changed.push(ChangedRole { name, before, after });
            }
        }
    }
    Ok(Some(changed))
}

/// Two keys that would become one.
pub fn collision(change: Change<'_>, progress: &dyn Progress) -> Result<Option<Refusal>> {
    let Some(hash) = change.plan.keys.first_collision else {
        return Ok(None);
    };
    let names = colliding_keys(change, hash, progress)?;
    let (matched, unmatched) = names.ok_or_else(|| change.snapshot.busy(BusyReason::Changed))?;
    let keys = change.plan.keys.collided;
    Ok(Some(Refusal::Collision { matched, unmatched, keys }))
}

/// The matched key and the key in its way whose images have this hash, found by reading again.
fn colliding_keys(
    change: Change<'_>,
    hash: KeyHash,
    progress: &dyn Progress,
) -> Result<Option<(String, String)>> {
    let (rule, hasher) = (change.rule, change.plan.hasher);
    let (mut matched, mut unmatched) = (None, None);
    each_key(change, progress, |key, verdict| {
        let replaced = verdict == Verdict::Replace;
        let image = if replaced { rule.image(key) } else { key.to_vec() };
        if hasher.hash(&image) == hash {
            let slot = if replaced { &mut matched } else { &mut unmatched };
            slot.get_or_insert_with(|| escaped(key));
        }
        matched.is_none() || unmatched.is_none()
    })?;
    Ok(matched.zip(unmatched))
}

/// Shows every record's key until `more` says that it is enough. Planning has decoded all of them.
fn each_key(
    change: Change<'_>,
    progress: &dyn Progress,
    mut more: impl FnMut(&[u8], Verdict) -> bool,
) -> Result<()> {
    let Change { snapshot, rule, .. } = change;
    let Some(bucket) = snapshot.bucket(schema::KEY.as_bytes())? else {
        return Ok(());
    };
    let mut leaves = Leaves::new(snapshot, &bucket);
    while let Some(leaf) = leaves.next()? {
        step(progress, 0)?;
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

fn escaped(key: &[u8]) -> String {
    key.get(..SHOWN_BYTES).unwrap_or(key).escape_ascii().to_string()
}
