//! What `migrate` and `node` show.

pub mod after;
pub mod aftercare;
#[cfg(test)]
mod contract;
pub mod engine;
pub mod handed;
pub mod hosted;
mod lines;
pub mod node;
pub mod oos;
pub mod preflight;
pub mod rehearsal;
pub mod screen;
mod state;
pub mod status;
mod terminal;

use std::fmt::Write;

use comfy_table::presets::ASCII_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use etcdprefix_migrate::flow::PhaseTime;
use etcdprefix_migrate::protocol::Snapshotted;

use crate::output::humanize;
use crate::output::text::{one_line, thousands};

/// A label and a line.
type Row = (&'static str, String);

/// Milliseconds since 1970, as they stand in JSON: UTC, in whole seconds.
pub fn time(ms: u64) -> Option<String> {
    let time = jiff::Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()?;
    Some(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// A URL without what makes it a key.
pub fn redacted(url: &str) -> String {
    match url.split_once('?') {
        Some((place, _)) => format!("{place}?[redacted]"),
        None => url.to_owned(),
    }
}

fn table<'a>(
    head: impl IntoIterator<Item = &'a str>,
    rows: impl IntoIterator<Item = Vec<String>>,
) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_FULL_CONDENSED);
    table.set_header(head);
    for row in rows {
        table.add_row(row.iter().map(|cell| one_line(cell)));
    }
    table
}

/// How long what took.
fn phases(phases: &[PhaseTime]) -> String {
    let all: f64 = phases.iter().map(|phase| phase.seconds).sum();
    let rows = phases.iter().map(|phase| (phase.name.as_str(), phase.seconds));
    let rows = rows.chain([("all of these", all)]);
    let rows = rows.map(|(name, seconds)| vec![name.to_owned(), format!("{seconds:.1}")]);
    let mut table = table(["PHASE", "SECONDS"], rows);
    if let Some(seconds) = table.column_mut(1) {
        seconds.set_cell_alignment(CellAlignment::Right);
    }
    format!("{table}\n")
}

fn snapshot_rows(snapshot: &Snapshotted, host: &str) -> Vec<Row> {
    let size = format!("{} ({} bytes)", humanize::bytes(snapshot.bytes), thousands(snapshot.bytes));
    let member = format!("{} of {host}, {}", snapshot.member, snapshot.chosen);
    let mut rows = vec![
        ("object", one_line(&snapshot.object)),
        ("size", size),
        ("SHA-256", one_line(&snapshot.sha256)),
        ("revision", snapshot.revision.to_string()),
        ("member", one_line(&member)),
        (
            "records",
            format!(
                "{} rewritten, {} as they were",
                thousands(snapshot.matched),
                thousands(snapshot.unmatched)
            ),
        ),
    ];
    rows.extend(
        snapshot.hashkv.map(|hash| ("HashKV", format!("{hash}, of the file and the member"))),
    );
    rows.extend((!snapshot.kept.is_empty()).then(|| {
        let kept: Vec<_> = snapshot.kept.iter().map(|file| file.display().to_string()).collect();
        ("kept", one_line(&format!("{} on {host}", kept.join(", "))))
    }));
    rows
}

fn text(headline: &str, rows: &[Row]) -> String {
    let mut text = format!("{}\n\n", one_line(headline));
    for (label, value) in rows {
        let line = format!("{label:<12} {value}");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// What is said of a host, without its name in front, which stands there already.
fn without_host<'a>(text: &'a str, host: &str) -> &'a str {
    let rest = text.strip_prefix(host).and_then(|rest| rest.strip_prefix(": "));
    rest.unwrap_or(text)
}

/// At the end of a text.
fn warnings(text: &mut String, warnings: &[String]) {
    if !warnings.is_empty() {
        text.push_str("\nwarnings\n");
    }
    for warning in warnings {
        let _ = writeln!(text, "  {}", one_line(warning));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_shows_its_place_alone() {
        let url = "https://b.oss-cn-hangzhou.aliyuncs.com/etcd_c1?x-oss-signature=full-s3cr3t";
        assert_eq!(redacted(url), "https://b.oss-cn-hangzhou.aliyuncs.com/etcd_c1?[redacted]");
        assert_eq!(redacted("https://b/k"), "https://b/k");
    }

    #[test]
    fn times_are_utc_to_the_second() {
        assert_eq!(time(1_700_000_000_999).as_deref(), Some("2023-11-14T22:13:20Z"));
        assert_eq!(time(u64::MAX), None);
    }

    #[test]
    fn phases_are_a_table_with_their_sum() {
        let phase = |name: &str, seconds| PhaseTime { name: name.into(), seconds };
        let text = phases(&[phase("sleep", 12.34), phase("save", 0.5)]);
        assert!(text.contains("| sleep        |    12.3 |"), "{text}");
        assert!(text.contains("| all of these |    12.8 |"), "{text}");
    }
}
