//! What a role's permissions open, all together.

use super::range::{KeyRange, Union};
use super::wire::{Permission, READ, READ_WRITE, Role, WRITE};
use crate::rewrite::wire::WireError;

/// The keys that a role may read and those that it may write.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    read: Union,
    write: Union,
}

impl Reach {
    /// What the role with this `value` may do.
    ///
    /// # Errors
    /// As [`super::rewrite`].
    pub fn of_role(value: &[u8]) -> Result<Self, WireError> {
        Ok(Self::of(&Role::parse(value)?.permissions))
    }

    pub(super) fn of(permissions: &[Permission<'_>]) -> Self {
        let of_kind = |kind| {
            let granting = permissions.iter().filter(|p| p.kind == kind || p.kind == READ_WRITE);
            Union::of(granting.filter_map(|p| KeyRange::of(&p.key, &p.range_end)).collect())
        };
        Self { read: of_kind(READ), write: of_kind(WRITE) }
    }

    /// Whether a permission of `kind` for `wanted` would add nothing. A kind that etcd does not know
    /// grants nothing.
    pub(super) fn covers(&self, kind: u64, wanted: &KeyRange) -> bool {
        match kind {
            READ => self.read.covers(wanted),
            WRITE => self.write.covers(wanted),
            READ_WRITE => self.read.covers(wanted) && self.write.covers(wanted),
            _ => true,
        }
    }

    /// Whether `key` may be read or written here and not in `before`.
    pub fn opens(&self, key: &[u8], before: &Self) -> bool {
        (self.read.contains(key) && !before.read.contains(key))
            || (self.write.contains(key) && !before.write.contains(key))
    }
}
