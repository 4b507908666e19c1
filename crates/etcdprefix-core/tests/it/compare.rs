//! The proof: it holds for what the writer makes, and for nothing that differs by one bit.

use std::path::Path;

use etcdprefix_core::outcome::Verification;
use etcdprefix_core::progress::Silent;
use etcdprefix_core::read::{ReadMode, Snapshot};
use etcdprefix_core::rewrite::PrefixRule;
use etcdprefix_core::verify::{Proof, prove};
use etcdprefix_core::{ChangePrefix, Error, Result, Target, Unmatched, change_prefix};
use sha2::{Digest, Sha256};

use crate::status::fixture;

const TRAILER: usize = 32;

/// What the writer makes of a fixture, unproved.
fn rewritten(name: &str, dst: &str, unmatched: Unmatched) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.db");
    let options = ChangePrefix {
        db: fixture(name),
        target: Target::File(output.clone()),
        dest_prefix: dst.into(),
        unmatched,
        verify: false,
        allow_undecryptable: true,
        ..ChangePrefix::default()
    };
    change_prefix(&options, &Silent).unwrap_or_else(|error| panic!("{name} {dst}: {error}"));
    std::fs::read(output).unwrap()
}

fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.len() - TRAILER;
    let digest = Sha256::digest(&bytes[..end]);
    bytes[end..].copy_from_slice(&digest);
    bytes
}

fn proof(source: &Snapshot, output: Vec<u8>, rule: &PrefixRule) -> Result<Proof> {
    let output = Snapshot::from_storage(Box::new(output), Path::new("out.db"))?;
    prove(source, &output, rule, false, 2, &Silent)
}

fn rule(dst: &str, unmatched: Unmatched) -> PrefixRule {
    PrefixRule::new("/registry", dst, unmatched).unwrap()
}

fn source(name: &str) -> Snapshot {
    Snapshot::open(&fixture(name), ReadMode::Map).unwrap()
}

#[track_caller]
fn refused(result: Result<Proof>, needle: &str) {
    match result {
        Err(Error::Unproven { why, .. }) => assert!(why.contains(needle), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_the_writer_makes_is_proved() {
    for name in ["s-3.3.27", "s-3.5.1", "s-3.7.1", "k8s-3.5.1", "k8s120-3.4.23"] {
        let source = source(name);
        for (dst, unmatched, how) in [
            ("/c1", Unmatched::Keep, Verification::InverseHash),
            ("/registry/deeper", Unmatched::Keep, Verification::InverseHash),
            ("/c1", Unmatched::Drop, Verification::Comparison),
        ] {
            let output = rewritten(name, dst, unmatched);
            let proof = proof(&source, output, &rule(dst, unmatched)).unwrap();
            assert_eq!(proof.verification, how, "{name} {dst}");
        }
    }
}

/// Sealed again, so the trailer is right and only the content speaks.
#[test]
fn no_bit_of_the_output_can_change_unnoticed() {
    let source = source("s-3.5.1");
    let good = rewritten("s-3.5.1", "/c1", Unmatched::Keep);
    let rule = rule("/c1", Unmatched::Keep);
    proof(&source, good.clone(), &rule).unwrap();
    for at in 0..good.len() - TRAILER {
        // Pages are mostly slack; a sample of it is enough.
        if good[at] == 0 && at % 13 != 0 {
            continue;
        }
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        let result = proof(&source, sealed(bytes), &rule);
        assert!(result.is_err(), "byte {at} of page {}", at / 4096);
    }
}

#[test]
fn a_wrong_trailer_is_refused() {
    let rule = rule("/c1", Unmatched::Keep);
    let mut bytes = rewritten("s-3.5.1", "/c1", Unmatched::Keep);
    *bytes.last_mut().unwrap() ^= 1;
    refused(proof(&source("s-3.5.1"), bytes, &rule), "trailer");
}

#[test]
fn another_rule_or_another_source_is_refused() {
    let source = source("s-3.5.1");
    let keep = rewritten("s-3.5.1", "/c1", Unmatched::Keep);
    let drop = rewritten("s-3.5.1", "/c1", Unmatched::Drop);
    let other_key = "another key than the rule gives";
    refused(proof(&source, keep.clone(), &rule("/c2", Unmatched::Keep)), other_key);
    refused(proof(&source, drop, &rule("/c1", Unmatched::Keep)), "bucket key");
    refused(proof(&source, keep.clone(), &rule("/c1", Unmatched::Drop)), "");
    let other = Snapshot::open(&fixture("s-3.5.16"), ReadMode::Map).unwrap();
    refused(proof(&other, keep, &rule("/c1", Unmatched::Keep)), "");
    // The source itself is no output of this crate.
    let bytes = std::fs::read(fixture("s-3.5.1")).unwrap();
    refused(proof(&source, bytes, &rule("/c1", Unmatched::Keep)), "");
}
