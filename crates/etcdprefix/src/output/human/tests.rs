use etcdprefix_core::rewrite::roles::RoleCounts;

use super::*;
use crate::output::sample;

#[test]
fn a_change_in_place_is_understood_at_a_glance() {
    let expected = "\
snap.db: /registry replaced by /c123

records      1,080: 1,075 rewritten; 3 unmatched, kept; 1 compact_rev_key, kept; \
1 without value, kept
               /other: 3 records
live keys    41, at revision 64 with 11 tombstones
size         37 kB -> 29 kB (36,896 -> 28,704 bytes), page size 4096
input        SHA-256 trailer verified
status hash  889c0f35 -> 123abcd
SHA-256      9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
proof        read back and compared record by record; the change undone gives the old status hash
time         0.003 s: planning 0.001, writing 0.002

next: all members must restore this same file, then start every kube-apiserver with the prefix
  etcdutl snapshot restore snap.db --data-dir NEW_FOLDER    (before etcd 3.5: etcdctl)
  kube-apiserver --etcd-prefix=/c123
";
    assert_eq!(summary(&sample::in_place(), None), expected);
}

#[test]
fn a_dry_run_says_that_nothing_was_written() {
    let expected = "\
Dry run of snap.db: /registry replaced by /c123; nothing was written

records      1,080: 1,075 to rewrite; 3 unmatched, kept; 1 compact_rev_key, kept; \
1 without value, kept
               /other: 3 records
live keys    41, at revision 64 with 11 tombstones
size         37 kB -> 29 kB (36,896 -> 28,704 bytes), page size 4096
input        no SHA-256 trailer (accepted)
status hash  889c0f35
time         0.003 s: planning 0.001, writing 0.002
resources    pods: 1,075 records, 22 kB
largest      1.2 kB /registry/pods/default/p1
leases       1 with 1 live key
room         shrinks by 8.2 kB to 29 kB; 60 GB free; quota 20 kB
verdict      the change would be REFUSED

would be refused
  over_quota: the output has 28704 bytes, over the target's quota of 20000

warnings
  the target needs 2 GiB
";
    assert_eq!(summary(&sample::dry_run(), None), expected);
}

#[test]
fn another_output_leaves_the_source_alone() {
    let mut outcome = sample::in_place();
    outcome.in_place = false;
    outcome.output = Some("new file.db".into());
    outcome.dest_prefix = String::new();
    let text = summary(&outcome, None);
    assert!(text.starts_with("new file.db: /registry stripped; snap.db is as it was\n"), "{text}");
    assert!(text.contains("restore 'new file.db' --data-dir"), "{text}");
    assert!(text.contains("--etcd-prefix=/\n"), "{text}");
}

#[test]
fn overridden_dangers_stay_visible() {
    let mut outcome = sample::in_place();
    outcome.input_trailer = InputTrailer::Mismatch;
    outcome.verification = Verification::Skipped;
    outcome.auth_roles = 2;
    outcome.auth.roles = RoleCounts { roles: 2, straddling: 1, ..RoleCounts::default() };
    outcome.alarms.nospace = 1;
    outcome.compaction.scheduled_revision = Some(70);
    outcome.census.encrypted.kms = 5;
    outcome.census.noncanonical = 1;
    let text = summary(&outcome, None);
    for part in [
        "SHA-256 trailer WRONG (accepted)",
        "NONE (--no-verify)",
        "auth roles   auth off; 0 changed of 2; 1 permission without equivalent, as before",
        "alarms       1 NOSPACE, which a restore keeps",
        "compaction   under way to revision 70; etcd goes on with it",
        "encrypted    aesgcm 0, kms 5, other 0: not decryptable",
        "encoding     1 record not encoded as etcd does",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn long_lists_are_cut_with_an_exact_total() {
    let mut outcome = sample::in_place();
    let components = &mut outcome.census.unmatched_components;
    let first = components.top[0].clone();
    components.top = vec![first; 12];
    components.remainder_records = 1000;
    let text = summary(&outcome, None);
    assert_eq!(text.matches("/other").count(), COMPONENTS_SHOWN);
    assert!(text.contains("  others: 1,006 records"), "{text}");
}
