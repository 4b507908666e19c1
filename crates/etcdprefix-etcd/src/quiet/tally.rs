//! Who wrote how often, in bounded memory.

use std::cmp::Reverse;
use std::collections::HashMap;

use serde::Serialize;

/// Keys beyond these are counted together, so that a busy store can't fill the memory.
pub const KEYS_MAX: usize = 4_096;

/// Of a key's name that is kept; keys alike up to here are counted as one.
pub const NAME_BYTES_MAX: usize = 256;

/// Keys that a report names.
const KEYS_REPORTED: usize = 100;

/// A key's name, or the beginning of it.
pub type Name = Box<[u8]>;

/// The part of a key that is kept as its name.
pub fn name_of(key: &[u8]) -> &[u8] {
    key.get(..NAME_BYTES_MAX).unwrap_or(key)
}

/// How often one key was written.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub struct KeyWrites {
    /// Its name: 256 bytes at most, then `...`; what is not UTF-8 is replaced.
    pub key: String,
    /// Puts.
    pub puts: u64,
    /// Deletes, those whose cause could not be determined included.
    pub deletes: u64,
    /// The first revision that wrote it during the watch.
    pub first_revision: i64,
    /// The last revision that wrote it.
    pub last_revision: i64,
    /// Puts and deletes over the whole length of the watch.
    pub per_second: f64,
}

/// Writes to the keys that a report does not name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub struct OtherWrites {
    /// Puts.
    pub puts: u64,
    /// Deletes, those whose cause could not be determined included.
    pub deletes: u64,
}

/// What one write does to its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    Put,
    Delete,
    /// A delete that may be an expiry.
    Undetermined,
}

#[derive(Default)]
struct Counts {
    puts: u64,
    deletes: u64,
    first: i64,
    last: i64,
}

/// Counts of everything that a watch has seen.
#[derive(Default)]
pub struct Tally {
    pub puts: u64,
    pub deletes: u64,
    pub undetermined: u64,
    pub expiries: u64,
    /// The first and the last revision of any write.
    pub written: Option<(i64, i64)>,
    keys: HashMap<Name, Counts>,
    others: OtherWrites,
}

impl Tally {
    /// Counts one write.
    pub fn write(&mut self, write: Write, name: &[u8], revision: i64) {
        self.sum(write, revision, 1);
        let (puts, deletes) = match write {
            Write::Put => (1, 0),
            Write::Delete | Write::Undetermined => (0, 1),
        };
        match self.counts(name_of(name)) {
            Some(counts) => counts.add(puts, deletes, revision),
            None => self.others.add(puts, deletes),
        }
    }

    /// Counts deletes of keys whose names were not kept.
    pub fn nameless_deletes(&mut self, write: Write, count: u64, revision: i64) {
        if count > 0 {
            self.sum(write, revision, count);
            self.others.deletes += count;
        }
    }

    fn sum(&mut self, write: Write, revision: i64, count: u64) {
        match write {
            Write::Put => self.puts += count,
            Write::Delete => self.deletes += count,
            Write::Undetermined => self.undetermined += count,
        }
        self.written = Some((self.written.map_or(revision, |(first, _)| first), revision));
    }

    fn counts(&mut self, name: &[u8]) -> Option<&mut Counts> {
        // A key that is there is not copied.
        if !self.keys.contains_key(name) {
            if self.keys.len() == KEYS_MAX {
                return None;
            }
            self.keys.insert(name.into(), Counts::default());
        }
        self.keys.get_mut(name)
    }

    /// The keys written most often, and what the others add up to.
    pub fn most_written(&self, seconds: f64) -> (Vec<KeyWrites>, OtherWrites) {
        let mut sorted: Vec<_> = self.keys.iter().collect();
        sorted.sort_by_key(|(name, counts)| (Reverse(counts.puts + counts.deletes), *name));
        let mut others = self.others;
        for (_, counts) in sorted.iter().skip(KEYS_REPORTED) {
            others.add(counts.puts, counts.deletes);
        }
        let named = sorted.into_iter().take(KEYS_REPORTED);
        (named.map(|(name, counts)| counts.of_key(name, seconds)).collect(), others)
    }
}

impl OtherWrites {
    fn add(&mut self, puts: u64, deletes: u64) {
        self.puts += puts;
        self.deletes += deletes;
    }
}

impl Counts {
    fn add(&mut self, puts: u64, deletes: u64, revision: i64) {
        if self.puts + self.deletes == 0 {
            self.first = revision;
        }
        self.puts += puts;
        self.deletes += deletes;
        self.last = revision;
    }

    fn of_key(&self, name: &[u8], seconds: f64) -> KeyWrites {
        let cut = if name.len() == NAME_BYTES_MAX { "..." } else { "" };
        let writes = (self.puts + self.deletes) as f64;
        KeyWrites {
            key: String::from_utf8_lossy(name).into_owned() + cut,
            puts: self.puts,
            deletes: self.deletes,
            first_revision: self.first,
            last_revision: self.last,
            per_second: if seconds > 0.0 { writes / seconds } else { 0.0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_keys_are_named_with_their_rates() {
        let mut tally = Tally::default();
        for revision in 2..=7 {
            tally.write(Write::Put, b"busy", revision);
        }
        tally.write(Write::Delete, b"gone\xff", 8);
        tally.write(Write::Undetermined, b"busy", 9);
        let (keys, others) = tally.most_written(2.0);
        let busy = KeyWrites {
            key: "busy".into(),
            puts: 6,
            deletes: 1,
            first_revision: 2,
            last_revision: 9,
            per_second: 3.5,
        };
        assert_eq!(keys[0], busy);
        assert_eq!((keys[1].key.as_str(), keys[1].deletes), ("gone\u{fffd}", 1));
        assert_eq!(others, OtherWrites::default());
        assert_eq!((tally.puts, tally.deletes, tally.undetermined), (6, 1, 1));
        assert_eq!(tally.written, Some((2, 9)));
    }

    #[test]
    fn more_keys_than_are_kept_are_counted_together() {
        let mut tally = Tally::default();
        for number in 0..KEYS_MAX as u64 + 10 {
            tally.write(Write::Put, format!("key-{number}").as_bytes(), 2);
        }
        tally.write(Write::Put, b"key-7", 3);
        tally.nameless_deletes(Write::Delete, 5, 4);
        let (keys, others) = tally.most_written(1.0);
        assert_eq!((keys.len(), tally.keys.len()), (KEYS_REPORTED, KEYS_MAX));
        assert_eq!((keys[0].key.as_str(), keys[0].puts), ("key-7", 2));
        let named: u64 = keys.iter().map(|key| key.puts).sum();
        assert_eq!(named + others.puts, tally.puts);
        assert_eq!((others.deletes, tally.deletes, tally.written), (5, 5, Some((2, 4))));
    }

    #[test]
    fn long_names_are_cut_and_marked() {
        let mut tally = Tally::default();
        tally.write(Write::Put, &[b'k'; NAME_BYTES_MAX + 1], 2);
        tally.write(Write::Put, &[b'k'; NAME_BYTES_MAX + 2], 3);
        let (keys, _) = tally.most_written(0.0);
        assert_eq!(keys.len(), 1);
        assert_eq!((keys[0].key.len(), keys[0].puts), (NAME_BYTES_MAX + 3, 2));
        assert!(keys[0].key.ends_with("k...") && keys[0].per_second == 0.0);
    }
}
