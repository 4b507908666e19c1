//! Records grouped by a part of their keys, bounded whatever the keys are.

use std::collections::BTreeMap;

use crate::rewrite::encryption::Provider;

/// Groups told apart while counting; a file with more is an attack, or not Kubernetes.
const TOLD_APART: usize = 4_096;
/// Bytes of a name that are told apart.
const NAME_BYTES: usize = 256;

/// What one group holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Group {
    /// Its records.
    pub records: u64,
    /// The bytes of their encoded `mvccpb.KeyValue`s.
    pub bytes: u64,
    /// Encrypted values by [`Provider`].
    pub encrypted: [u64; Provider::ALL.len()],
}

impl Group {
    /// A record of so many bytes.
    pub fn record(bytes: u64, encrypted: Option<Provider>) -> Self {
        let mut group = Self { records: 1, bytes, ..Self::default() };
        if let Some(count) = encrypted.and_then(|by| group.encrypted.get_mut(by as usize)) {
            *count = 1;
        }
        group
    }

    fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.bytes += other.bytes;
        for (sum, count) in self.encrypted.iter_mut().zip(other.encrypted) {
            *sum += count;
        }
    }
}

/// All groups, by name.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    named: BTreeMap<Box<[u8]>, Group>,
    rest: Group,
}

impl Groups {
    /// Adds to the group `name`, which is cut where it gets long.
    pub fn add(&mut self, name: &[u8], more: &Group) {
        let name = name.get(..NAME_BYTES).unwrap_or(name);
        if let Some(group) = self.named.get_mut(name) {
            group.add(more);
        } else if self.named.len() < TOLD_APART {
            self.named.insert(name.into(), *more);
        } else {
            self.rest.add(more);
        }
    }

    /// Adds all groups of another count.
    pub fn merge(&mut self, later: &Self) {
        for (name, group) in &later.named {
            self.add(name, group);
        }
        self.rest.add(&later.rest);
    }

    /// The `limit` groups with most records, and all others together.
    pub fn top(&self, limit: usize) -> (Vec<(&[u8], &Group)>, Group) {
        let mut all: Vec<(&[u8], &Group)> =
            self.named.iter().map(|(name, group)| (name.as_ref(), group)).collect();
        all.sort_by(|a, b| b.1.records.cmp(&a.1.records).then_with(|| a.0.cmp(b.0)));
        let mut rest = self.rest;
        all.drain(limit.min(all.len())..).for_each(|(_, group)| rest.add(group));
        (all, rest)
    }
}

/// `/a` of `/a/b`, `a` of `a/b`.
pub fn first_component(key: &[u8]) -> &[u8] {
    key.get(..component_end(key, 0)).unwrap_or_default()
}

/// The resource that a key names behind the prefix: `pods` of `/pods/default/a`. A group has its
/// resources one component further down, and so have services, whose endpoints lie beside them.
pub fn resource(rest: &[u8]) -> &[u8] {
    let first_end = component_end(rest, 0);
    let first = rest.get(1..first_end).unwrap_or_default();
    let is_group = first.contains(&b'.') || first == b"services";
    let end = if is_group { component_end(rest, first_end) } else { first_end };
    rest.get(1..end).unwrap_or_default()
}

/// Where the component ends that begins at `start`, with or without a slash.
fn component_end(key: &[u8], start: usize) -> usize {
    let behind = key.get(start + 1..).unwrap_or_default();
    behind.iter().position(|&byte| byte == b'/').map_or(key.len(), |at| start + 1 + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_end_at_the_second_slash() {
        assert_eq!(first_component(b"/other/key"), b"/other");
        assert_eq!(first_component(b"plain"), b"plain");
        assert_eq!(first_component(b"a/b"), b"a");
        assert_eq!(first_component(b""), b"");
    }

    #[test]
    fn resources_are_named_as_kubernetes_lays_them_out() {
        assert_eq!(resource(b"/pods/default/a"), b"pods");
        assert_eq!(resource(b"/pods"), b"pods");
        assert_eq!(resource(b"/services/endpoints/default/a"), b"services/endpoints");
        assert_eq!(resource(b"/example.com/crons/default/a"), b"example.com/crons");
        assert_eq!(resource(b"/example.com"), b"example.com");
        assert_eq!(resource(b""), b"");
        assert_eq!(resource(b"/"), b"");
        assert_eq!(resource(b"//a"), b"");
    }

    #[test]
    fn groups_are_capped_with_exact_totals() {
        let mut groups = Groups::default();
        for number in 0..10_000 {
            groups.add(format!("/{number}").as_bytes(), &Group::record(3, Some(Provider::Kms)));
        }
        groups.add(&[b'x'; 1000], &Group::record(1, None));
        let (top, rest) = groups.top(100);
        assert_eq!((top.len(), rest.records, rest.bytes), (100, 9_901, 9_900 * 3 + 1));
        assert_eq!(rest.encrypted, [0, 9_900, 0, 0, 0]);
    }
}
