//! The result of `snapshot save`.

use std::fmt::Write;
use std::path::Path;

use etcdprefix_etcd::save::Saved;
use serde_json::{Value, json};

use crate::args::Format;
use crate::output::text::{one_line, path, thousands};
use crate::output::upload::Upload;
use crate::output::{fields, human, humanize};

/// What was sent to object stores.
#[derive(Debug, Default)]
pub struct Uploads {
    /// The saved snapshot.
    pub saved: Option<Upload>,
    /// What it was rewritten to.
    pub changed: Option<Upload>,
}

/// What goes to stdout.
pub fn render(saved: &Saved, target: &Path, uploads: &Uploads, format: Format) -> String {
    fields::render(&json(saved, uploads), format, || summary(saved, target, uploads))
}

/// serde refuses paths that are no UTF-8, so they are put in by hand.
fn json(saved: &Saved, uploads: &Uploads) -> Value {
    let mut plain = saved.clone();
    let outcome = plain.change_prefix.take();
    let file = plain.file.take();
    let mut value = serde_json::to_value(&plain).unwrap_or_default();
    if let Value::Object(members) = &mut value {
        members.insert("file".into(), json!(file.map(|file| file.to_string_lossy().into_owned())));
        let mut change = json!(outcome.as_ref().map(fields::json));
        Upload::join(uploads.changed.as_ref(), &mut change);
        members.insert("change_prefix".into(), change);
    }
    Upload::join(uploads.saved.as_ref(), &mut value);
    value
}

/// The first line is etcdctl's.
fn summary(saved: &Saved, target: &Path, uploads: &Uploads) -> String {
    let file = saved.file.as_deref();
    let mut text = match file {
        Some(file) => format!("Snapshot saved at {}\n\n", path(file)),
        None => format!("Snapshot saved and rewritten to {}\n\n", path(target)),
    };
    for (label, value) in rows(saved) {
        let _ = writeln!(text, "{label:<12} {value}");
    }
    Upload::tell(uploads.saved.as_ref(), &mut text);
    if !saved.warnings.is_empty() {
        text.push_str("\nwarnings\n");
    }
    for warning in &saved.warnings {
        let _ = writeln!(text, "  {}", one_line(warning));
    }
    if let Some(outcome) = &saved.change_prefix {
        text.push('\n');
        text.push_str(&human::summary(outcome, uploads.changed.as_ref()));
    }
    text
}

fn rows(saved: &Saved) -> Vec<(&'static str, String)> {
    let unknown = || "unknown".to_owned();
    let rate = (saved.bytes as f64 / saved.stream_seconds.max(0.001)) as u64;
    let mut rows = vec![
        ("member", one_line(&format!("{}, {}", saved.member.title(), saved.chosen))),
        ("etcd", one_line(&saved.etcd_version)),
        ("revision", saved.revision.map_or_else(unknown, |number| number.to_string())),
        ("size", format!("{} ({} bytes)", humanize::bytes(saved.bytes), thousands(saved.bytes))),
        ("status hash", saved.status_hash.clone().unwrap_or_else(unknown)),
        ("SHA-256", format!("{}, as the member sent it", saved.sha256)),
        ("checked", checked(saved.checked).into()),
    ];
    rows.extend(saved.members_hashkv.as_ref().map(|hashes| {
        let (asked, missing) = (hashes.members.len(), hashes.missing.len());
        let all = if missing == 0 { String::new() } else { format!(" of {}", asked + missing) };
        let members = format!("{asked}{all} member{}", if asked + missing == 1 { "" } else { "s" });
        ("members", format!("HashKV of {members} is the same at revision {}", hashes.revision))
    }));
    rows.extend(saved.hashkv.map(|kv| {
        ("HashKV", format!("{} at revision {}, of the file and the member", kv.hash, kv.revision))
    }));
    rows.push((
        "time",
        format!(
            "{:.1} s, {:.1} s of it receiving at {}/s{}",
            saved.seconds,
            saved.stream_seconds,
            humanize::bytes(rate),
            if saved.attempts > 1 {
                format!(", attempt {}", saved.attempts)
            } else {
                String::new()
            }
        ),
    ));
    rows
}

fn checked(checked: bool) -> &'static str {
    if checked { "pages and records" } else { "not pages and records (--no-check)" }
}
