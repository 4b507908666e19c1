//! What the benches share: a snapshot like a Kubernetes cluster's, always the same, made without
//! etcd.

use std::path::Path;

use etcdprefix_core::read::Snapshot;
use etcdprefix_core::rewrite::PrefixRule;
use etcdprefix_core::save::sink::Sink;
use etcdprefix_core::{ChangePrefix, Unmatched};
use etcdprefix_testkit::random::Random;
use etcdprefix_testkit::source::{KeyForm, Source, record_key, record_rest, record_value};

const SEED: u64 = 20_170_706;
const VALUE_BYTES_MIN: u64 = 200;
const VALUE_BYTES_MAX: u64 = 2_400;
/// Records of one key, on average.
const HISTORY: u64 = 4;

/// A record as bucket `key` holds it: its key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// So many records with incompressible values of about 1.3 KB.
pub fn records(count: u64) -> Vec<Pair> {
    let mut random = Random::new(SEED);
    (0..count).map(|number| record(&mut random, count, number)).collect()
}

fn record(random: &mut Random, count: u64, number: u64) -> Pair {
    let pod = random.below(count.div_ceil(HISTORY));
    let key = format!("/registry/pods/ns-{}/pod-{pod}", pod % 50);
    let main = number as i64 + 2;
    let tombstone = random.below(20) == 0;
    if tombstone {
        return (record_key(main, 0, true), record_value(KeyForm::Canonical, key.as_bytes(), &[]));
    }
    let bytes = VALUE_BYTES_MIN + random.below(VALUE_BYTES_MAX - VALUE_BYTES_MIN);
    let mut value = vec![0; bytes as usize];
    random.fill(&mut value);
    let rest = record_rest(main, main, 1, &value, 0);
    (record_key(main, 0, false), record_value(KeyForm::Canonical, key.as_bytes(), &rest))
}

/// A file of about 16 MiB in pages of 4 KiB, as full as etcd leaves them.
pub fn file() -> Vec<u8> {
    const RECORDS: u64 = 7_700;
    let source =
        Source { leaf_elements: 2, fan_out: 100, ..Source::with_records(records(RECORDS)) };
    source.encode()
}

/// A snapshot over the bytes of a file.
///
/// # Panics
/// If they are no snapshot.
pub fn snapshot(bytes: Vec<u8>) -> Snapshot {
    Snapshot::from_storage(Box::new(bytes), Path::new("bench.db")).expect("a sound file")
}

/// The change that everything here makes.
pub fn options() -> ChangePrefix {
    ChangePrefix {
        dest_prefix: "/c0123456789abcdef0123456789abcdef".into(),
        ..ChangePrefix::default()
    }
}

/// The rule of [`options`].
///
/// # Panics
/// Never: the prefixes differ.
pub fn rule() -> PrefixRule {
    let options = options();
    PrefixRule::new(&options.src_prefix, &options.dest_prefix, Unmatched::Keep)
        .expect("two prefixes")
}

/// Takes pages and forgets them.
pub struct Discard;

impl Sink for Discard {
    fn write_at(&self, _: u64, _: &[u8]) -> std::io::Result<()> {
        Ok(())
    }
}
