//! Counts what the records of bucket `key` are.

use std::collections::BTreeMap;

use crate::error::counted;
use crate::outcome::{Census, Component, Components};
use crate::rewrite::encryption::Provider;
use crate::rewrite::key_bucket::{Judged, Record};
use crate::rewrite::rule::PrefixRule;
use crate::rewrite::schema::RecordKey;

/// Components listed by name in a report.
const LISTED: usize = 100;
/// Components told apart while counting; a file with more is an attack, or not Kubernetes.
const TOLD_APART: usize = 4_096;
/// Bytes of a component that are told apart.
const COMPONENT_BYTES: usize = 256;

/// A running count, which can be taken on several threads and merged in record order.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    census: Census,
    components: BTreeMap<Vec<u8>, u64>,
    uncounted_components: u64,
    /// Unmatched records whose keys lie under the destination.
    pub under_destination: u64,
    /// Matched records whose key field is not as etcd writes it.
    pub matched_noncanonical: u64,
    /// The highest main revision of the records that are kept.
    pub kept_revision: Option<i64>,
}

impl Counts {
    /// Counts one record, whose key is `key`.
    pub fn note(&mut self, rule: &PrefixRule, at: RecordKey, judged: &Judged, key: &[u8]) {
        self.census.records += 1;
        self.census.tombstones += u64::from(at.tombstone);
        self.census.revision = at.revision.main;
        match &judged.record {
            Record::Matched { canonical, encrypted, .. } => {
                self.census.matched += 1;
                self.matched_noncanonical += u64::from(!canonical);
                self.note_canonical(*canonical);
                self.note_encrypted(*encrypted);
            }
            Record::Empty => self.census.known.empty_value += 1,
            Record::CompactRevKey { canonical } => {
                self.census.known.compact_rev_key += 1;
                self.note_canonical(*canonical);
            }
            Record::Unmatched { canonical } => {
                self.census.unmatched += 1;
                self.note_canonical(*canonical);
                self.under_destination += u64::from(rule.is_under_destination(key));
                self.note_component(first_component(key), 1);
            }
        }
    }

    /// Counts that the record with this key is part of the output, or not.
    pub fn note_kept(&mut self, at: RecordKey, kept: bool) {
        if kept {
            self.kept_revision = self.kept_revision.max(Some(at.revision.main));
        } else {
            self.census.dropped += 1;
        }
    }

    /// Adds the counts of the records that follow.
    pub fn merge(&mut self, later: Self) {
        let (sum, add) = (&mut self.census, later.census);
        sum.records += add.records;
        sum.matched += add.matched;
        sum.unmatched += add.unmatched;
        sum.dropped += add.dropped;
        sum.known.compact_rev_key += add.known.compact_rev_key;
        sum.known.empty_value += add.known.empty_value;
        sum.tombstones += add.tombstones;
        sum.noncanonical += add.noncanonical;
        sum.encrypted.aesgcm += add.encrypted.aesgcm;
        sum.encrypted.kms += add.encrypted.kms;
        if add.records > 0 {
            sum.revision = add.revision;
        }
        self.under_destination += later.under_destination;
        self.matched_noncanonical += later.matched_noncanonical;
        self.kept_revision = self.kept_revision.max(later.kept_revision);
        self.uncounted_components += later.uncounted_components;
        for (component, records) in &later.components {
            self.note_component(component, *records);
        }
    }

    /// The report; `live_keys` comes from elsewhere.
    pub fn into_census(self, live_keys: u64) -> Census {
        let unmatched_components = self.components();
        Census { live_keys, unmatched_components, ..self.census }
    }

    /// The numbers so far, without components and live keys.
    pub fn census(&self) -> &Census {
        &self.census
    }

    /// The most frequent first components of unmatched keys.
    pub fn components(&self) -> Components {
        let mut all: Vec<(&Vec<u8>, u64)> =
            self.components.iter().map(|(name, records)| (name, *records)).collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        let top = all.iter().take(LISTED).map(|(name, records)| Component {
            component: name.escape_ascii().to_string(),
            records: *records,
        });
        let rest: u64 = all.iter().skip(LISTED).map(|(_, records)| records).sum();
        Components { top: top.collect(), remainder_records: rest + self.uncounted_components }
    }

    fn note_canonical(&mut self, canonical: bool) {
        self.census.noncanonical += u64::from(!canonical);
    }

    fn note_encrypted(&mut self, encrypted: Option<Provider>) {
        match encrypted {
            Some(Provider::AesGcm) => self.census.encrypted.aesgcm += 1,
            Some(Provider::Kms) => self.census.encrypted.kms += 1,
            None => {}
        }
    }

    fn note_component(&mut self, component: &[u8], records: u64) {
        if let Some(count) = self.components.get_mut(component) {
            *count += records;
        } else if self.components.len() < TOLD_APART {
            self.components.insert(component.to_vec(), records);
        } else {
            self.uncounted_components += records;
        }
    }
}

/// `/a` of `/a/b`, `a` of `a/b`, cut where it gets long.
fn first_component(key: &[u8]) -> &[u8] {
    let end = key.iter().skip(1).position(|&byte| byte == b'/').map_or(key.len(), |at| at + 1);
    key.get(..end.min(COMPONENT_BYTES)).unwrap_or_default()
}

/// Components as one line of text.
pub fn in_one_line(components: &Components) -> String {
    const SHOWN: usize = 8;
    let shown = components.top.iter().take(SHOWN);
    let mut parts: Vec<String> =
        shown.map(|c| format!("{} ({})", c.component, counted(c.records, "record"))).collect();
    let others = components.top.iter().skip(SHOWN).map(|c| c.records).sum::<u64>();
    if others + components.remainder_records > 0 {
        let others = others + components.remainder_records;
        parts.push(format!("others ({})", counted(others, "record")));
    }
    if parts.is_empty() { "nothing".into() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_end_at_the_second_slash() {
        assert_eq!(first_component(b"/other/key"), b"/other");
        assert_eq!(first_component(b"plain"), b"plain");
        assert_eq!(first_component(b"a/b"), b"a");
        assert_eq!(first_component(b""), b"");
        assert_eq!(first_component(&[b'x'; 1000]).len(), COMPONENT_BYTES);
    }

    #[test]
    fn components_are_capped_with_exact_totals() {
        let mut counts = Counts::default();
        for number in 0..10_000 {
            counts.note_component(format!("/{number}").as_bytes(), 1);
        }
        let components = counts.components();
        assert_eq!(components.top.len(), LISTED);
        assert_eq!(components.remainder_records, 9_900);
    }
}
