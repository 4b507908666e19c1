//! One change at a time: refusals, trailers, targets, faults of other processes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use etcdprefix_core::outcome::{InputTrailer, Verification};
use etcdprefix_core::progress::{Phase, Progress, Silent};
use etcdprefix_core::read::ReadMode;
use etcdprefix_core::{
    ChangePrefix, Error, Outcome, Refusal, Result, Target, Unmatched, change_prefix,
};
use etcdprefix_testkit::bolt::Bolt;
use etcdprefix_testkit::source::{KeyForm, Source, record_key, record_rest, record_value};
use tempfile::TempDir;

struct Case {
    folder: TempDir,
    before: Vec<u8>,
    options: ChangePrefix,
}

impl Case {
    fn of(source: &Source) -> Self {
        Self::of_bytes(source.encode())
    }

    fn of_keys(keys: &[&str]) -> Self {
        Self::of(&Source::with_records(puts(keys)))
    }

    fn of_bytes(before: Vec<u8>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let db = folder.path().join("snap.db");
        fs::write(&db, &before).unwrap();
        let options = ChangePrefix { db, dest_prefix: "/c1".into(), ..ChangePrefix::default() };
        Self { folder, before, options }
    }

    fn with(mut self, change: impl FnOnce(&mut ChangePrefix)) -> Self {
        change(&mut self.options);
        self
    }

    fn beside(self) -> Self {
        let out = self.out();
        self.with(|options| options.target = Target::File(out))
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out.db")
    }

    fn run(&self) -> Result<Outcome> {
        change_prefix(&self.options, &Silent)
    }

    /// Runs what must be refused and shows that the folder is as it was.
    fn refused(&self) -> Refusal {
        match self.failed() {
            Error::Refused { refusal, .. } => refusal,
            error => panic!("{error}"),
        }
    }

    fn failed(&self) -> Error {
        let error = self.run().expect_err("must fail");
        self.untouched();
        error
    }

    fn untouched(&self) {
        assert!(fs::read(&self.options.db).unwrap() == self.before, "the source changed");
        assert_eq!(fs::read_dir(self.folder.path()).unwrap().count(), 1, "something was left");
    }

    fn keys(&self, path: &Path) -> Vec<String> {
        let bolt = Bolt::open(path).unwrap();
        let records = bolt.bucket(b"key").unwrap();
        records.iter().map(|(_, value)| key_of(value)).collect()
    }
}

fn puts(keys: &[&str]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let record = |(at, key): (usize, &&str)| {
        let revision = at as i64 + 2;
        let rest = record_rest(revision, revision, 1, b"value", 0);
        let value = record_value(KeyForm::Canonical, key.as_bytes(), &rest);
        (record_key(revision, 0, false), value)
    };
    keys.iter().enumerate().map(record).collect()
}

/// The key of a canonical record with a short key.
fn key_of(value: &[u8]) -> String {
    let length = value.get(1).map_or(0, |&length| length as usize);
    String::from_utf8_lossy(value.get(2..2 + length).unwrap_or_default()).into_owned()
}

#[test]
fn the_source_is_replaced_in_place_with_proof() {
    let case = Case::of_keys(&["/registry/a", "/other", "compact_rev_key"]);
    let outcome = case.run().unwrap();
    assert_eq!(case.keys(&case.options.db), ["/c1/a", "/other", "compact_rev_key"]);
    assert_eq!(outcome.verification, Verification::InverseHash);
    assert_eq!(outcome.input_trailer, InputTrailer::Verified);
    assert_eq!(fs::read_dir(case.folder.path()).unwrap().count(), 1);
}

#[test]
fn empty_prefixes_prepend_and_strip() {
    let prepend = Case::of_keys(&["/a", "b"]).with(|o| o.src_prefix = "/".into());
    prepend.run().unwrap();
    assert_eq!(prepend.keys(&prepend.options.db), ["/c1/a", "b"]);
    let strip = Case::of_keys(&["/registry/a"]).with(|o| o.dest_prefix = String::new());
    strip.run().unwrap();
    assert_eq!(strip.keys(&strip.options.db), ["/a"]);
    let empty = Case::of_keys(&["/registry"]).with(|o| o.dest_prefix = String::new());
    assert!(matches!(empty.refused(), Refusal::EmptyKey { .. }));
}

#[test]
fn a_wrong_prefix_names_what_there_is() {
    let case = Case::of_keys(&["/kubernetes.io/a", "/kubernetes.io/b", "/openshift.io/c"]);
    let Refusal::NothingMatches { components, .. } = case.refused() else { panic!() };
    assert_eq!(components, "/kubernetes.io (2 records), /openshift.io (1 record)");
    let allowed = Case::of_keys(&["/kubernetes.io/a"]).with(|o| o.allow_empty = true);
    assert_eq!(allowed.run().unwrap().census.matched, 0);
}

#[test]
fn a_second_run_is_told_apart_from_a_wrong_prefix() {
    let case = Case::of_keys(&["/c1/a", "/c1/b"]);
    assert!(matches!(case.refused(), Refusal::AlreadyRewritten { records: 2, .. }));
}

#[test]
fn a_collision_names_both_keys() {
    let case = Case::of_keys(&["/registry/a", "/c1/a", "/registry/b"]).beside();
    let Refusal::Collision { matched, unmatched, keys } = case.refused() else { panic!() };
    assert_eq!((matched.as_str(), unmatched.as_str(), keys), ("/registry/a", "/c1/a", 1));
    let nested = Case::of_keys(&["/registry/a", "/registry/c1/a"]);
    let nested = nested.with(|o| o.dest_prefix = "/registry/c1".into());
    nested.run().unwrap();
    assert_eq!(nested.keys(&nested.options.db), ["/registry/c1/a", "/registry/c1/c1/a"]);
}

#[test]
fn what_cannot_be_undone_is_not_done_in_place() {
    let foreign = Case::of_keys(&["/registry/a", "/c1/own"]);
    assert!(matches!(foreign.refused(), Refusal::Irreversible { .. }));
    let forced = Case::of_keys(&["/registry/a", "/c1/own"]);
    let forced = forced.with(|o| o.target = Target::InPlaceForced);
    assert_eq!(forced.run().unwrap().verification, Verification::Comparison);
    let dropping = Case::of_keys(&["/registry/a", "/other"]);
    let dropping = dropping.with(|o| o.unmatched = Unmatched::Drop);
    assert!(matches!(dropping.refused(), Refusal::Irreversible { .. }));
}

#[test]
fn dropping_keeps_the_revision() {
    let case = Case::of_keys(&["/registry/a", "compact_rev_key", "/other"]).beside();
    let case = case.with(|o| o.unmatched = Unmatched::Drop);
    let outcome = case.run().unwrap();
    assert_eq!(case.keys(&case.out()), ["/c1/a", "compact_rev_key", ""]);
    assert_eq!((outcome.census.dropped, outcome.census.revision), (1, 4));
    let bolt = Bolt::open(&case.out()).unwrap();
    let last = bolt.bucket(b"key").unwrap().last().map(|(key, _)| key.to_vec());
    assert_eq!(last, Some(record_key(4, 0, false)));
}

#[test]
fn unmatched_fail_names_the_components() {
    let case = Case::of_keys(&["/registry/a", "/other/x", "compact_rev_key"]);
    let case = case.with(|o| o.unmatched = Unmatched::Fail);
    let Refusal::Unmatched { records, components, .. } = case.refused() else { panic!() };
    assert_eq!((records, components.as_str()), (1, "/other (1 record)"));
}

#[test]
fn values_bound_to_their_key_are_refused() {
    let sealed = |key: &str| {
        let rest = record_rest(9, 9, 1, b"k8s:enc:aesgcm:v1:k1:xxxx", 0);
        (record_key(9, 0, false), record_value(KeyForm::Canonical, key.as_bytes(), &rest))
    };
    let with = |key: &str| {
        let records = [puts(&["/registry/a"]), vec![sealed(key)]].concat();
        Case::of(&Source::with_records(records))
    };
    let refusal = with("/registry/secrets/s").refused();
    assert_eq!(
        refusal,
        Refusal::Undecryptable { records: 1, resources: "aesgcm secrets (1)".into() }
    );
    with("/registry/s").with(|o| o.allow_undecryptable = true).run().unwrap();
    with("/other/s").run().unwrap();
}

/// A store of these keys with one role, whose permissions are key and range end.
fn with_role(keys: &[&str], grants: &[(&str, &str)]) -> Case {
    let mut source = Source::with_records(puts(keys));
    source.bucket_mut("authRoles").pairs.push((b"r".to_vec(), role(grants)));
    Case::of(&source)
}

fn role(grants: &[(&str, &str)]) -> Vec<u8> {
    let field = |tag: u8, bytes: &[u8]| [&[tag, bytes.len() as u8], bytes].concat();
    let grant = |&(key, end): &(&str, &str)| {
        let end = if end.is_empty() { Vec::new() } else { field(0x1A, end.as_bytes()) };
        field(0x12, &[b"\x08\x02".to_vec(), field(0x12, key.as_bytes()), end].concat())
    };
    let grants: Vec<_> = grants.iter().map(grant).collect();
    [field(0x0A, b"r"), grants.concat()].concat()
}

#[test]
fn roles_move_with_their_keys() {
    let case = with_role(&["/registry/a"], &[("/registry/", "/registry0"), ("\0", "\0")]);
    let outcome = case.run().unwrap();
    let bolt = Bolt::open(&case.options.db).unwrap();
    let moved = role(&[("\0", "\0"), ("/c1/", "/c10")]);
    assert_eq!(bolt.bucket(b"authRoles").unwrap(), [(&b"r"[..], &*moved)]);
    assert_eq!(
        (outcome.auth.roles.moved, outcome.auth.roles.permissions, outcome.auth_roles),
        (1, 2, 1)
    );
    assert_eq!(outcome.verification, Verification::Comparison);
    let untouched = with_role(&["/registry/a"], &[("/x", "")]).run().unwrap();
    assert_eq!(untouched.verification, Verification::InverseHash);
    let narrowed = || with_role(&["/registry/a"], &[("/registry", "/registrz")]);
    let outcome = narrowed().beside().run().unwrap();
    assert_eq!(outcome.warnings, ["1 permission narrowed to the keys under /c1"]);
    assert!(matches!(narrowed().refused(), Refusal::Irreversible { .. }));
}

#[test]
fn roles_that_cannot_move_are_refused() {
    let straddles = || with_role(&["/registry/a"], &[("/registry/", "\0")]);
    assert!(matches!(straddles().refused(), Refusal::RolesStraddle { permissions: 1, .. }));
    let allowed = straddles().with(|o| o.allow_unmapped_roles = true).run().unwrap();
    assert_eq!(allowed.warnings, ["1 permission kept without an equivalent"]);
    let escalates = with_role(&["/registry/a"], &[("/c1/", "/c10")]);
    let escalates = escalates.with(|o| o.allow_unmapped_roles = true);
    assert!(matches!(escalates.refused(), Refusal::RolesEscalate { permissions: 1, .. }));
    // It holds one key of the source and would hold what becomes of another.
    let both = with_role(&["/registry/a", "/registry/z"], &[("/b", "/registry/b")]);
    let both = both.with(|o| o.allow_unmapped_roles = true);
    assert!(matches!(both.refused(), Refusal::RolesEscalate { permissions: 1, .. }));
    let mut damaged = Source::with_records(puts(&["/registry/a"]));
    damaged.bucket_mut("authRoles").pairs.push((b"r".to_vec(), b"\x12\x05".to_vec()));
    assert!(Case::of(&damaged).failed().to_string().contains("bucket authRoles"));
}

/// A role that moves must not open what lies under the destination already.
#[test]
fn keys_under_the_destination_stay_closed() {
    let keys = ["/registry/pods/a", "/c1/pods/b", "/c1/secrets/c"];
    let to = |case: Case| case.beside();
    let opened = |end| to(with_role(&keys, &[("/registry/pods/", end)]));
    assert!(matches!(
        opened("/registry/pods0").refused(),
        Refusal::RolesOpen { key, .. } if key == "/c1/pods/b"
    ));
    opened("/registry/pods/b").run().unwrap();
    let drops = opened("/registry/pods0").with(|o| o.unmatched = Unmatched::Drop);
    drops.run().unwrap();
    let reached = &[("/c1/", "/c10"), ("/registry/", "/registry0")];
    to(with_role(&keys, reached)).run().unwrap();
}

#[test]
fn trailers_are_judged() {
    let mut source = Source::with_records(puts(&["/registry/a"]));
    source.trailer = false;
    assert!(matches!(Case::of(&source).failed(), Error::TrailerMissing { .. }));
    let accepted = Case::of(&source).with(|o| o.skip_hash_check = true).run().unwrap();
    assert_eq!(accepted.input_trailer, InputTrailer::Missing);
    assert_eq!(accepted.bytes_out % 512, 32, "the output has a trailer all the same");

    source.trailer = true;
    let mut bytes = source.encode();
    *bytes.last_mut().unwrap() ^= 1;
    let case = Case::of_bytes(bytes.clone());
    assert!(matches!(case.failed(), Error::TrailerMismatch { .. }));
    let case = case.with(|o| o.skip_hash_check = true);
    assert!(matches!(case.failed(), Error::TrailerMismatch { .. }));
    let case = case.with(|o| o.accept_corrupt_trailer = true);
    assert_eq!(case.run().unwrap().input_trailer, InputTrailer::Mismatch);
}

#[test]
fn a_locked_database_is_refused() {
    let case = Case::of_keys(&["/registry/a"]);
    let etcd = File::options().write(true).open(&case.options.db).unwrap();
    etcd.lock().unwrap();
    assert!(matches!(case.failed(), Error::Busy { .. }));
    etcd.unlock().unwrap();
    case.run().unwrap();
}

/// Does something when a phase begins.
struct At<F>(Phase, F);

impl<F: Fn() + Sync> Progress for At<F> {
    fn begin(&self, phase: Phase, _: u64) {
        if phase == self.0 {
            (self.1)();
        }
    }
}

#[test]
fn a_database_that_changes_meanwhile_is_refused() {
    let case = Case::of_keys(&["/registry/a"]);
    let touch = At(Phase::Publish, || {
        let file = File::options().write(true).open(&case.options.db).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    });
    let error = change_prefix(&case.options, &touch).unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error}");
    case.untouched();
}

struct Interrupted;

impl Progress for Interrupted {
    fn interrupted(&self) -> bool {
        true
    }
}

/// Half of a file that is still being copied looks damaged, but is not.
#[test]
fn damage_in_a_file_that_changes_is_no_damage() {
    let case = Case::of_keys(&["/registry/a"]);
    let overwrite = At(Phase::Plan, || {
        let file = File::options().write(true).open(&case.options.db).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &[0xEE; 4096], 3 * 4096).unwrap();
    });
    let error = change_prefix(&case.options, &overwrite).unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error}");
}

/// A chunk ends by what it writes, so one that drops nearly everything spans the whole store.
#[test]
fn a_small_tenant_is_cropped_out_of_a_large_store() {
    let mut keys = vec!["/other/x"; 30_000];
    keys[15_000] = "/registry/a";
    let case = Case::of(&Source::with_records(puts(&keys))).beside();
    let case = case.with(|o| {
        o.unmatched = Unmatched::Drop;
        o.read_mode = ReadMode::Positioned;
    });
    assert_eq!(case.run().unwrap().census.dropped, 29_999);
    assert_eq!(case.keys(&case.out()), ["/c1/a", ""]);
}

/// Elements that share bytes: a small leaf that claims the same large value again and again.
#[test]
fn overlapping_elements_are_damage_before_they_cost_anything() {
    let mut source = Source { trailer: false, ..Source::with_records(puts(&["/registry/a"])) };
    let lease = source.bucket_mut("lease");
    lease.inline = false;
    lease.pairs = (0..8u8).map(|n| (vec![n; 8], vec![n; 8])).collect();
    let mut bytes = source.encode();
    let mut pages = (2..bytes.len() / 4096).map(|page| page * 4096);
    let leaf = pages.find(|at| bytes[at + 8] == 2 && bytes[at + 10] == 8 && bytes[at + 16] == 0);
    let leaf = leaf.unwrap();
    for element in 0..8 {
        let vsize = leaf + 16 + element * 16 + 12;
        bytes[vsize..vsize + 4].copy_from_slice(&1_000u32.to_le_bytes());
    }
    let case = Case::of_bytes(bytes).with(|o| o.skip_hash_check = true);
    let error = case.failed();
    assert!(error.to_string().contains("overlap"), "{error}");
}

#[test]
fn an_interrupt_leaves_everything_as_it_was() {
    let case = Case::of_keys(&["/registry/a"]);
    assert!(matches!(change_prefix(&case.options, &Interrupted), Err(Error::Interrupted)));
    case.untouched();
}

#[test]
fn a_dry_run_writes_nothing() {
    let case = Case::of_keys(&["/registry/a"]).with(|o| o.dry_run = true);
    let outcome = case.run().unwrap();
    case.untouched();
    assert_eq!((outcome.output, outcome.sha256), (None, None));
    let real = Case::of_keys(&["/registry/a"]).run().unwrap();
    assert_eq!(outcome.bytes_out, real.bytes_out);
    assert_eq!(outcome.status_hash_before, real.status_hash_before);
}

#[test]
fn an_existing_output_is_kept() {
    let case = Case::of_keys(&["/registry/a"]).beside();
    fs::write(case.out(), "mine").unwrap();
    assert!(matches!(case.run(), Err(Error::OutputExists { .. })));
    assert_eq!(fs::read(case.out()).unwrap(), b"mine");
}

#[test]
fn a_quota_is_kept() {
    let case = Case::of_keys(&["/registry/a"]).with(|o| o.target_quota_bytes = Some(4096));
    assert!(matches!(case.refused(), Refusal::OverQuota { quota_bytes: 4096, .. }));
}

#[test]
fn a_symbolic_link_is_followed() {
    let case = Case::of_keys(&["/registry/a"]);
    let link = case.folder.path().join("link.db");
    std::os::unix::fs::symlink(&case.options.db, &link).unwrap();
    change_prefix(&ChangePrefix { db: link.clone(), ..case.options.clone() }, &Silent).unwrap();
    assert!(link.is_symlink());
    assert_eq!(case.keys(&case.options.db), ["/c1/a"]);
}

/// Larger than any buffer, with small neighbours: rendered in pieces, in order.
#[test]
fn a_huge_value_goes_through() {
    let mut records = puts(&["/registry/a", "/registry/b", "/registry/c"]);
    let rest = record_rest(3, 3, 1, &vec![7; 40 << 20], 0);
    records[1].1 = record_value(KeyForm::Canonical, b"/registry/b", &rest);
    let case = Case::of(&Source::with_records(records)).beside();
    let outcome = case.run().unwrap();
    assert_eq!(outcome.verification, Verification::InverseHash);
    assert_eq!(case.keys(&case.out()), ["/c1/a", "/c1/b", "/c1/c"]);
}

#[test]
fn positioned_reads_give_the_same_file() {
    let source = Source::with_records(puts(&["/registry/a"; 2_000]));
    let (mapped, positioned) = (Case::of(&source).beside(), Case::of(&source).beside());
    let positioned = positioned.with(|o| o.read_mode = ReadMode::Positioned);
    mapped.run().unwrap();
    positioned.run().unwrap();
    assert!(fs::read(mapped.out()).unwrap() == fs::read(positioned.out()).unwrap());
}
