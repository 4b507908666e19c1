//! Outcomes for the printers' tests.

use etcdprefix_core::outcome::{
    Alarms, AuthCounts, Census, Compaction, Component, Components, InputTrailer, Known,
    LargeRecord, LeaseCounts, PhaseTime, Resource, Resources, Verification,
};
use etcdprefix_core::progress::Phase;
use etcdprefix_core::{Outcome, Refusal, Unmatched};

/// The one of docs/cli-contract.md.
pub fn in_place() -> Outcome {
    Outcome {
        db: "snap.db".into(),
        output: Some("snap.db".into()),
        in_place: true,
        dry_run: false,
        src_prefix: "/registry".into(),
        dest_prefix: "/c123".into(),
        unmatched_mode: Unmatched::Keep,
        census: census(),
        auth_roles: 0,
        auth: AuthCounts::default(),
        alarms: Alarms::default(),
        compaction: Compaction { scheduled_revision: Some(40), finished_revision: Some(40) },
        leases: LeaseCounts { leases: 1, keys: 1, orphaned_keys: Some(0) },
        collisions: 0,
        page_size_bytes: 4096,
        bytes_in: 36_896,
        bytes_out: 28_704,
        free_bytes: Some(60_000_000_000),
        target_quota_bytes: None,
        input_trailer: InputTrailer::Verified,
        status_hash_before: "889c0f35".into(),
        status_hash_after: Some("123abcd".into()),
        sha256: Some("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".into()),
        verification: Verification::InverseHash,
        refusals: Vec::new(),
        warnings: Vec::new(),
        phases: vec![phase(Phase::Plan, 0.001), phase(Phase::Write, 0.002)],
    }
}

/// A dry run with everything that is worth a line.
pub fn dry_run() -> Outcome {
    Outcome {
        output: None,
        dry_run: true,
        status_hash_after: None,
        sha256: None,
        input_trailer: InputTrailer::Missing,
        verification: Verification::Skipped,
        target_quota_bytes: Some(20_000),
        refusals: vec![Refusal::OverQuota { bytes: 28_704, quota_bytes: 20_000 }],
        warnings: vec!["the target needs 2 GiB".into()],
        ..in_place()
    }
}

fn census() -> Census {
    Census {
        records: 1080,
        live_keys: 41,
        matched: 1075,
        unmatched: 3,
        dropped: 0,
        known: Known { compact_rev_key: 1, empty_value: 1 },
        tombstones: 11,
        noncanonical: 0,
        unmatched_components: Components {
            top: vec![Component { component: "/other".into(), records: 3 }],
            remainder_records: 0,
        },
        matched_resources: Resources {
            top: vec![Resource { resource: "pods".into(), records: 1075, bytes: 21_500 }],
            ..Resources::default()
        },
        largest_records: vec![LargeRecord {
            key: "/registry/pods/default/p1".into(),
            bytes: 1_200,
        }],
        revision: 64,
        ..Census::default()
    }
}

fn phase(phase: Phase, seconds: f64) -> PhaseTime {
    PhaseTime { phase, seconds }
}
