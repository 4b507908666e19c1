//! Random stores: what the rule says of a list of records, against what comes out of a file.

use std::path::Path;

use etcdprefix_core::options::Tuning;
use etcdprefix_core::progress::Silent;
use etcdprefix_core::{ChangePrefix, Outcome, Target, Unmatched, change_prefix};
use etcdprefix_testkit::bolt::Bolt;
use etcdprefix_testkit::source::{
    Freelist, KEY_FORMS, KeyForm, Source, SourceBucket, record_key, record_rest, record_value,
};
use proptest::prelude::*;

const SRC: &[u8] = b"/registry";
const DST: &[u8] = b"/c0123456789abcdef0123456789abcdef";

/// Keys on both sides of every border of the rule; none is the image of another.
const KEYS: [&[u8]; 12] = [
    b"/registry",
    b"/registry/",
    b"/registry/pods/default/a",
    b"/registry/secrets/kube-system/b",
    b"/registry/\xff\xfe\x00/c",
    b"/registryx",
    b"/registry-gardener/a",
    b"/other/key",
    b"/c0123456789abcdef0123456789abcdef/own",
    b"compact_rev_key",
    b"plain",
    b"/",
];

#[derive(Clone, Debug)]
struct Step {
    key: usize,
    form: KeyForm,
    value_bytes: usize,
    tombstone: bool,
    empty: bool,
    same_transaction: bool,
}

#[derive(Clone, Debug)]
struct Shape {
    page_size: usize,
    leaf_elements: usize,
    fan_out: usize,
    freelist: Freelist,
    free_pages: usize,
    tuning: Tuning,
}

struct Record {
    key: Vec<u8>,
    step: Step,
    main: i64,
}

fn step() -> impl Strategy<Value = Step> {
    let form =
        prop_oneof![8 => Just(KeyForm::Canonical), 1 => prop::sample::select(&KEY_FORMS[..])];
    let size = prop_oneof![6 => 0..200usize, 2 => 0..5_000usize, 1 => 0..70_000usize];
    (0..KEYS.len(), form, size, 0..100u8).prop_map(|(key, form, value_bytes, dice)| Step {
        key,
        form,
        value_bytes,
        tombstone: dice < 20,
        empty: dice >= 97,
        same_transaction: dice % 10 == 3,
    })
}

fn shape() -> impl Strategy<Value = Shape> {
    let page_size = prop::sample::select(&[1024usize, 4096, 65_536][..]);
    let freelist =
        prop::sample::select(&[Freelist::Absent, Freelist::Page, Freelist::LongPage][..]);
    let tuning = (1..20_000u64, 1..60_000u64, 0..200_000u64);
    (page_size, 1..20usize, 2..6usize, freelist, 0..5usize, tuning).prop_map(
        |(page_size, leaf_elements, fan_out, freelist, free_pages, tuning)| {
            let (unit_bytes, chunk_bytes, buffer_bytes) = tuning;
            let tuning = Tuning { unit_bytes, chunk_bytes, buffer_bytes };
            Shape { page_size, leaf_elements, fan_out, freelist, free_pages, tuning }
        },
    )
}

fn records(steps: &[Step]) -> Vec<Record> {
    let (mut main, mut sub) = (1, 0);
    let records = steps.iter().map(|step| {
        (main, sub) = if step.same_transaction { (main, sub + 1) } else { (main + 1, 0) };
        let step = Step { tombstone: step.tombstone && !step.empty, ..step.clone() };
        Record { key: record_key(main, sub, step.tombstone), step, main }
    });
    records.collect()
}

impl Record {
    fn rest(&self) -> Vec<u8> {
        if self.step.tombstone {
            return Vec::new();
        }
        let value: Vec<u8> = (0..self.step.value_bytes).map(|at| at as u8).collect();
        record_rest(self.main, self.main, 1, &value, self.main % 3)
    }

    fn value(&self) -> Vec<u8> {
        let key = KEYS[self.step.key];
        if self.step.empty { Vec::new() } else { record_value(self.step.form, key, &self.rest()) }
    }

    fn is_matched(&self) -> bool {
        let rest = KEYS[self.step.key].strip_prefix(SRC);
        let inside = rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'/');
        inside && !self.step.empty && self.step.form != KeyForm::Absent
    }

    fn is_known(&self) -> bool {
        let compact =
            KEYS[self.step.key] == b"compact_rev_key" && self.step.form != KeyForm::Absent;
        self.value().is_empty() || compact
    }

    fn is_dropped(&self, unmatched: Unmatched) -> bool {
        unmatched == Unmatched::Drop && !self.is_matched() && !self.is_known()
    }

    /// The value as the rule wants it; a key field that is written anew is written shortest.
    fn rewritten(&self) -> Vec<u8> {
        if !self.is_matched() {
            return self.value();
        }
        let image = [DST, &KEYS[self.step.key][SRC.len()..]].concat();
        let form = match self.step.form {
            KeyForm::LongLength | KeyForm::LongTag => KeyForm::Canonical,
            form => form,
        };
        record_value(form, &image, &self.rest())
    }
}

fn expected(records: &[Record], unmatched: Unmatched) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut kept = records.iter().filter(|record| !record.is_dropped(unmatched));
    let mut expected: Vec<_> = kept.clone().map(|r| (r.key.clone(), r.rewritten())).collect();
    let highest = records.last().map(|record| record.main);
    if highest != kept.next_back().map(|record| record.main) {
        expected.extend(highest.map(|main| (record_key(main, 0, false), Vec::new())));
    }
    expected
}

fn live_keys(records: &[Record]) -> u64 {
    let mut last = std::collections::HashMap::new();
    for record in records {
        let absent = record.step.empty || record.step.form == KeyForm::Absent;
        let key: &[u8] = if absent { b"" } else { KEYS[record.step.key] };
        last.insert(key, record.step.tombstone);
    }
    last.values().filter(|tombstone| !**tombstone).count() as u64
}

fn other_buckets() -> Vec<SourceBucket> {
    let pairs = |count: u32| -> Vec<_> {
        (0..count).map(|n| (format!("{n:05}").into_bytes(), vec![n as u8; 40])).collect()
    };
    let bucket = |name: &str, count, sequence| SourceBucket {
        name: name.as_bytes().to_vec(),
        sequence,
        pairs: pairs(count),
        ..SourceBucket::default()
    };
    let mut nesting = bucket("nesting", 3, 4);
    nesting.children = vec![bucket("inner", 60, 9), bucket("small", 1, 1)];
    nesting.children[1].inline = true;
    vec![bucket("lease", 300, 5), bucket("members", 0, 0), bucket("meta", 2, 7), nesting]
}

fn source(shape: &Shape, records: &[Record]) -> Vec<u8> {
    let pairs = records.iter().map(|record| (record.key.clone(), record.value())).collect();
    let mut source = Source::with_records(pairs);
    source.buckets.retain(|bucket| bucket.name == b"key");
    let key = source.bucket_mut("key");
    let sizes = key.pairs.iter().map(|(key, value)| 16 + key.len() + value.len());
    // As bbolt has it: a small bucket stands in its parent's leaf.
    key.inline = 16 + sizes.sum::<usize>() <= shape.page_size / 4;
    source.buckets.extend(other_buckets());
    (source.page_size, source.leaf_elements) = (shape.page_size, shape.leaf_elements);
    (source.fan_out, source.freelist) = (shape.fan_out, shape.freelist);
    source.free_pages = shape.free_pages;
    source.encode()
}

fn run(db: &Path, out: &Path, shape: &Shape, unmatched: Unmatched, threads: usize) -> Outcome {
    let options = ChangePrefix {
        db: db.into(),
        target: Target::File(out.into()),
        dest_prefix: String::from_utf8(DST.to_vec()).unwrap(),
        allow_empty: true,
        unmatched,
        threads,
        tuning: shape.tuning,
        ..ChangePrefix::default()
    };
    change_prefix(&options, &Silent).unwrap_or_else(|error| panic!("{error}"))
}

fn owned(pairs: Option<Vec<(&[u8], &[u8])>>) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    pairs.map(|pairs| pairs.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn the_output_is_what_the_rule_says(
        steps in prop::collection::vec(step(), 1..120),
        shape in shape(),
        drop in any::<bool>(),
    ) {
        let unmatched = if drop { Unmatched::Drop } else { Unmatched::Keep };
        let records = records(&steps);
        let folder = tempfile::tempdir().unwrap();
        let [db, out, again] = ["in.db", "out.db", "again.db"].map(|name| folder.path().join(name));
        std::fs::write(&db, source(&shape, &records)).unwrap();
        let before = Bolt::open(&db).unwrap();

        let outcome = run(&db, &out, &shape, unmatched, 1);
        let after = Bolt::open(&out).unwrap();
        prop_assert_eq!(owned(after.bucket(b"key")), Some(expected(&records, unmatched)));
        for name in [b"lease".as_slice(), b"members", b"meta"] {
            prop_assert_eq!(after.bucket(name), before.bucket(name));
        }
        prop_assert_eq!(outcome.census.records, records.len() as u64);
        prop_assert_eq!(outcome.census.live_keys, live_keys(&records));
        let matched = records.iter().filter(|record| record.is_matched()).count();
        prop_assert_eq!(outcome.census.matched, matched as u64);
        prop_assert_eq!(outcome.bytes_out, out.metadata().unwrap().len());

        run(&db, &again, &shape, unmatched, 3);
        prop_assert!(std::fs::read(&out).unwrap() == std::fs::read(&again).unwrap());
    }
}
