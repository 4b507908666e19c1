//! Proves what became of a role by its effect: at every key where a permission of either file
//! begins or ends, the user may do after the change what could be done before it. How the writer
//! decides about a permission is not asked; between two such keys nothing changes.

use std::collections::BTreeSet;

use crate::rewrite::rule::PrefixRule;
use crate::rewrite::schema::ROLE_BYTES_MAX;
use crate::verify::record::{BYTES, VARINT, bytes, skip, tag, varint};

/// What 65,536 permissions may grow by with longer prefixes.
const GROWTH_BYTES_MAX: usize = 256 << 20;

const READ: u64 = 0;
const WRITE: u64 = 1;
const BOTH: u64 = 2;

/// A permission as `authpb.Permission` has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Grant<'v> {
    kind: u64,
    key: &'v [u8],
    end: &'v [u8],
    /// Fields that are unknown here, all of them.
    unknown: Vec<&'v [u8]>,
}

/// A role, its permissions apart from the rest.
#[derive(Debug, Default)]
struct Role<'v> {
    grants: Vec<Grant<'v>>,
    others: Vec<&'v [u8]>,
}

/// Proves that a role with the value `output` grants under the new prefix what `source` did.
/// With `unmapped`, ranges that have no equivalent may be as they were.
///
/// # Errors
/// The first difference.
pub fn same_effect(
    rule: &PrefixRule,
    source: &[u8],
    output: &[u8],
    unmapped: bool,
) -> Result<(), String> {
    let (before, after) = (Role::parse(source)?, Role::parse(output)?);
    if before.others != after.others || before.unknown() != after.unknown() {
        return Err("name or unknown fields of the role changed".into());
    }
    if source != output && !before.moves(rule) {
        return Err("the role changed, although nothing in it moves".into());
    }
    let order = |grant: &Grant<'_>| (grant.key.to_vec(), grant.end.to_vec());
    if source != output && !after.grants.is_sorted_by_key(order) {
        return Err("its permissions are not sorted".into());
    }
    for (kind, doing) in [(READ, "read"), (WRITE, "write")] {
        let effect = Effect::new(rule, &before, &after, kind, unmapped);
        effect.check().map_err(|key| {
            let key = key.get(..128).unwrap_or(&key).escape_ascii().to_string();
            format!("it may {doing} {key} now and could not before, or the reverse")
        })?;
    }
    Ok(())
}

struct Effect<'v> {
    src: &'v [u8],
    dst: &'v [u8],
    before: Keys,
    after: Keys,
    /// What `--prefix` grants for the source prefix without a slash: it loses what lies beside.
    loose: Keys,
    /// Ranges with keys that do not move, if these may have no equivalent: what they held may be
    /// lost, but nothing gained.
    excused: Keys,
    turns: Vec<Vec<u8>>,
}

impl<'v> Effect<'v> {
    fn new(
        rule: &'v PrefixRule,
        before: &Role<'_>,
        after: &Role<'_>,
        kind: u64,
        unmapped: bool,
    ) -> Self {
        let (src, dst) = (rule.src().as_bytes(), rule.dst().as_bytes());
        let of_kind = |role: &Role<'_>| -> Vec<Range> {
            let grants =
                role.grants.iter().filter(|grant| grant.kind == kind || grant.kind == BOTH);
            grants.filter_map(Grant::range).collect()
        };
        let (before, after) = (of_kind(before), of_kind(after));
        let below = |prefix: &[u8]| ([prefix, b"/"].concat(), Some([prefix, b"0"].concat()));
        let is_loose = |range: &&Range| {
            let end = range.1.as_deref().and_then(<[u8]>::split_last);
            let wanted = src.split_last().map(|(last, rest)| (last.saturating_add(1), rest));
            range.0 == src && end.map(|(last, rest)| (*last, rest)) == wanted
        };
        let (from, to) = below(src);
        let moves = |range: &&Range| range.0 >= from && range.1.is_some() && range.1 <= to;
        let loose = before.iter().filter(is_loose).cloned().collect();
        let stays = |range: &&Range| unmapped && !moves(range) && !is_loose(range);
        let root = (src.to_vec(), Some([src, b"\0"].concat()));
        let excused = before.iter().filter(|range| stays(range) && **range != root);
        let excused = excused.cloned().collect();
        let roots = [src, dst].map(|root| (root.to_vec(), Some([root, b"\0"].concat())));
        let mut turns: Vec<Vec<u8>> = vec![vec![0]];
        let marks = [below(src), below(dst)];
        for (start, end) in before.iter().chain(&after).chain(&roots).chain(&marks) {
            turns.push(start.clone());
            turns.extend(end.clone());
        }
        let (before, after) = (Keys::of(before), Keys::of(after));
        Self { src, dst, before, after, loose: Keys::of(loose), excused: Keys::of(excused), turns }
    }

    fn check(&self) -> Result<(), Vec<u8>> {
        for turn in &self.turns {
            let moved = moved(turn, self.src, self.dst);
            let back = moved_back(turn, self.src, self.dst);
            for key in [Some(turn.clone()), moved, back].into_iter().flatten() {
                if !key.is_empty() && !self.holds_at(&key) {
                    return Err(key);
                }
            }
        }
        Ok(())
    }

    fn holds_at(&self, key: &[u8]) -> bool {
        let origin = moved_back(key, self.src, self.dst).filter(|origin| !origin.is_empty());
        let asked = origin.as_deref().unwrap_or(key);
        let (could, may) = (self.before.hold(asked), self.after.hold(key));
        let gone = origin.is_none() && lies_under(self.src, key);
        let narrowed = origin.is_none() && self.loose.hold(key);
        could == may || (could && (gone || narrowed || self.excused.hold(asked)))
    }
}

fn lies_under(prefix: &[u8], key: &[u8]) -> bool {
    match key.strip_prefix(prefix) {
        Some([]) => !prefix.is_empty(),
        Some([first, ..]) => *first == b'/',
        None => false,
    }
}

fn moved(key: &[u8], src: &[u8], dst: &[u8]) -> Option<Vec<u8>> {
    let rest = key.strip_prefix(src)?;
    // An end may be one past the keys below the prefix.
    matches!(rest.first(), None | Some(b'/' | b'0')).then(|| [dst, rest].concat())
}

fn moved_back(key: &[u8], src: &[u8], dst: &[u8]) -> Option<Vec<u8>> {
    lies_under(dst, key).then(|| moved(key, dst, src)).flatten()
}

/// First key, and the key after the last one if there is one.
type Range = (Vec<u8>, Option<Vec<u8>>);

/// A set of keys: ranges in order, none touching the next.
#[derive(Debug)]
struct Keys(Vec<Range>);

impl Keys {
    fn of(mut ranges: Vec<Range>) -> Self {
        ranges.sort();
        let mut joined: Vec<Range> = Vec::new();
        for (start, end) in ranges {
            match joined.last_mut() {
                Some((_, last)) if last.as_ref().is_none_or(|last| start <= *last) => {
                    // Without an end it holds all that follows.
                    *last = last.take().zip(end).map(|(last, end)| last.max(end));
                }
                _ => joined.push((start, end)),
            }
        }
        Self(joined)
    }

    fn hold(&self, key: &[u8]) -> bool {
        let begun = self.0.partition_point(|(start, _)| start.as_slice() <= key);
        let last = begun.checked_sub(1).and_then(|last| self.0.get(last));
        last.is_some_and(|(_, end)| end.as_deref().is_none_or(|end| key < end))
    }
}

impl Grant<'_> {
    /// `server/auth/range_perm_cache.go`: no end is one key, a zero byte no end; an empty key is
    /// above all others.
    fn range(&self) -> Option<Range> {
        let end = match self.end {
            [] => Some([self.key, b"\0"].concat()),
            [0] => None,
            end => Some(end.to_vec()),
        };
        let empty = self.key.is_empty() || end.as_deref().is_some_and(|end| end <= self.key);
        (!empty).then(|| (self.key.to_vec(), end))
    }
}

impl<'v> Role<'v> {
    /// What of its permissions no effect shows: kinds and fields that are unknown here. A narrowed
    /// permission becomes two, and two of one range one, so they are not counted.
    fn unknown(&self) -> BTreeSet<(Option<u64>, &[&'v [u8]])> {
        let odd = |kind| Some(kind).filter(|kind| *kind > BOTH);
        let all = self.grants.iter().map(|grant| (odd(grant.kind), grant.unknown.as_slice()));
        all.filter(|(kind, fields)| kind.is_some() || !fields.is_empty()).collect()
    }

    /// Whether any permission begins under the source prefix.
    fn moves(&self, rule: &PrefixRule) -> bool {
        self.grants.iter().any(|grant| lies_under(rule.src().as_bytes(), grant.key))
    }

    fn parse(mut rest: &'v [u8]) -> Result<Self, &'static str> {
        if rest.len() > ROLE_BYTES_MAX + GROWTH_BYTES_MAX {
            return Err("larger than any role that was changed");
        }
        let mut role = Self::default();
        while !rest.is_empty() {
            let field = rest;
            match tag(&mut rest)? {
                (2, BYTES) => role.grants.push(Grant::parse(bytes(&mut rest)?)?),
                (_, kind) => {
                    skip(&mut rest, kind)?;
                    role.others.push(field.get(..field.len() - rest.len()).unwrap_or_default());
                }
            }
        }
        Ok(role)
    }
}

impl<'v> Grant<'v> {
    fn parse(mut rest: &'v [u8]) -> Result<Self, &'static str> {
        let mut grant = Self::default();
        while !rest.is_empty() {
            let field = rest;
            match tag(&mut rest)? {
                (1, VARINT) => grant.kind = varint(&mut rest)? & 0xFFFF_FFFF,
                (2, BYTES) => grant.key = bytes(&mut rest)?,
                (3, BYTES) => grant.end = bytes(&mut rest)?,
                (_, kind) => {
                    skip(&mut rest, kind)?;
                    grant.unknown.push(field.get(..field.len() - rest.len()).unwrap_or_default());
                }
            }
        }
        Ok(grant)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::options::Unmatched;
    use crate::rewrite::roles::rewrite;

    fn role(grants: &[(u8, &str, &str)]) -> Vec<u8> {
        let mut value = b"\x0a\x01r".to_vec();
        for (kind, key, end) in grants {
            let (key_bytes, end_bytes) = (key.len() as u8, end.len() as u8);
            value.extend([0x12, 6 + key_bytes + end_bytes, 8, *kind, 0x12, key_bytes]);
            value.extend(key.bytes());
            value.extend([0x1a, end_bytes]);
            value.extend(end.bytes());
        }
        value
    }

    fn same(before: &[(u8, &str, &str)], after: &[(u8, &str, &str)], unmapped: bool) -> bool {
        let rule = PrefixRule::new("/r", "/c1", Unmatched::Keep).unwrap();
        same_effect(&rule, &role(before), &role(after), unmapped).is_ok()
    }

    #[test]
    fn only_the_same_rights_under_the_new_prefix_pass() {
        let moved = [(2, "/c1", ""), (2, "/c1/", "/c10")];
        assert!(same(&[(2, "/r", ""), (2, "/r/", "/r0")], &moved, false));
        assert!(same(&[(2, "/r", "/s")], &moved, false), "narrowed");
        assert!(!same(&[(2, "/r", "/s")], &[(2, "/c1", "/c2")], false), "opens /c1234");
        assert!(!same(&[(2, "/r", "/t")], &moved, false), "nobody asked to narrow that");
        assert!(!same(&[(2, "/r/", "/r0")], &[(2, "/r/", "/r0")], false), "not moved");
        assert!(!same(&[(0, "/r/", "/r0")], &[(2, "/c1/", "/c10")], false), "may write now");
        assert!(!same(&[(2, "/r/", "/r0")], &[(2, "/c1/", "/c1/z")], false), "lost some");
        assert!(!same(&[], &[(0, "/x", "")], false), "out of nothing");
        assert!(same(&[(2, "\0", "\0")], &[(2, "\0", "\0")], false));
        assert!(same(&[(2, "/c1234/", "/c12340")], &[(2, "/c1234/", "/c12340")], false));
        assert!(!same(
            &[(2, "/x", ""), (2, "/r/a", "")],
            &[(2, "/x", ""), (2, "/c1/a", "")],
            false
        ));
    }

    #[test]
    fn what_has_no_equivalent_passes_only_if_asked_for() {
        let kept = [(2, "/r/", "\0")];
        assert!(!same(&kept, &kept, false));
        assert!(same(&kept, &kept, true));
        let moved = [(2, "/r/", "/r0")];
        assert!(!same(&moved, &moved, true), "that one has");
        assert!(
            !same(&[(2, "/r", "/s")], &[], true) && !same(&[(2, "/r", "")], &[], true),
            "and those"
        );
    }

    #[test]
    fn nothing_may_open_whatever_was_asked_for() {
        for kept in [(2, "/c1/", "/c10"), (2, "/c", "/d"), (0, "/c1", "/r/b")] {
            assert!(!same(&[kept], &[kept], true), "{kept:?}");
        }
    }

    #[test]
    fn what_no_effect_shows_has_to_stay() {
        let same = |before: &[u8], after: &[u8]| {
            let rule = PrefixRule::new("/r", "/c1", Unmatched::Keep).unwrap();
            same_effect(&rule, before, after, false).is_ok()
        };
        let odd = |key: &[u8]| {
            [&[0x12, key.len() as u8 + 6, 8, 7, 0x12, key.len() as u8], key, b"\x28\x01"].concat()
        };
        assert!(same(&odd(b"/r/a"), &odd(b"/c1/a")));
        assert!(!same(&odd(b"/r/a"), b""), "a kind that nobody knows");
        assert!(!same(
            &role(&[(0, "/x", ""), (0, "/a", "")]),
            &role(&[(0, "/a", ""), (0, "/x", "")])
        ));
    }

    const KEYS: [&str; 22] = [
        "", "\0", "/", "/c", "/d", "/d\0", "/d.", "/d/", "/d/a", "/d0", "/d1/", "/e", "/r", "/r\0",
        "/r-x", "/r/", "/r/a", "/r/d", "/r/d/a", "/r/d0", "/r0", "/s",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        /// The writer and its judge, who share no code, agree.
        #[test]
        fn what_the_writer_makes_of_roles_is_proved(
            prefixes in prop::sample::select(vec![
                ("/r", "/d"), ("/d", "/r"), ("/r", "/r/d"), ("/r/d", "/r"), ("", "/d"), ("/d", ""),
            ]),
            grants in prop::collection::vec((0_u8..3, 0..KEYS.len(), 0..KEYS.len()), 0..5),
        ) {
            let rule = PrefixRule::new(prefixes.0, prefixes.1, Unmatched::Keep).unwrap();
            let grants: Vec<_> =
                grants.iter().map(|&(kind, key, end)| (kind, KEYS[key], KEYS[end])).collect();
            let before = role(&grants);
            let rewritten = rewrite(&rule, &before).unwrap();
            let after = rewritten.value.unwrap_or_else(|| before.clone());
            let (escalating, straddling) =
                (rewritten.counts.escalating, rewritten.counts.straddling);
            if escalating == 0 {
                prop_assert_eq!(same_effect(&rule, &before, &after, true), Ok(()));
            } else {
                prop_assert!(same_effect(&rule, &before, &after, true).is_err());
            }
            if escalating + straddling == 0 {
                prop_assert_eq!(same_effect(&rule, &before, &after, false), Ok(()));
            }
        }
    }
}
