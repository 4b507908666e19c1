//! The parts of a prefix change, each alone, in bytes of the source per second, next to SHA-256,
//! which every byte has to pass.

use std::hint::black_box;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use etcdprefix_benches::{Discard, file, options, records, rule, snapshot};
use etcdprefix_core::ChangePrefix;
use etcdprefix_core::progress::Silent;
use etcdprefix_core::read::{Leaves, Snapshot};
use etcdprefix_core::rewrite::PrefixRule;
use etcdprefix_core::rewrite::key_bucket::{Record, judge};
use etcdprefix_core::save::emit::emit;
use etcdprefix_core::save::plan::plan;
use etcdprefix_core::save::render::Source;
use etcdprefix_core::verify::{Expect, check_structure, status, status_hash};
use sha2::{Digest, Sha256};

const THREADS: [usize; 2] = [1, 2];

fn floor(c: &mut Criterion) {
    let bytes = file();
    let mut group = c.benchmark_group("floor");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("sha256", |b| b.iter(|| Sha256::digest(black_box(&bytes))));
    group.bench_function("copy", |b| b.iter(|| black_box(bytes.as_slice()).to_vec()));
    group.finish();
}

fn walk(c: &mut Criterion) {
    let snapshot = snapshot(file());
    let mut group = c.benchmark_group("read");
    group.throughput(Throughput::Bytes(snapshot.pages_bytes()));
    group.bench_function("walk", |b| b.iter(|| leaf_elements(&snapshot)));
    group.finish();
}

fn leaf_elements(snapshot: &Snapshot) -> usize {
    let bucket = snapshot.bucket(b"key").expect("it reads").expect("it is there");
    let mut leaves = Leaves::new(snapshot, &bucket);
    let mut bytes = 0;
    while let Some(leaf) = leaves.next().expect("it reads") {
        for index in 0..leaf.count() {
            bytes += leaf.element(index).expect("it reads").value.len();
        }
    }
    bytes
}

fn splice(c: &mut Criterion) {
    let (records, rule) = (records(20_000), rule());
    let bytes: usize = records.iter().map(|(_, value)| value.len()).sum();
    let mut group = c.benchmark_group("rewrite");
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function("judge", |b| {
        b.iter(|| records.iter().filter(|(_, value)| judge(&rule, value).is_ok()).count());
    });
    let mut out = Vec::with_capacity(2 * bytes);
    group.bench_function("judge and splice", |b| {
        b.iter(|| {
            out.clear();
            records.iter().for_each(|(_, value)| put_spliced(&mut out, &rule, value));
            out.len()
        });
    });
    group.finish();
}

fn put_spliced(out: &mut Vec<u8>, rule: &PrefixRule, value: &[u8]) {
    let judged = judge(rule, value).expect("a sound record");
    let Record::Matched { splice, .. } = judged.record else {
        return out.extend_from_slice(value);
    };
    out.extend_from_slice(&value[..splice.cut.start]);
    out.extend_from_slice(&splice.head());
    out.extend_from_slice(rule.dst().as_bytes());
    out.extend_from_slice(&value[splice.cut.end..]);
}

fn save(c: &mut Criterion) {
    let (snapshot, rule) = (snapshot(file()), rule());
    let mut group = c.benchmark_group("save");
    group.throughput(Throughput::Bytes(snapshot.pages_bytes()));
    for threads in THREADS {
        let options = ChangePrefix { threads, ..options() };
        group.bench_function(BenchmarkId::new("plan", threads), |b| {
            b.iter(|| plan(&snapshot, &rule, &options, &Silent).expect("a sound file"));
        });
        let planned = plan(&snapshot, &rule, &options, &Silent).expect("a sound file");
        let source = Source { snapshot: &snapshot, rule: &rule };
        group.bench_function(BenchmarkId::new("emit", threads), |b| {
            let path = Path::new("discarded");
            b.iter(|| emit(source, &planned, &options, &Discard, path, &Silent).expect("room"));
        });
    }
    group.finish();
}

fn verify(c: &mut Criterion) {
    let snapshot = snapshot(file());
    let mut group = c.benchmark_group("verify");
    group.throughput(Throughput::Bytes(snapshot.pages_bytes()));
    group.bench_function("structure", |b| {
        b.iter(|| check_structure(&snapshot, Expect::Sound, &Silent).expect("it reads"));
    });
    group.bench_function("status hash", |b| {
        b.iter(|| status_hash(&snapshot, 2, &Silent).expect("it reads"))
    });
    for threads in THREADS {
        group.bench_function(BenchmarkId::new("status", threads), |b| {
            b.iter(|| status(&snapshot, threads, &Silent).expect("a sound file"));
        });
    }
    group.finish();
}

criterion_group! {
    name = parts;
    config = Criterion::default().sample_size(10);
    targets = floor, walk, splice, save, verify
}
criterion_main!(parts);
