//! What becomes of roles: a permission is a range of keys, and its effect decides.
//!
//! After the change a role's user may do the same as before, under the new prefix, and nothing
//! else. With *src* and *dst* for the keys under source and destination:
//!
//! - A range inside of *src* moves with its keys.
//! - What `etcdctl --prefix /registry` grants, `/registry` up to `/registrz`, becomes the key `/c1`
//!   and the keys below `/c1/`. Moved as it is it would open `/c1234` too.
//! - A range that holds of *dst* just what it holds of *src* (nothing of both, all of both) stays.
//! - One that holds keys of *dst* would gain the records that move there, unless the role could
//!   reach those before.
//! - Any other straddles: left as it is it would lose keys, and no range has its effect.

mod range;
mod reach;
mod report;
mod wire;

use crate::rewrite::rule::PrefixRule;
use crate::rewrite::schema;
use crate::rewrite::wire::WireError;

use range::{KeyRange, Tenant};
use wire::{Permission, Role};

pub use reach::Reach;
pub use report::{PermissionChange, PermissionFate, RoleCounts};

/// A role under the rule.
#[derive(Debug, Default)]
pub struct Rewritten {
    /// The new value; `None` if it stays byte for byte.
    pub value: Option<Vec<u8>>,
    /// What became of its permissions.
    pub counts: RoleCounts,
}

/// What becomes of the role with this `value`.
///
/// Its permissions come out sorted by key, then end, as etcd searches them (`server/auth/store.go`,
/// 3.3 to 3.7), and those of the same range as one.
///
/// # Errors
/// What makes etcd's decoder fail; more than 65,536 permissions; over [`schema::ROLE_BYTES_MAX`].
pub fn rewrite(rule: &PrefixRule, value: &[u8]) -> Result<Rewritten, WireError> {
    if value.len() > schema::ROLE_BYTES_MAX {
        return Err("larger than 4 MiB");
    }
    let role = Role::parse(value)?;
    let judge = Judge::new(rule, &role);
    let mut counts = RoleCounts::default();
    let mut permissions = Vec::new();
    for permission in &role.permissions {
        let (fate, becomes) = judge.fate(permission);
        counts.note(role.name, permission, fate, &becomes);
        permissions.extend(becomes);
    }
    counts.end_role();
    let given = permissions.len();
    let permissions = sorted(permissions);
    let value = (counts.changed_roles > 0).then(|| role.encode(&permissions));
    counts.merged = value.as_ref().map_or(0, |_| given - permissions.len()) as u64;
    Ok(Rewritten { value, counts })
}

/// Decides about the permissions of one role.
struct Judge {
    src: Tenant,
    dst: Tenant,
    reach: Reach,
}

impl Judge {
    fn new(rule: &PrefixRule, role: &Role<'_>) -> Self {
        let (src, dst) = Tenant::of(rule);
        Self { src, dst, reach: Reach::of(&role.permissions) }
    }

    fn fate<'v>(&self, permission: &Permission<'v>) -> (PermissionFate, Vec<Permission<'v>>) {
        let as_it_is = |fate| (fate, vec![permission.clone()]);
        let Some(range) = KeyRange::of(&permission.key, &permission.range_end) else {
            return as_it_is(PermissionFate::Stays);
        };
        if let Some(moved) = self.moved(permission, &range) {
            return (PermissionFate::Moves, vec![moved]);
        }
        if let Some(narrowed) = self.narrowed(permission, &range) {
            return (PermissionFate::Narrows, narrowed);
        }
        as_it_is(self.fate_in_place(permission, &range))
    }

    /// The permission for the images of its keys, if all of these lie under the source.
    fn moved<'v>(&self, permission: &Permission<'v>, range: &KeyRange) -> Option<Permission<'v>> {
        let is_root =
            Some(range) == self.src.root().and_then(|root| KeyRange::of(root, b"")).as_ref();
        if is_root {
            // Without a destination the root has no image.
            self.dst.root()?;
        } else if !self.src.holds_below(range) {
            return None;
        }
        let image = |key: &[u8]| [self.dst.prefix(), self.src.rest(key)].concat();
        let range_end = match permission.range_end.as_slice() {
            [] => Vec::new(),
            end => image(end),
        };
        Some(Permission { key: image(&permission.key), range_end, ..permission.clone() })
    }

    /// The permissions for what `--prefix` grants without a slash: one for the root, which an empty
    /// destination has not, and one for what lies below.
    fn narrowed<'v>(
        &self,
        permission: &Permission<'v>,
        range: &KeyRange,
    ) -> Option<Vec<Permission<'v>>> {
        let root = self.src.root()?;
        if range.start != root || range.end != self.src.loose_end() {
            return None;
        }
        let below = self.dst.below();
        let point = self.dst.root().map(|root| (root.to_vec(), Vec::new()));
        let ranges = point.into_iter().chain([(below.start.clone(), below.end.clone()?)]);
        let with = |(key, range_end)| Permission { key, range_end, ..permission.clone() };
        Some(ranges.map(with).collect())
    }

    /// Whether a range may be left alone.
    fn fate_in_place(&self, permission: &Permission<'_>, range: &KeyRange) -> PermissionFate {
        let (mut before, mut after) = (self.src.part(range), self.dst.part(range));
        if self.src.root().is_none() || self.dst.root().is_none() {
            // No key moves to or from a root that is no key.
            (before.root, after.root) = (false, false);
        }
        let reached = || {
            let origin = self.src.whole(&after);
            origin.iter().all(|wanted| self.reach.covers(permission.kind, wanted))
        };
        if before == after {
            PermissionFate::Stays
        } else if !reached() {
            PermissionFate::Escalates
        } else if before.is_empty() {
            PermissionFate::Stays
        } else {
            PermissionFate::Straddles
        }
    }
}

fn sorted(mut permissions: Vec<Permission<'_>>) -> Vec<Permission<'_>> {
    permissions.sort_by(|a, b| (&a.key, &a.range_end).cmp(&(&b.key, &b.range_end)));
    permissions.dedup_by(|later, kept| {
        let same = (&later.key, &later.range_end) == (&kept.key, &kept.range_end);
        same && kept.join(later)
    });
    permissions
}

#[cfg(test)]
mod tests;
