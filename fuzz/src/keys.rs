//! Revisions as keys, and the table of the records' keys against a plain map, spilled or not.

use std::collections::HashMap;

use arbitrary::{Arbitrary, Unstructured};
use etcdprefix_core::key_table::{KeyFlags, KeyTable};
use etcdprefix_core::rewrite::schema::RecordKey;

/// A key of bucket `key`, and records of few keys or many.
#[derive(Arbitrary, Debug)]
struct Input {
    /// Entries that the table holds in memory.
    room: u8,
    revision: [u8; 19],
    revision_bytes: u8,
    records: Vec<(u8, u8)>,
}

/// Runs both parts.
pub fn run(input: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(input)) else {
        return;
    };
    let bytes = usize::from(input.revision_bytes) % (input.revision.len() + 1);
    revision(&input.revision[..bytes]);
    table(&input);
}

fn revision(key: &[u8]) {
    let Ok(parsed) = RecordKey::parse(key) else {
        return;
    };
    assert_eq!(key.len(), if parsed.tombstone { 18 } else { 17 });
    assert_eq!(RecordKey::first_of(parsed.revision.main)[..9], key[..9]);
}

/// What is known of a key: dead, seen as matched, seen as unmatched.
type Known = (bool, bool, bool);

fn table(input: &Input) {
    let mut table = KeyTable::new(usize::from(input.room) * 24);
    let mut model: HashMap<u8, Known> = HashMap::new();
    for (key, flags) in &input.records {
        let (tombstone, matched) = (flags & 1 != 0, flags & 2 != 0);
        let hash = table.hash(&[*key]);
        table
            .push(hash, KeyFlags { tombstone, matched, ..KeyFlags::default() })
            .expect("room to spill");
        let known = model.entry(*key).or_default();
        *known = (tombstone, known.1 || matched, known.2 || !matched);
    }
    let totals = table.finish().expect("what was spilled is there");
    let count = |test: fn(&Known) -> bool| model.values().filter(|known| test(known)).count();
    assert_eq!(totals.distinct, model.len() as u64);
    assert_eq!(totals.live, count(|known| !known.0) as u64);
    assert_eq!(totals.collided, count(|known| known.1 && known.2) as u64);
    assert_eq!(totals.first_collision.is_some(), totals.collided > 0);
}
