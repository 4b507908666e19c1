//! The outcome of `change-prefix` for people.

use std::fmt::Write;

use etcdprefix_core::outcome::{Alarms, AuthCounts, Components, InputTrailer, Verification};
use etcdprefix_core::{Outcome, Unmatched};

use crate::output::humanize;
use crate::output::text::{count, one_line, path, prefix, shell_word, thousands};
use crate::output::upload::Upload;

mod plan;

/// A label, which may be empty, and a line.
type Row = (&'static str, String);

/// More components than this are only counted; the JSON has up to 100.
const COMPONENTS_SHOWN: usize = 10;

/// What was done, what was found, what to do next.
pub fn summary(outcome: &Outcome, upload: Option<&Upload>) -> String {
    let mut text = headline(outcome) + "\n\n";
    for (label, value) in rows(outcome) {
        let _ = writeln!(text, "{label:<12} {value}");
    }
    Upload::tell(upload, &mut text);
    if !outcome.refusals.is_empty() {
        text.push_str("\nwould be refused\n");
    }
    for refusal in &outcome.refusals {
        let _ = writeln!(text, "  {}: {}", refusal.name(), one_line(&refusal.to_string()));
    }
    if !outcome.warnings.is_empty() {
        text.push_str("\nwarnings\n");
    }
    for warning in &outcome.warnings {
        let _ = writeln!(text, "  {}", one_line(warning));
    }
    if !outcome.dry_run {
        text.push_str(&next_steps(outcome, upload.is_some()));
    }
    text
}

fn headline(outcome: &Outcome) -> String {
    let (src, dst) = (prefix(&outcome.src_prefix), prefix(&outcome.dest_prefix));
    let change = if outcome.src_prefix.is_empty() {
        format!("{dst} put before every key that begins with /")
    } else if outcome.dest_prefix.is_empty() {
        format!("{src} stripped")
    } else {
        format!("{src} replaced by {dst}")
    };
    let db = path(&outcome.db);
    match &outcome.output {
        _ if outcome.dry_run => format!("Dry run of {db}: {change}; nothing was written"),
        Some(output) if !outcome.in_place => {
            format!("{}: {change}; {db} is as it was", path(output))
        }
        _ => format!("{db}: {change}"),
    }
}

fn rows(outcome: &Outcome) -> Vec<Row> {
    let census = &outcome.census;
    let mut rows = vec![("records", records(outcome))];
    rows.extend(components(&census.unmatched_components).into_iter().map(|line| ("", line)));
    rows.push((
        "live keys",
        format!(
            "{}, at revision {} with {}",
            thousands(census.live_keys),
            census.revision,
            count(census.tombstones, "tombstone")
        ),
    ));
    rows.extend(oddities(outcome));
    rows.push(("size", size(outcome)));
    rows.push(("input", input(outcome.input_trailer).into()));
    rows.push(("status hash", hashes(outcome)));
    rows.extend(outcome.sha256.clone().map(|digest| ("SHA-256", digest)));
    if !outcome.dry_run {
        rows.push(("proof", proof(outcome.verification).into()));
    }
    rows.push(("time", times(outcome)));
    if outcome.dry_run {
        rows.extend(plan::rows(outcome));
    }
    rows
}

fn records(outcome: &Outcome) -> String {
    let census = &outcome.census;
    let rewritten = if outcome.dry_run { "to rewrite" } else { "rewritten" };
    let mut parts = vec![format!("{} {rewritten}", thousands(census.matched))];
    if census.unmatched > 0 {
        let fate = match outcome.unmatched_mode {
            Unmatched::Drop => "dropped",
            Unmatched::Keep | Unmatched::Fail => "kept",
        };
        parts.push(format!("{} unmatched, {fate}", thousands(census.unmatched)));
    }
    let known = census.known;
    for (records, name) in
        [(known.compact_rev_key, "compact_rev_key"), (known.empty_value, "without value")]
    {
        if records > 0 {
            parts.push(format!("{} {name}, kept", thousands(records)));
        }
    }
    format!("{}: {}", thousands(census.records), parts.join("; "))
}

fn components(components: &Components) -> Vec<String> {
    let (shown, rest) = components.top.split_at(components.top.len().min(COMPONENTS_SHOWN));
    let mut lines: Vec<String> = shown
        .iter()
        .map(|component| {
            let name = one_line(&component.component);
            format!("  {name}: {}", count(component.records, "record"))
        })
        .collect();
    let others: u64 = rest.iter().map(|component| component.records).sum();
    let others = others + components.remainder_records;
    if others > 0 {
        lines.push(format!("  others: {}", count(others, "record")));
    }
    lines
}

/// What most snapshots have none of.
fn oddities(outcome: &Outcome) -> Vec<Row> {
    let census = &outcome.census;
    let encrypted = census.encrypted;
    let mut rows = Vec::new();
    if encrypted.bound_to_key() > 0 && !outcome.dry_run {
        let value = format!(
            "aesgcm {}, kms {}, other {}: not decryptable under the new prefix",
            thousands(encrypted.aesgcm),
            thousands(encrypted.kms),
            thousands(encrypted.other)
        );
        rows.push(("encrypted", value));
    }
    if outcome.auth_roles > 0 {
        rows.push(("auth roles", roles(&outcome.auth)));
    }
    if outcome.alarms.total() > 0 {
        rows.push(("alarms", alarms(outcome.alarms)));
    }
    if outcome.compaction.is_pending() {
        let to = outcome.compaction.scheduled_revision.unwrap_or_default();
        rows.push(("compaction", format!("under way to revision {to}; etcd goes on with it")));
    }
    if census.noncanonical > 0 {
        let value = format!("{} not encoded as etcd does", count(census.noncanonical, "record"));
        rows.push(("encoding", value));
    }
    rows
}

fn alarms(alarms: Alarms) -> String {
    let kinds =
        [(alarms.nospace, "NOSPACE"), (alarms.corrupt, "CORRUPT"), (alarms.other, "unknown")];
    let set = kinds.iter().filter(|(members, _)| *members > 0);
    let set: Vec<String> = set.map(|(members, name)| format!("{members} {name}")).collect();
    format!("{}, which a restore keeps", set.join(", "))
}

fn roles(auth: &AuthCounts) -> String {
    let (enabled, auth) = (if auth.enabled { "auth on" } else { "auth off" }, &auth.roles);
    let (changed, roles) = (thousands(auth.changed_roles), thousands(auth.roles));
    let mut text = format!("{enabled}; {changed} changed of {roles}");
    for (permissions, fate) in [
        (auth.moved, "moved"),
        (auth.narrowed, "narrowed"),
        (auth.merged, "joined with another"),
        (auth.straddling, "without equivalent, as before"),
        (auth.escalating, "for keys of the destination"),
    ] {
        if permissions > 0 {
            text += &format!("; {} {fate}", count(permissions, "permission"));
        }
    }
    text
}

fn size(outcome: &Outcome) -> String {
    format!(
        "{} -> {} ({} -> {} bytes), page size {}",
        humanize::bytes(outcome.bytes_in),
        humanize::bytes(outcome.bytes_out),
        thousands(outcome.bytes_in),
        thousands(outcome.bytes_out),
        outcome.page_size_bytes
    )
}

fn input(trailer: InputTrailer) -> &'static str {
    match trailer {
        InputTrailer::Verified => "SHA-256 trailer verified",
        InputTrailer::Missing => "no SHA-256 trailer (accepted)",
        InputTrailer::Mismatch => "SHA-256 trailer WRONG (accepted)",
    }
}

fn hashes(outcome: &Outcome) -> String {
    let before = &outcome.status_hash_before;
    match &outcome.status_hash_after {
        Some(after) => format!("{before} -> {after}"),
        None => before.clone(),
    }
}

fn proof(verification: Verification) -> &'static str {
    match verification {
        Verification::InverseHash => {
            "read back and compared record by record; the change undone gives the old status hash"
        }
        Verification::Comparison => "read back and compared record by record",
        Verification::Skipped => "NONE (--no-verify)",
    }
}

fn times(outcome: &Outcome) -> String {
    let total: f64 = outcome.phases.iter().map(|phase| phase.seconds).sum();
    let phases = outcome.phases.iter();
    let phases: Vec<String> =
        phases.map(|phase| format!("{} {:.3}", phase.phase.label(), phase.seconds)).collect();
    format!("{total:.3} s: {}", phases.join(", "))
}

fn next_steps(outcome: &Outcome, is_sent: bool) -> String {
    let output = outcome.output.as_deref().unwrap_or(&outcome.db);
    let output = shell_word(&path(output));
    let dst = shell_word(&prefix(&outcome.dest_prefix));
    let (fetch, file) = match is_sent {
        true => (format!("  etcdprefix store get {output} NEW_FILE\n"), "NEW_FILE".to_owned()),
        false => (String::new(), output),
    };
    format!(
        "
next: all members must restore this same file, then start every kube-apiserver with the prefix
{fetch}  etcdutl snapshot restore {file} --data-dir NEW_FOLDER    (before etcd 3.5: etcdctl)
  kube-apiserver --etcd-prefix={dst}
"
    )
}

#[cfg(test)]
mod tests;
