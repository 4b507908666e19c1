use proptest::prelude::*;

use super::range::KeyRange;
use super::wire::{READ, READ_WRITE, WRITE};
use super::*;
use crate::options::Unmatched;

/// Keys around `/r`, `/d` and `/r/d`, and a few far from them.
const KEYS: [&str; 25] = [
    "\0", "/", "/c", "/d", "/d\0", "/d.", "/d/", "/d/a", "/d/b", "/d/b\0", "/d0", "/d1/", "/e",
    "/q", "/r", "/r\0", "/r-x", "/r/", "/r/a", "/r/b", "/r/d", "/r/d/a", "/r/d0", "/r0", "/s",
];

fn rule(src: &str, dst: &str) -> PrefixRule {
    PrefixRule::new(src, dst, Unmatched::Keep).unwrap()
}

fn permission(kind: u64, key: &str, range_end: &str) -> Permission<'static> {
    Permission { kind, key: key.into(), range_end: range_end.into(), ..Permission::default() }
}

fn role(permissions: &[Permission<'_>]) -> Vec<u8> {
    Role::default().encode(permissions)
}

/// What becomes of one permission of a role of its own: its fate and `key`, `range_end` pairs.
fn fate_of(
    rule: &PrefixRule,
    key: &str,
    range_end: &str,
) -> (PermissionFate, Vec<(String, String)>) {
    let given = [permission(READ, key, range_end)];
    let value = role(&given);
    let role = Role::parse(&value).unwrap();
    let (fate, becomes) = Judge::new(rule, &role).fate(&role.permissions[0]);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (fate, becomes.iter().map(|p| (text(&p.key), text(&p.range_end))).collect())
}

#[track_caller]
fn becomes(given: (&str, &str), fate: PermissionFate, pairs: &[(&str, &str)]) {
    let pairs: Vec<_> = pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    assert_eq!(fate_of(&rule("/registry", "/c123"), given.0, given.1), (fate, pairs));
}

#[test]
fn each_kind_of_range_has_its_fate() {
    use PermissionFate::{Escalates, Moves, Narrows, Stays, Straddles};
    becomes(("/registry", ""), Moves, &[("/c123", "")]);
    becomes(("/registry", "/registry\0"), Moves, &[("/c123", "/c123\0")]);
    becomes(("/registry/a", ""), Moves, &[("/c123/a", "")]);
    becomes(("/registry/", "/registry0"), Moves, &[("/c123/", "/c1230")]);
    becomes(("/registry/pods/", "/registry/pods0"), Moves, &[("/c123/pods/", "/c123/pods0")]);
    becomes(("/registry", "/registrz"), Narrows, &[("/c123", ""), ("/c123/", "/c1230")]);
    becomes(("\0", "\0"), Stays, &[("\0", "\0")]);
    becomes(("/", "0"), Stays, &[("/", "0")]);
    becomes(("/c1234/", "/c12340"), Stays, &[("/c1234/", "/c12340")]);
    becomes(
        ("/registry-gardener/", "/registry-gardener0"),
        Stays,
        &[("/registry-gardener/", "/registry-gardener0")],
    );
    becomes(("", "\0"), Stays, &[("", "\0")]);
    becomes(("/x", "/a"), Stays, &[("/x", "/a")]);
    becomes(("/c123/", "/c1230"), Escalates, &[("/c123/", "/c1230")]);
    becomes(("/c123", ""), Escalates, &[("/c123", "")]);
    becomes(("/c", "/d"), Escalates, &[("/c", "/d")]);
    becomes(("/registry/", "\0"), Straddles, &[("/registry/", "\0")]);
    becomes(("/registr", "/registrz"), Straddles, &[("/registr", "/registrz")]);
    becomes(("/registry", "/registry/b"), Straddles, &[("/registry", "/registry/b")]);
}

#[test]
fn prefixes_that_are_empty_or_within_one_another_are_decided_alike() {
    use PermissionFate::{Escalates, Moves, Narrows, Stays};
    let prepend = rule("", "/t");
    assert_eq!(fate_of(&prepend, "/", "0"), (Moves, vec![("/t/".into(), "/t0".into())]));
    assert_eq!(fate_of(&prepend, "x", "").0, Stays);
    let strip = rule("/t", "");
    assert_eq!(fate_of(&strip, "/t/", "/t0"), (Moves, vec![("/".into(), "0".into())]));
    assert_eq!(fate_of(&strip, "/t", "").0, Escalates, "it would be the image of /t/t");
    let below = rule("/registry", "/registry/c1");
    assert_eq!(fate_of(&below, "/registry", "/registrz").0, Narrows);
    assert_eq!(
        fate_of(&below, "/registry/c1/", "/registry/c10"),
        (Moves, vec![("/registry/c1/c1/".into(), "/registry/c1/c10".into())])
    );
}

#[test]
fn a_role_that_reached_the_source_may_keep_the_destination() {
    let both = [
        permission(READ_WRITE, "/c1/", "/c10"),
        permission(READ_WRITE, "/registry/", "/registry0"),
    ];
    let rewritten = rewrite(&rule("/registry", "/c1"), &role(&both)).unwrap();
    assert_eq!((rewritten.counts.escalating, rewritten.counts.moved), (0, 1));
    let value = rewritten.value.unwrap();
    assert_eq!(Role::parse(&value).unwrap().permissions, [both[0].clone()], "twice the same range");
    let reads =
        [permission(READ_WRITE, "/c1/", "/c10"), permission(READ, "/registry/", "/registry0")];
    let rewritten = rewrite(&rule("/registry", "/c1"), &role(&reads)).unwrap();
    assert_eq!(rewritten.counts.escalating, 1, "it could not write there");
}

#[test]
fn the_same_range_twice_grants_what_both_did() {
    let both = [
        permission(WRITE, "/c1/a", ""),
        permission(READ, "/registry/a", ""),
        permission(WRITE, "/registry/a", ""),
    ];
    let rewritten = rewrite(&rule("/registry", "/c1"), &role(&both)).unwrap();
    let value = rewritten.value.unwrap();
    assert_eq!(Role::parse(&value).unwrap().permissions, [permission(READ_WRITE, "/c1/a", "")]);
}

#[test]
fn a_role_that_nothing_happens_to_stays_byte_for_byte() {
    let unsorted = [permission(READ, "/z", ""), permission(READ, "/a", "")];
    assert_eq!(rewrite(&rule("/registry", "/c1"), &role(&unsorted)).unwrap().value, None);
}

/// What the rule of the module's head asks for, key by key.
fn has_the_effect(src: &str, dst: &str, given: &[Permission<'_>]) -> Result<(), TestCaseError> {
    let rule = rule(src, dst);
    let value = role(given);
    let rewritten = rewrite(&rule, &value).unwrap();
    let after = rewritten.value.unwrap_or_else(|| value.clone());
    let in_the_way = rewritten.counts.escalating + rewritten.counts.straddling;
    if in_the_way > 0 {
        return Ok(());
    }
    let (before, after) = (Role::parse(&value).unwrap(), Role::parse(&after).unwrap());
    let may = |role: &Role<'_>, kind: u64, key: &str| {
        let granting = role.permissions.iter().filter(|p| p.kind == kind || p.kind == READ_WRITE);
        let mut ranges = granting.filter_map(|p| KeyRange::of(&p.key, &p.range_end));
        ranges.any(|range| range.contains(key.as_bytes()))
    };
    let under = |prefix: &str, key: &str| {
        (key == prefix && !prefix.is_empty()) || key.starts_with(&format!("{prefix}/"))
    };
    for key in KEYS {
        for kind in [READ, WRITE] {
            let (was, is) = (may(&before, kind, key), may(&after, kind, key));
            let origin = key.strip_prefix(dst).map(|rest| format!("{src}{rest}"));
            match origin.filter(|origin| under(dst, key) && !origin.is_empty()) {
                Some(origin) => prop_assert_eq!(is, may(&before, kind, &origin), "{}", key),
                None if under(src, key) || rewritten.counts.narrowed > 0 => {
                    prop_assert!(was || !is, "{} opened", key);
                }
                None if dst.is_empty() || key != dst => prop_assert_eq!(is, was, "{}", key),
                None => {}
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]
    #[test]
    fn users_may_do_the_same_and_nothing_else(
        prefixes in prop::sample::select(vec![
            ("/r", "/d"), ("/d", "/r"), ("/r", "/r/d"), ("/r/d", "/r"), ("", "/d"), ("/d", ""), ("/d", "/d1"),
        ]),
        given in prop::collection::vec((0_u64..3, 0..KEYS.len(), 0..KEYS.len() + 2), 1..5),
    ) {
        let end = |at: usize| KEYS.get(at).copied().unwrap_or(if at == KEYS.len() { "" } else { "\0" });
        let given: Vec<_> =
            given.iter().map(|&(kind, key, at)| permission(kind, KEYS[key], end(at))).collect();
        has_the_effect(prefixes.0, prefixes.1, &given)?;
    }
}
