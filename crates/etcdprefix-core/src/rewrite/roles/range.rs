//! Key ranges as etcd's auth store sees them (`server/auth/range_perm_cache.go`, etcd 3.3 to 3.7).

use std::cmp::Ordering;

use crate::rewrite::rule::PrefixRule;

/// The end that stands for "no end".
const OPEN_END: &[u8] = b"\0";

/// The keys from `start` on and below `end`, or all of them without an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key.
    pub start: Vec<u8>,
    /// The key after the last one.
    pub end: Option<Vec<u8>>,
}

impl KeyRange {
    /// The effect of a permission; `None` if it has none: an empty key, which etcd puts above all
    /// others, or an end that is not above the key.
    pub fn of(key: &[u8], range_end: &[u8]) -> Option<Self> {
        let end = match range_end {
            [] => Some([key, b"\0"].concat()),
            OPEN_END => None,
            end => Some(end.to_vec()),
        };
        let range = Self { start: key.to_vec(), end };
        (!key.is_empty() && !range.is_empty()).then_some(range)
    }

    /// Whether `key` is in it.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.start.as_slice() <= key && self.end.as_deref().is_none_or(|end| key < end)
    }

    fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }

    /// The keys that are in both.
    fn intersection(&self, other: &Self) -> Option<Self> {
        let start = self.start.clone().max(other.start.clone());
        let end = match compare_ends(self.end.as_deref(), other.end.as_deref()) {
            Ordering::Greater => other.end.clone(),
            _ => self.end.clone(),
        };
        let both = Self { start, end };
        (!both.is_empty()).then_some(both)
    }
}

fn compare_ends(a: Option<&[u8]>, b: Option<&[u8]>) -> Ordering {
    match (a, b) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) => a.cmp(b),
    }
}

/// Ranges together: sorted, none touching another.
#[derive(Clone, Debug, Default)]
pub struct Union(Vec<KeyRange>);

impl Union {
    /// All keys of `ranges`.
    pub fn of(mut ranges: Vec<KeyRange>) -> Self {
        ranges.sort_by(|a, b| a.start.cmp(&b.start));
        let mut union: Vec<KeyRange> = Vec::new();
        for range in ranges {
            match union.last_mut() {
                Some(last) if last.end.as_ref().is_none_or(|end| range.start <= *end) => {
                    if compare_ends(last.end.as_deref(), range.end.as_deref()).is_lt() {
                        last.end = range.end;
                    }
                }
                _ => union.push(range),
            }
        }
        Self(union)
    }

    /// Whether every key of `wanted` is in it.
    pub fn covers(&self, wanted: &KeyRange) -> bool {
        self.around(&wanted.start)
            .is_some_and(|range| compare_ends(wanted.end.as_deref(), range.end.as_deref()).is_le())
    }

    /// Whether `key` is in it.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.around(key).is_some()
    }

    fn around(&self, key: &[u8]) -> Option<&KeyRange> {
        let after = self.0.partition_point(|range| range.start.as_slice() <= key);
        self.0.get(after.checked_sub(1)?).filter(|range| range.contains(key))
    }
}

/// The keys under a prefix: the prefix itself and what goes on with a slash.
#[derive(Clone, Debug)]
pub struct Tenant {
    prefix: Vec<u8>,
    /// What begins with the prefix and a slash.
    below: KeyRange,
}

/// What a range holds of a tenant's keys, by what follows the prefix, so that two tenants compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The prefix itself.
    pub root: bool,
    /// Of the keys below it those from here on.
    pub below: Option<KeyRange>,
}

impl Part {
    /// Whether it holds none of the tenant's keys.
    pub fn is_empty(&self) -> bool {
        !self.root && self.below.is_none()
    }
}

impl Tenant {
    /// The source's keys and the destination's.
    pub fn of(rule: &PrefixRule) -> (Self, Self) {
        (Self::under(rule.src()), Self::under(rule.dst()))
    }

    fn under(prefix: &str) -> Self {
        let prefix = prefix.as_bytes();
        // '0' follows the slash.
        let (start, end) = ([prefix, b"/"].concat(), [prefix, b"0"].concat());
        Self { prefix: prefix.to_vec(), below: KeyRange { start, end: Some(end) } }
    }

    /// The key that is the prefix itself; an empty one is no key.
    pub fn root(&self) -> Option<&[u8]> {
        (!self.prefix.is_empty()).then_some(self.prefix.as_slice())
    }

    /// The keys below the prefix.
    pub fn below(&self) -> &KeyRange {
        &self.below
    }

    /// What `range` holds of this tenant.
    pub fn part(&self, range: &KeyRange) -> Part {
        let relative = |key: &[u8]| key.get(self.prefix.len()..).unwrap_or_default().to_vec();
        let below = range.intersection(&self.below).map(|both| KeyRange {
            start: relative(&both.start),
            end: both.end.filter(|end| Some(end) != self.below.end.as_ref()).map(|e| relative(&e)),
        });
        Part { root: self.root().is_some_and(|root| range.contains(root)), below }
    }

    /// The keys of this tenant that `part` of another one stands for.
    pub fn whole(&self, part: &Part) -> Vec<KeyRange> {
        let absolute = |rest: &[u8]| [&self.prefix, rest].concat();
        let root = self.root().filter(|_| part.root).and_then(|root| KeyRange::of(root, b""));
        let below = part.below.as_ref().map(|below| KeyRange {
            start: absolute(&below.start),
            end: below.end.as_deref().map(absolute).or_else(|| self.below.end.clone()),
        });
        root.into_iter().chain(below).collect()
    }

    /// Whether `range` lies below the prefix.
    pub fn holds_below(&self, range: &KeyRange) -> bool {
        range.intersection(&self.below).as_ref() == Some(range)
    }

    /// The end of the range that `etcdctl --prefix` makes of the prefix without a slash: its last
    /// byte raised. Prefixes are UTF-8, so no byte is 0xFF.
    pub fn loose_end(&self) -> Option<Vec<u8>> {
        let mut end = self.root()?.to_vec();
        let last = end.last_mut()?;
        *last = last.checked_add(1)?;
        Some(end)
    }

    /// The part of `key` behind the prefix; `key` begins with it.
    pub fn rest<'k>(&self, key: &'k [u8]) -> &'k [u8] {
        key.get(self.prefix.len()..).unwrap_or_default()
    }

    /// The prefix's bytes.
    pub fn prefix(&self) -> &[u8] {
        &self.prefix
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(key: &str, end: &str) -> KeyRange {
        KeyRange::of(key.as_bytes(), end.as_bytes()).unwrap()
    }

    #[test]
    fn permissions_have_the_effect_that_etcd_gives_them() {
        assert!(range("a", "").contains(b"a") && !range("a", "").contains(b"a\0"));
        assert!(range("a", "c").contains(b"bb") && !range("a", "c").contains(b"c"));
        assert!(range("a", "\0").contains(b"\xff"));
        assert_eq!(KeyRange::of(b"", b"\0"), None);
        assert_eq!(KeyRange::of(b"b", b"a"), None);
    }

    #[test]
    fn ranges_cover_together() {
        let ab = Union::of(vec![range("/b", "/c"), range("/a", "/b")]);
        assert!(ab.covers(&range("/a", "/c")) && ab.contains(b"/b"));
        assert!(!ab.covers(&range("/a", "/d")) && !ab.contains(b"/c"));
        let gap = Union::of(vec![range("/a", "/b"), range("/b\0", "/c")]);
        assert!(!gap.covers(&range("/a", "/c")) && !gap.contains(b"/b"));
        assert!(Union::of(vec![range("/a", "\0")]).covers(&range("/b", "\0")));
        assert!(!ab.covers(&range("/a", "\0")));
    }
}
