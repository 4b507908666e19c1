//! The result of `migrate rehearse`.

use std::fmt::Write;

use etcdprefix_migrate::flow::Rehearsal;
use serde_json::{Value, json};

use super::state::{Checked, seconds_clock};
use super::{phases, preflight, snapshot_rows, text, time, warnings};
use crate::args::Format;
use crate::output::fields;

/// What goes to stdout.
pub fn render(rehearsal: &Rehearsal, format: Format) -> String {
    fields::render(&json(rehearsal), format, || summary(rehearsal))
}

fn json(rehearsal: &Rehearsal) -> Value {
    let hosts = rehearsal
        .hosts
        .iter()
        .map(|(host, found)| json!({"host": host, "checks": found.checks, "facts": found.facts}));
    json!({
        "ready": true,
        "rehearsed_at": time(rehearsal.at_ms),
        "hosts": hosts.collect::<Vec<_>>(),
        "across": rehearsal.across,
        "snapshot": rehearsal.snapshot,
        "snapshot_host": rehearsal.snapshot_host,
        "phases": rehearsal.phases,
        "expected_outage_seconds": rehearsal.expected_outage_seconds,
        "warnings": rehearsal.warnings,
    })
}

fn summary(rehearsal: &Rehearsal) -> String {
    let outage = seconds_clock(rehearsal.expected_outage_seconds);
    let headline = format!("ready: about {outage} from the first sleep to the URL");
    let mut text = text(&headline, &snapshot_rows(&rehearsal.snapshot, &rehearsal.snapshot_host));
    let own = rehearsal.hosts.iter().map(|(host, found)| {
        let checks = found.checks.clone();
        Checked { host: Some(host.clone()), checks }
    });
    let across = Checked { host: None, checks: rehearsal.across.clone() };
    let all: Vec<Checked> = own.chain([across]).collect();
    let _ = write!(text, "\n{}\n{}", preflight::report(&all), phases(&rehearsal.phases));
    warnings(&mut text, &rehearsal.warnings);
    text.push_str("\nnext: etcdprefix migrate run, within the hour\n");
    text
}
