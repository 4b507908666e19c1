//! What became of permissions, for refusals and reports.

use serde::Serialize;

use super::wire::{Permission, READ, READ_WRITE, WRITE};

/// Changes listed one by one; the counts are exact beyond it.
const LISTED: usize = 100;
/// Bytes of a key or name that a report shows.
const SHOWN_BYTES: usize = 128;

/// What becomes of a permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PermissionFate {
    /// It is as good after the change as before.
    Stays,
    /// It moves to the destination.
    Moves,
    /// It becomes the destination's own key and the keys below it; its range had other keys too,
    /// which it no longer opens.
    Narrows,
    /// Left as it is it would open keys of the destination that its role could not reach.
    Escalates,
    /// Left as it is it would lose keys, and no range has its effect.
    Straddles,
}

/// Counts over all permissions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RoleCounts {
    /// Roles.
    pub roles: u64,
    /// Roles that have another value in the output.
    pub changed_roles: u64,
    /// Permissions of all roles.
    pub permissions: u64,
    /// Those that moved to the destination.
    pub moved: u64,
    /// Those that lost keys beside the source prefix on the way.
    pub narrowed: u64,
    /// Those that became one with another of the same range.
    pub merged: u64,
    /// Those that open keys of the destination.
    pub escalating: u64,
    /// Those that have no equivalent.
    pub straddling: u64,
    /// At most 100 permissions that do not simply stay: first those that are in the way.
    pub changes: Vec<PermissionChange>,
}

/// A permission that does not simply stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PermissionChange {
    /// The role, escaped and cut.
    pub role: String,
    /// `read`, `write` or `readwrite`.
    pub permission: &'static str,
    /// The key or range, escaped and cut: `/a`, `[/a, /b)` or `[/a, end)`.
    pub range: String,
    /// What becomes of it.
    pub fate: PermissionFate,
    /// The keys and ranges in its place.
    pub becomes: Vec<String>,
}

impl RoleCounts {
    pub(super) fn note(
        &mut self,
        role: &[u8],
        permission: &Permission<'_>,
        fate: PermissionFate,
        becomes: &[Permission<'_>],
    ) {
        self.permissions += 1;
        match fate {
            PermissionFate::Stays => return,
            PermissionFate::Moves => self.moved += 1,
            PermissionFate::Narrows => self.narrowed += 1,
            PermissionFate::Escalates => self.escalating += 1,
            PermissionFate::Straddles => self.straddling += 1,
        }
        let in_the_way = fate.is_in_the_way();
        self.list(fate, || PermissionChange {
            role: shown(role),
            permission: kind(permission.kind),
            range: range(permission),
            fate,
            becomes: if in_the_way { Vec::new() } else { becomes.iter().map(range).collect() },
        });
    }

    pub(super) fn end_role(&mut self) {
        self.roles = 1;
        self.changed_roles = u64::from(self.moved + self.narrowed > 0);
    }

    /// Adds the counts of the roles that follow.
    pub fn merge(&mut self, later: Self) {
        self.roles += later.roles;
        self.changed_roles += later.changed_roles;
        self.permissions += later.permissions;
        self.moved += later.moved;
        self.narrowed += later.narrowed;
        self.merged += later.merged;
        self.escalating += later.escalating;
        self.straddling += later.straddling;
        for change in later.changes {
            self.list(change.fate, || change);
        }
    }

    /// The first permission with this fate, as messages name it.
    pub fn first(&self, fate: PermissionFate) -> String {
        let change = self.changes.iter().find(|change| change.fate == fate);
        change.map_or_else(String::new, |PermissionChange { role, permission, range, .. }| {
            format!("{permission} {range} of role {role}")
        })
    }

    /// What is in the way goes before the rest and pushes it out.
    fn list(&mut self, fate: PermissionFate, change: impl FnOnce() -> PermissionChange) {
        let at = self.changes.partition_point(|listed| listed.fate.rank() <= fate.rank());
        if at < LISTED {
            self.changes.insert(at, change());
            self.changes.truncate(LISTED);
        }
    }
}

impl PermissionFate {
    fn rank(self) -> u8 {
        match self {
            Self::Escalates => 0,
            Self::Straddles => 1,
            Self::Stays | Self::Moves | Self::Narrows => 2,
        }
    }

    fn is_in_the_way(self) -> bool {
        self.rank() < 2
    }
}

fn kind(kind: u64) -> &'static str {
    match kind {
        READ => "read",
        WRITE => "write",
        READ_WRITE => "readwrite",
        _ => "unknown",
    }
}

fn range(permission: &Permission<'_>) -> String {
    let key = shown(&permission.key);
    match permission.range_end.as_slice() {
        [] => key,
        b"\0" => format!("[{key}, end)"),
        end => format!("[{key}, {})", shown(end)),
    }
}

fn shown(bytes: &[u8]) -> String {
    bytes.get(..SHOWN_BYTES).unwrap_or(bytes).escape_ascii().to_string()
}
