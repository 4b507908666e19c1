//! The report of `endpoint quiet`.

use std::fmt::Write;

use etcdprefix_etcd::quiet::QuietReport;
use serde_json::Value;

use crate::args::Format;
use crate::output::fields;
use crate::output::text::{count, one_line};

/// More keys than this are only in the JSON, which has up to 100.
const KEYS_SHOWN: usize = 20;

/// What goes to stdout.
pub fn render(report: &QuietReport, format: Format) -> String {
    let result = serde_json::to_value(report).unwrap_or(Value::Null);
    fields::render(&result, format, || summary(report))
}

/// In one sentence.
pub fn verdict(report: &QuietReport) -> String {
    let (start, end) = (report.start_revision, report.end_revision);
    let seen = format!("revisions {start} to {end}, {:.0} s", report.seconds);
    let expired = count(report.expiries, "key");
    if report.quiet {
        return format!("quiet: nobody wrote ({seen}; {expired} expired)");
    }
    let mut what = Vec::new();
    for (number, noun) in
        [(report.puts, "put"), (report.deletes, "delete"), (report.undetermined, "unclear delete")]
    {
        what.extend((number > 0).then(|| count(number, noun)));
    }
    what.extend(report.gap.clone());
    format!("not quiet: {} ({seen}; {expired} expired)", what.join(", "))
}

fn summary(report: &QuietReport) -> String {
    let mut text = one_line(&verdict(report)) + "\n";
    for key in report.keys.iter().take(KEYS_SHOWN) {
        let _ = writeln!(
            text,
            "  {}: {}, {}, {:.2} a second, revisions {} to {}",
            one_line(&key.key),
            count(key.puts, "put"),
            count(key.deletes, "delete"),
            key.per_second,
            key.first_revision,
            key.last_revision
        );
    }
    let more = report.keys.len().saturating_sub(KEYS_SHOWN);
    let others = report.other_keys.puts + report.other_keys.deletes;
    if more > 0 || others > 0 {
        let writes = count(others, "write");
        let _ = writeln!(text, "  and {} more, and {writes} to others", count(more as u64, "key"));
    }
    text
}
