//! Counts what the records of bucket `key` are.

mod groups;
mod largest;

use crate::error::{Refusal, counted};
use crate::outcome::{
    Census, Component, Components, Encrypted, EncryptedResource, LargeRecord, Resource, Resources,
};
use crate::rewrite::encryption::Provider;
use crate::rewrite::key_bucket::{Judged, Record};
use crate::rewrite::rule::{PrefixRule, shown};
use crate::rewrite::schema::RecordKey;

use groups::{Group, Groups, first_component, resource};
use largest::Largest;

/// Components and resources listed by name in a report.
const LISTED: usize = 100;

/// A running count, which can be taken on several threads and merged in record order.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    census: Census,
    /// Matched records by resource.
    resources: Groups,
    /// The others by first component.
    components: Groups,
    largest: Largest,
    /// Unmatched records whose keys lie under the destination.
    pub under_destination: u64,
    /// Matched records whose key field is not as etcd writes it.
    pub matched_noncanonical: u64,
    /// The highest main revision of the records that are kept.
    pub kept_revision: Option<i64>,
}

impl Counts {
    /// Counts one record, whose key is `key`; its value has `bytes` bytes.
    pub fn note(
        &mut self,
        rule: &PrefixRule,
        at: RecordKey,
        judged: &Judged,
        (key, bytes): (&[u8], u64),
    ) {
        self.largest.note(bytes, key);
        self.census.records += 1;
        self.census.tombstones += u64::from(at.tombstone);
        self.census.revision = at.revision.main;
        match &judged.record {
            Record::Matched { canonical, encrypted, .. } => {
                self.census.matched += 1;
                self.matched_noncanonical += u64::from(!canonical);
                self.note_canonical(*canonical);
                let resource = resource(key.get(rule.src().len()..).unwrap_or_default());
                self.resources.add(resource, &Group::record(bytes, *encrypted));
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
                self.components.add(first_component(key), &Group::record(bytes, None));
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
        if add.records > 0 {
            sum.revision = add.revision;
        }
        self.under_destination += later.under_destination;
        self.matched_noncanonical += later.matched_noncanonical;
        self.kept_revision = self.kept_revision.max(later.kept_revision);
        self.resources.merge(&later.resources);
        self.components.merge(&later.components);
        self.largest.merge(&later.largest);
    }

    /// The report; `live_keys` comes from elsewhere.
    pub fn into_census(self, live_keys: u64) -> Census {
        Census {
            live_keys,
            unmatched_components: self.components(),
            matched_resources: self.resources(),
            encrypted: self.encrypted(),
            encrypted_resources: self.encrypted_resources(),
            largest_records: self.largest(),
            ..self.census
        }
    }

    /// The numbers so far, without what is grouped and live keys.
    pub fn census(&self) -> &Census {
        &self.census
    }

    /// The most frequent first components of unmatched keys.
    pub fn components(&self) -> Components {
        components_of(&self.components)
    }

    /// Encrypted values by provider.
    pub fn encrypted(&self) -> Encrypted {
        let (_, all) = self.resources.top(0);
        let [aesgcm, kms, other, aescbc, secretbox] = all.encrypted;
        Encrypted { aesgcm, kms, other, aescbc, secretbox }
    }

    /// Encrypted values by provider and resource, those of the most frequent resources first.
    pub fn encrypted_resources(&self) -> Vec<EncryptedResource> {
        let (top, _) = self.resources.top(usize::MAX);
        let mut found = Vec::new();
        for provider in Provider::ALL {
            for (name, group) in &top {
                let records = group.encrypted.get(provider as usize).copied().unwrap_or_default();
                if records > 0 {
                    let resource = name.escape_ascii().to_string();
                    found.push(EncryptedResource { provider, resource, records });
                }
            }
        }
        found.truncate(LISTED);
        found
    }

    fn resources(&self) -> Resources {
        let (top, rest) = self.resources.top(LISTED);
        let top = top.into_iter().map(|(name, group)| Resource {
            resource: name.escape_ascii().to_string(),
            records: group.records,
            bytes: group.bytes,
        });
        Resources {
            top: top.collect(),
            remainder_records: rest.records,
            remainder_bytes: rest.bytes,
        }
    }

    fn largest(&self) -> Vec<LargeRecord> {
        let of =
            |(bytes, key): (u64, &[u8])| LargeRecord { key: key.escape_ascii().to_string(), bytes };
        self.largest.iter().map(of).collect()
    }

    fn note_canonical(&mut self, canonical: bool) {
        self.census.noncanonical += u64::from(!canonical);
    }
}

fn components_of(groups: &Groups) -> Components {
    let (top, rest) = groups.top(LISTED);
    let top = top.into_iter().map(|(name, group)| Component {
        component: name.escape_ascii().to_string(),
        records: group.records,
    });
    Components { top: top.collect(), remainder_records: rest.records }
}

/// How the keys of a store in which none may match lie to the rule.
#[derive(Clone, Debug, Default)]
pub struct Unmatching {
    under_destination: u64,
    components: Groups,
}

impl Unmatching {
    /// Counts a record that does not match.
    pub fn note(&mut self, rule: &PrefixRule, key: &[u8]) {
        self.under_destination += u64::from(rule.is_under_destination(key));
        self.components.add(first_component(key), &Group::record(0, None));
    }

    /// Why nothing matches.
    pub fn refusal(&self, rule: &PrefixRule) -> Refusal {
        nothing_matches(rule, self.under_destination, &components_of(&self.components))
    }
}

/// Why no record matches: a wrong source prefix, or a change that was made before.
pub fn nothing_matches(
    rule: &PrefixRule,
    under_destination: u64,
    components: &Components,
) -> Refusal {
    let (src_prefix, dest_prefix) = (shown(rule.src()), shown(rule.dst()));
    if under_destination > 0 && !rule.dst().is_empty() {
        let records = under_destination;
        return Refusal::AlreadyRewritten { src_prefix, dest_prefix, records };
    }
    Refusal::NothingMatches { src_prefix, components: in_one_line(components) }
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
