//! What a dry run tells besides: where the records lie, what else is in the store, whether the
//! change would be made.

use etcdprefix_core::Outcome;
use etcdprefix_core::outcome::{Census, EncryptedResource, LargeRecord, LeaseCounts, Resource};

use super::Row;
use crate::output::humanize;
use crate::output::text::{count, one_line, thousands};

/// More resources than this are only counted; the JSON has up to 100.
const RESOURCES_SHOWN: usize = 20;

/// The plan, line by line.
pub fn rows(outcome: &Outcome) -> Vec<Row> {
    let census = &outcome.census;
    let mut rows = listed("resources", resources(census));
    rows.extend(listed("encrypted", census.encrypted_resources.iter().map(encrypted).collect()));
    rows.extend(listed("largest", census.largest_records.iter().map(large).collect()));
    rows.push(("leases", leases(&outcome.leases)));
    rows.push(("room", room(outcome)));
    rows.push(("verdict", verdict(outcome)));
    rows
}

/// A row for each line, the first of which has the label.
fn listed(label: &'static str, lines: Vec<String>) -> Vec<Row> {
    let labels = std::iter::once(label).chain(std::iter::repeat(""));
    labels.zip(lines).collect()
}

fn resources(census: &Census) -> Vec<String> {
    let all = &census.matched_resources;
    let (shown, rest) = all.top.split_at(all.top.len().min(RESOURCES_SHOWN));
    let mut lines: Vec<String> = shown.iter().map(resource).collect();
    let records = rest.iter().map(|other| other.records).sum::<u64>() + all.remainder_records;
    let bytes = rest.iter().map(|other| other.bytes).sum::<u64>() + all.remainder_bytes;
    if records > 0 {
        lines.push(resource(&Resource { resource: "others".into(), records, bytes }));
    }
    lines
}

fn resource(Resource { resource, records, bytes }: &Resource) -> String {
    let name = if resource.is_empty() { "/" } else { resource };
    format!("{}: {}, {}", one_line(name), count(*records, "record"), humanize::bytes(*bytes))
}

fn encrypted(EncryptedResource { provider, resource, records }: &EncryptedResource) -> String {
    let readable = if provider.binds_to_key() { "NOT decryptable" } else { "readable" };
    let (name, resource) = (provider.name(), one_line(resource));
    format!("{name}: {} of {resource}, {readable} under the new prefix", count(*records, "record"))
}

fn large(LargeRecord { key, bytes }: &LargeRecord) -> String {
    format!("{} {}", humanize::bytes(*bytes), one_line(key))
}

fn leases(counts: &LeaseCounts) -> String {
    let text = format!("{} with {}", thousands(counts.leases), count(counts.keys, "live key"));
    match counts.orphaned_keys {
        Some(0) => text,
        Some(keys) => format!("{text}; {} without theirs become permanent", thousands(keys)),
        None => format!("{text}; too many to tell whether all of them exist"),
    }
}

fn room(outcome: &Outcome) -> String {
    let (before, after) = (outcome.bytes_in, outcome.bytes_out);
    let change = match after.checked_sub(before) {
        Some(more) => format!("grows by {}", humanize::bytes(more)),
        None => format!("shrinks by {}", humanize::bytes(before - after)),
    };
    let free =
        outcome.free_bytes.map_or_else(|| "an unknown number of bytes".into(), humanize::bytes);
    let room = format!("{change} to {}; {free} free", humanize::bytes(after));
    match outcome.target_quota_bytes {
        Some(quota) => format!("{room}; quota {}", humanize::bytes(quota)),
        None => room,
    }
}

fn verdict(outcome: &Outcome) -> String {
    match outcome.refusals.len() {
        0 => "the change would be made".into(),
        1 => "the change would be REFUSED".into(),
        many => format!("the change would be REFUSED, for {many} reasons"),
    }
}
