//! What speaks against a change although the file is sound, decided from the plan.

mod keys;

use crate::error::{Refusal, Result, counted};
use crate::options::{ChangePrefix, Target, Unmatched};
use crate::outcome::EncryptedResource;
use crate::progress::Progress;
use crate::read::Snapshot;
use crate::rewrite::PrefixRule;
use crate::rewrite::census::{self, in_one_line};
use crate::rewrite::roles::PermissionFate;
use crate::rewrite::rule::shown;
use crate::save::plan::Plan;

/// etcd's default for `--quota-backend-bytes`.
const DEFAULT_QUOTA_BYTES: u64 = 2 << 30;

/// What is decided about.
#[derive(Clone, Copy)]
pub struct Change<'a> {
    /// The source.
    pub snapshot: &'a Snapshot,
    /// What it becomes.
    pub plan: &'a Plan,
    /// The rule.
    pub rule: &'a PrefixRule,
    /// What was asked for.
    pub options: &'a ChangePrefix,
    /// The size of the output with its trailer.
    pub bytes_out: u64,
    /// Room for it, if that is known.
    pub free_bytes: Option<u64>,
}

/// What would lose or break something and was not asked for by name; the most telling comes first.
///
/// # Errors
/// I/O, interrupted.
pub fn refusals(change: Change<'_>, progress: &dyn Progress) -> Result<Vec<Refusal>> {
    let Change { plan, rule, options, .. } = change;
    let refusals = [
        nothing_matches(plan, rule).filter(|_| !options.allow_empty),
        unmatched(plan, rule),
        undecryptable(plan).filter(|_| !options.allow_undecryptable),
        escalation(plan, rule),
        keys::opened(change, progress)?,
        straddling(plan).filter(|_| !options.allow_unmapped_roles),
        keys::collision(change, progress)?,
        irreversible(plan, rule).filter(|_| options.target == Target::InPlace),
        over_quota(change.bytes_out, options.target_quota_bytes),
        no_space(change).filter(|_| options.dry_run),
    ];
    Ok(refusals.into_iter().flatten().collect())
}

/// What the user should know although it is no reason to refuse.
pub fn warnings(plan: &Plan, rule: &PrefixRule, bytes_out: u64) -> Vec<String> {
    let census = plan.counts.census();
    let (store, roles) = (&plan.store, &plan.roles);
    let (alarms, orphaned) = (store.alarms.total(), plan.keys.orphaned);
    let sealed = plan.counts.encrypted().bound_to_key();
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
        (
            orphaned > 0,
            format!(
                "{} attached to a lease that does not exist: a restore makes them permanent",
                counted(orphaned, "live key")
            ),
        ),
        (!store.leases.are_known(), "too many leases to tell whether keys lack theirs".into()),
        (census.matched == 0, "no key matches: only the file is rewritten".into()),
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

fn nothing_matches(plan: &Plan, rule: &PrefixRule) -> Option<Refusal> {
    let counts = &plan.counts;
    (counts.census().matched == 0)
        .then(|| census::nothing_matches(rule, counts.under_destination, &counts.components()))
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
    const SHOWN: usize = 8;
    let records = plan.counts.encrypted().bound_to_key();
    if records == 0 {
        return None;
    }
    let mut bound = plan.counts.encrypted_resources();
    bound.retain(|found| found.provider.binds_to_key());
    let name = |found: &EncryptedResource| {
        format!("{} {} ({})", found.provider.name(), found.resource, found.records)
    };
    let mut shown: Vec<String> = bound.iter().take(SHOWN).map(name).collect();
    if bound.len() > SHOWN {
        shown.push("others".into());
    }
    Some(Refusal::Undecryptable { records, resources: shown.join(", ") })
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

fn irreversible(plan: &Plan, rule: &PrefixRule) -> Option<Refusal> {
    let (counts, dst) = (&plan.counts, shown(rule.dst()));
    let why = if counts.census().dropped > 0 {
        format!("{} would be dropped", counted(counts.census().dropped, "record"))
    } else if counts.under_destination > 0 && counts.census().matched > 0 {
        format!("{} under {dst} already", counted(counts.under_destination, "unmatched record"))
    } else if counts.matched_noncanonical > 0 {
        format!("{} not encoded as etcd does", counted(counts.matched_noncanonical, "key"))
    } else if plan.roles.narrowed + plan.roles.merged > 0 {
        let permissions = plan.roles.narrowed + plan.roles.merged;
        format!("{} would be narrowed or merged", counted(permissions, "permission"))
    } else {
        return None;
    };
    Some(Refusal::Irreversible { why })
}

fn over_quota(bytes: u64, quota_bytes: Option<u64>) -> Option<Refusal> {
    let quota_bytes = quota_bytes.filter(|&quota| bytes > quota)?;
    Some(Refusal::OverQuota { bytes, quota_bytes })
}

fn no_space(change: Change<'_>) -> Option<Refusal> {
    let bytes = change.bytes_out;
    let free_bytes = change.free_bytes.filter(|&free| free < bytes)?;
    Some(Refusal::NoSpace { bytes, free_bytes })
}
