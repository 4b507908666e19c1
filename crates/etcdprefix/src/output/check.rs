//! The report of `check`.

use std::fmt::Write;
use std::path::PathBuf;

use etcdprefix_core::outcome::InputTrailer;
use etcdprefix_core::verify::findings::{Finding, FindingCode, Level};
use etcdprefix_core::verify::{CheckReport, CompactionMarks, Depth};
use serde_json::{Value, json};

use crate::args::Format;
use crate::output::text::{count, one_line, path, thousands};
use crate::output::{fields, humanize};

/// A file, how it was checked and what was found.
pub struct Checked {
    /// The file as given.
    pub file: PathBuf,
    /// How far it was checked.
    pub depth: Depth,
    /// Its size, trailer included.
    pub bytes: u64,
    /// The size of a page.
    pub page_size_bytes: u64,
    /// What was found.
    pub report: CheckReport,
}

impl Checked {
    /// What goes to stdout.
    pub fn render(&self, format: Format) -> String {
        fields::render(&self.json(), format, || self.summary())
    }

    fn json(&self) -> Value {
        let (report, pages) = (&self.report, &self.report.structure);
        let marks = report.compaction.unwrap_or_default();
        let records = report.records;
        json!({
            "file": self.file.to_string_lossy(),
            "depth": self.depth,
            "sound": report.is_sound(),
            "errors": report.findings.total_of(Level::Error),
            "warnings": report.findings.total_of(Level::Warning),
            "findings": report.findings.kept,
            "totals": report.findings.totals,
            "bytes": self.bytes,
            "page_size_bytes": self.page_size_bytes,
            "pages": {
                "total": pages.pages,
                "meta": 2,
                "branch": pages.branch_pages,
                "leaf": pages.leaf_pages,
                "freelist": pages.freelist_pages,
                "free": pages.free_pages,
            },
            "buckets": pages.buckets,
            "pairs": pages.pairs,
            "records": pages.records,
            "tombstones": records.map(|records| records.tombstones),
            "empty_values": records.map(|records| records.empty_values),
            "leases": records.map(|records| records.leases),
            "revision": records.map(|records| records.revision),
            "scheduled_compaction": marks.scheduled,
            "finished_compaction": marks.finished,
            "trailer": report.trailer,
        })
    }

    fn summary(&self) -> String {
        let mut text = self.headline() + "\n\n";
        for (label, value) in self.rows() {
            let _ = writeln!(text, "{label:<12} {value}");
        }
        if !self.report.findings.is_empty() {
            text.push_str("\nfindings\n");
        }
        for finding in &self.report.findings.kept {
            let _ = writeln!(text, "  {}", line(finding));
        }
        for (code, total) in &self.report.findings.totals {
            let kept = self.report.findings.kept.iter().filter(|finding| finding.code == *code);
            let more = total.saturating_sub(kept.count() as u64);
            if more > 0 {
                let _ = writeln!(text, "  and {} more of {}", thousands(more), name(*code));
            }
        }
        text
    }

    fn headline(&self) -> String {
        let findings = &self.report.findings;
        let errors = findings.total_of(Level::Error);
        let warnings = count(findings.total_of(Level::Warning), "warning");
        let file = path(&self.file);
        match (errors, findings.is_empty()) {
            (0, true) => format!("{file}: sound"),
            (0, false) => format!("{file}: sound, with {warnings}"),
            _ => format!("{file}: DAMAGED: {}, {warnings}", count(errors, "error")),
        }
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let (report, pages) = (&self.report, &self.report.structure);
        let mut rows = vec![
            ("checked", checked(self.depth).into()),
            ("size", format!("{} ({} bytes)", humanize::bytes(self.bytes), thousands(self.bytes))),
            (
                "pages",
                format!(
                    "{} of {} bytes: 2 meta, {} branch, {} leaf, {} freelist, {} free",
                    thousands(pages.pages),
                    self.page_size_bytes,
                    thousands(pages.branch_pages),
                    thousands(pages.leaf_pages),
                    thousands(pages.freelist_pages),
                    thousands(pages.free_pages),
                ),
            ),
            ("buckets", format!("{} with {}", pages.buckets, count(pages.pairs, "pair"))),
            ("records", self.records()),
        ];
        rows.extend(report.records.map(|records| ("leases", thousands(records.leases))));
        rows.extend(report.compaction.map(|marks| ("compacted", compacted(marks))));
        rows.extend(report.trailer.map(|trailer| ("trailer", sealed(trailer).into())));
        rows
    }

    fn records(&self) -> String {
        let records = thousands(self.report.structure.records);
        let Some(counts) = self.report.records else { return records };
        let mut text = format!(
            "{records} up to revision {}, {}",
            counts.revision,
            count(counts.tombstones, "tombstone")
        );
        if counts.empty_values > 0 {
            let _ = write!(text, ", {} without value", thousands(counts.empty_values));
        }
        text
    }
}

fn checked(depth: Depth) -> &'static str {
    match depth {
        Depth::Structure => "pages; neither records nor SHA-256 trailer",
        Depth::Records => "pages and records; not the SHA-256 trailer",
        Depth::Full => "pages, records and SHA-256 trailer",
    }
}

fn compacted(marks: CompactionMarks) -> String {
    let done = marks.finished.map_or("never".into(), |main| format!("at revision {main}"));
    match marks.scheduled {
        Some(main) if marks.is_under_way() => {
            format!("{done}; under way to {main}, which a server goes on with when it starts")
        }
        _ => done,
    }
}

fn sealed(trailer: InputTrailer) -> &'static str {
    match trailer {
        InputTrailer::Verified => "SHA-256 verified",
        InputTrailer::Missing => "none",
        InputTrailer::Mismatch => "SHA-256 WRONG",
    }
}

fn line(finding: &Finding) -> String {
    let level = match finding.level {
        Level::Error => "error",
        Level::Warning => "warning",
    };
    one_line(&format!("{level:<8} {}: {finding}", name(finding.code)))
}

/// A code as JSON has it.
fn name(code: FindingCode) -> String {
    json!(code).as_str().unwrap_or_default().to_owned()
}
