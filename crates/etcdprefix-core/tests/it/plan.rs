//! What a dry run tells of a store.

use std::fs;

use etcdprefix_core::outcome::{Alarms, Compaction, EncryptedResource, LeaseCounts};
use etcdprefix_core::progress::Silent;
use etcdprefix_core::rewrite::encryption::Provider;
use etcdprefix_core::{ChangePrefix, Outcome, Target, change_prefix};
use etcdprefix_testkit::source::{KeyForm, Source, record_key, record_rest, record_value};

/// Key, value, lease; a tombstone without a value.
type Write<'a> = (&'a str, Option<&'a [u8]>, i64);

fn store(writes: &[Write<'_>]) -> Source {
    let record = |(at, &(key, value, lease)): (usize, &Write<'_>)| {
        let revision = at as i64 + 2;
        let rest =
            value.map_or_else(Vec::new, |value| record_rest(revision, revision, 1, value, lease));
        (
            record_key(revision, 0, value.is_none()),
            record_value(KeyForm::Canonical, key.as_bytes(), &rest),
        )
    };
    Source::with_records(writes.iter().enumerate().map(record).collect())
}

fn plan_with(source: &Source, change: impl FnOnce(&mut ChangePrefix)) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("snap.db");
    fs::write(&db, source.encode()).unwrap();
    let mut options =
        ChangePrefix { db, dest_prefix: "/c1".into(), dry_run: true, ..ChangePrefix::default() };
    change(&mut options);
    let outcome = change_prefix(&options, &Silent).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "something was written");
    outcome
}

fn plan(source: &Source) -> Outcome {
    plan_with(source, |_| {})
}

#[test]
fn records_are_told_by_resource_and_the_largest_by_key() {
    let large = vec![b'x'; 5_000];
    let outcome = plan(&store(&[
        ("/registry/pods/a/b", Some(b"1"), 0),
        ("/registry/pods/a/b", None, 0),
        ("/registry/services/specs/a/b", Some(&large), 0),
        ("/registry/example.com/crons/a/b", Some(b"3"), 0),
        ("/other/key", Some(b"4"), 0),
    ]));
    let resources = outcome.census.matched_resources;
    let found: Vec<_> = resources.top.iter().map(|r| (r.resource.as_str(), r.records)).collect();
    assert_eq!(found, [("pods", 2), ("example.com/crons", 1), ("services/specs", 1)]);
    assert!(resources.top[2].bytes > 5_000);
    assert_eq!(outcome.census.largest_records[0].key, "/registry/services/specs/a/b");
    assert!(outcome.free_bytes.is_some() && outcome.refusals.is_empty());
}

#[test]
fn encrypted_values_are_told_by_provider_and_resource() {
    let outcome = plan(&store(&[
        ("/registry/secrets/a/b", Some(b"k8s:enc:aesgcm:v1:k:x"), 0),
        ("/registry/secrets/a/c", Some(b"k8s:enc:aescbc:v1:k:x"), 0),
        ("/registry/configmaps/a/c", Some(b"k8s:enc:new:v1:k:x"), 0),
        ("/other/secret", Some(b"k8s:enc:aesgcm:v1:k:x"), 0),
    ]));
    let of = |provider, resource: &str| EncryptedResource {
        provider,
        resource: resource.into(),
        records: 1,
    };
    let expected = [
        of(Provider::Aesgcm, "secrets"),
        of(Provider::Other, "configmaps"),
        of(Provider::Aescbc, "secrets"),
    ];
    assert_eq!(outcome.census.encrypted_resources, expected);
    let [refusal] = outcome.refusals.as_slice() else { panic!("{:?}", outcome.refusals) };
    assert!(refusal.to_string().contains("aesgcm secrets (1), other configmaps (1);"), "{refusal}");
}

#[test]
fn leases_that_do_not_exist_are_counted_by_live_keys() {
    let mut source = store(&[
        ("/registry/events/a", Some(b"1"), 7),
        ("/registry/events/b", Some(b"2"), 8),
        ("/registry/events/c", Some(b"3"), 9),
        ("/registry/events/c", Some(b"4"), 7),
        ("/registry/events/d", Some(b"5"), 9),
        ("/registry/events/d", None, 0),
        ("/registry/events/e", Some(b"6"), -1),
    ]);
    for id in [1_u8, 7] {
        let key = [[0; 7].as_slice(), &[id]].concat();
        source.bucket_mut("lease").pairs.push((key, b"\x08\x07\x10\x64".to_vec()));
    }
    let outcome = plan(&source);
    assert_eq!(outcome.leases, LeaseCounts { leases: 2, keys: 4, orphaned_keys: Some(2) });
    assert!(outcome.warnings[0].starts_with("2 live keys attached"), "{:?}", outcome.warnings);
}

#[test]
fn alarms_auth_and_compaction_are_told() {
    let mut source = store(&[("/registry/a", Some(b"1"), 0)]);
    let alarms = &mut source.bucket_mut("alarm").pairs;
    alarms.extend(
        [b"\x08\x01\x10\x01", b"\x08\x02\x10\x01", b"\x08\x01\x10\x02"]
            .map(|alarm| (alarm.to_vec(), Vec::new())),
    );
    source.bucket_mut("auth").pairs.push((b"authEnabled".to_vec(), vec![1]));
    let meta = &mut source.bucket_mut("meta").pairs;
    meta.push((b"finishedCompactRev".to_vec(), record_key(3, 0, false)));
    meta.push((b"scheduledCompactRev".to_vec(), record_key(5, 0, false)));
    let outcome = plan(&source);
    assert_eq!(outcome.alarms, Alarms { nospace: 2, corrupt: 1, other: 0 });
    let both = Compaction { scheduled_revision: Some(5), finished_revision: Some(3) };
    assert!(outcome.compaction == both && both.is_pending() && outcome.auth.enabled);
    let never = plan(&store(&[("/registry/a", Some(b"1"), 0)])).compaction;
    assert!(never == Compaction::default() && !never.is_pending());
}

#[test]
fn all_reasons_are_told_at_once() {
    let source = store(&[
        ("/registry/a", Some(b"k8s:enc:kms:v2:x"), 0),
        ("/c1/a", Some(b"2"), 0),
        ("/registry/b", Some(b"3"), 0),
    ]);
    let outcome = plan_with(&source, |options| options.target_quota_bytes = Some(1000));
    let names: Vec<_> = outcome.refusals.iter().map(|refusal| refusal.name()).collect();
    assert_eq!(names, ["undecryptable", "collision", "irreversible", "over_quota"]);
    assert_eq!(outcome.collisions, 1);
    let beside = plan_with(&source, |options| {
        options.target = Target::File(options.db.with_extension("out"));
        options.allow_undecryptable = true;
    });
    assert_eq!(beside.refusals.len(), 1);
}
