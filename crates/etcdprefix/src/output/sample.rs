//! Outcomes for the printers' tests.

use etcdprefix_core::outcome::{
    Census, Component, Components, InputTrailer, Known, PhaseTime, Verification,
};
use etcdprefix_core::progress::Phase;
use etcdprefix_core::rewrite::roles::RoleCounts;
use etcdprefix_core::{Outcome, Unmatched};

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
        auth: RoleCounts::default(),
        page_size_bytes: 4096,
        bytes_in: 36_896,
        bytes_out: 28_704,
        input_trailer: InputTrailer::Verified,
        status_hash_before: "889c0f35".into(),
        status_hash_after: Some("123abcd".into()),
        sha256: Some("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".into()),
        verification: Verification::InverseHash,
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
        revision: 64,
        ..Census::default()
    }
}

fn phase(phase: Phase, seconds: f64) -> PhaseTime {
    PhaseTime { phase, seconds }
}
