//! The results of `store`.

use std::fmt::Write;
use std::path::Path;
use std::time::SystemTime;

use etcdprefix_store::{
    Agreed, Checked, Description, Head, Listed, ObjectLocation, Policy, Presigned, Reach,
    StepOutcome, Uploaded, Verified,
};
use serde_json::{Value, json};

use crate::args::Format;
use crate::command::store::{Fetched, Sent};
use crate::output::text::{count, one_line, path, thousands};
use crate::output::upload::Upload;
use crate::output::{fields, humanize};

type Row = (&'static str, String);
/// An object, and what a HEAD says of it, if that may be asked.
type Found = (Listed, Option<Head>);

/// Of `put`.
pub fn put(file: &Path, sent: &Sent, format: Format) -> String {
    let upload = upload(sent);
    let mut json = upload.json.clone();
    if let Value::Object(members) = &mut json {
        members.insert("file".into(), file.to_string_lossy().into());
    }
    fields::render(&json, format, || {
        let location = one_line(&sent.uploaded.location.to_string());
        let mut rows = upload.rows.clone();
        rows.extend(told(&sent.description));
        text(&format!("{} is at {location}", path(file)), &rows)
    })
}

/// What any command tells of a file that it sent.
pub fn upload(sent: &Sent) -> Upload {
    let Sent { uploaded, description } = sent;
    let mut json = json!({
        "location": uploaded.location,
        "bytes": uploaded.bytes,
        "etag": uploaded.etag,
        "checksum": uploaded.checksum,
        "agreed": uploaded.agreed,
        "parts": uploaded.parts,
        "repeated": uploaded.repeated,
        "seconds": uploaded.seconds,
    });
    describe(&mut json, description);
    let rows = vec![("uploaded", way(uploaded)), ("agreed", agreed(uploaded.agreed).into())];
    Upload { json, rows }
}

fn way(uploaded: &Uploaded) -> String {
    let rate = (uploaded.bytes as f64 / uploaded.seconds.max(0.001)) as u64;
    let way = match uploaded.parts {
        0 => "in one request".to_owned(),
        parts => format!("in {}", count(parts.into(), "part")),
    };
    let again = match uploaded.repeated {
        0 => String::new(),
        times => format!(", {} sent again", count(times.into(), "request")),
    };
    let (size, rate) = (size(uploaded.bytes), humanize::bytes(rate));
    format!("{size} {way} in {:.1} s at {rate}/s{again}", uploaded.seconds)
}

fn agreed(agreed: Agreed) -> &'static str {
    match agreed {
        Agreed::Checksum => "the store's size and checksum are those of the file",
        Agreed::PartsChecksum => "the store's size and checksum of the parts are those of the file",
        Agreed::Etag => "the store's size and MD5 (ETag) are those of the file",
        Agreed::Size => "the store's size is that of the file; it keeps no checksum",
    }
}

/// Of `get`.
pub fn get(from: &ObjectLocation, file: &Path, fetched: &Fetched, format: Format) -> String {
    let Fetched { downloaded, bytes, sha256, encrypted, proved } = fetched;
    let description = Description::of(&downloaded.head.metadata);
    let mut json = json!({
        "location": from,
        "file": file.to_string_lossy(),
        "bytes": bytes,
        "proved": proved,
        "encrypted": encrypted,
        "checked": downloaded.checked,
        "resumed": downloaded.resumed,
        "seconds": downloaded.seconds,
    });
    describe(&mut json, &description);
    if *proved {
        json["sha256"] = sha256.as_str().into();
    }
    fields::render(&json, format, || {
        let mut rows =
            vec![("size", size(*bytes)), ("proved", proof(*proved, downloaded.checked).into())];
        rows.extend(told(&description));
        text(&format!("{} is {}", path(file), one_line(&from.to_string())), &rows)
    })
}

fn proof(proved: bool, checked: bool) -> &'static str {
    match (proved, checked) {
        (true, true) => "its SHA-256 trailer, and the store's checksum",
        (true, false) => "its SHA-256 trailer; the store keeps no checksum",
        (false, true) => "the store's checksum alone (--no-check)",
        (false, false) => "NOTHING (--no-check; the store keeps no checksum)",
    }
}

/// Of `verify`.
pub fn verify(verified: &Verified, format: Format) -> String {
    let mut json = json!({
        "location": verified.location,
        "bytes": verified.bytes,
        "snapshot_bytes": verified.snapshot_bytes,
        "encrypted": verified.encrypted,
        "checked": verified.checked,
        "described": verified.described,
        "resumed": verified.resumed,
        "seconds": verified.seconds,
    });
    describe(&mut json, &verified.description);
    json["sha256"] = verified.sha256.as_str().into();
    fields::render(&json, format, || {
        let mut rows = vec![
            ("size", size(verified.bytes)),
            ("trailer", "the SHA-256 of all pages, as it should be".into()),
            (
                "checksum",
                if verified.checked { "the store's" } else { "the store keeps none" }.into(),
            ),
            (
                "metadata",
                if verified.described { "of this snapshot" } else { "has no SHA-256" }.into(),
            ),
        ];
        rows.extend(told(&verified.description));
        let location = one_line(&verified.location.to_string());
        text(&format!("{location} is a whole snapshot"), &rows)
    })
}

/// Of `ls`.
pub fn ls(under: &ObjectLocation, found: &[Found], more: bool, format: Format) -> String {
    let objects: Vec<Value> = found.iter().map(object).collect();
    let json = json!({"location": under, "objects": objects, "more": more});
    fields::render(&json, format, || listing(found))
}

fn object((listed, head): &Found) -> Value {
    let mut json = json!({
        "key": listed.key,
        "bytes": listed.bytes,
        "modified": listed.modified,
        "etag": listed.etag,
    });
    describe(&mut json, &description_of(head.as_ref()));
    json
}

fn description_of(head: Option<&Head>) -> Description {
    head.map(|head| Description::of(&head.metadata)).unwrap_or_default()
}

/// Columns as wide as they must be.
fn listing(found: &[Found]) -> String {
    let heading = ["TIME", "SIZE", "CLUSTER", "PREFIX", "REVISION", "HASH", "KEY"];
    let mut lines = vec![heading.map(str::to_owned)];
    lines.extend(found.iter().map(columns));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths: [usize; 7] = std::array::from_fn(|column| width(column).unwrap_or_default());
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        let cells: Vec<String> = cells.collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    text
}

fn columns((listed, head): &Found) -> [String; 7] {
    let description = description_of(head.as_ref());
    let cell = |value: Option<String>| value.map_or("-".to_owned(), |value| one_line(&value));
    [
        one_line(&listed.modified),
        humanize::bytes(listed.bytes),
        cell(description.cluster_id),
        cell(description.prefix),
        cell(description.revision.map(|revision| revision.to_string())),
        cell(description.status_hash),
        one_line(&listed.key),
    ]
}

/// Of `presign`: the URL alone for people, so that a script can take it too.
pub fn presign(location: &ObjectLocation, signed: &Presigned, format: Format) -> String {
    let reached = match signed.reach {
        Some(Reach::Fetched { .. }) => json!(true),
        Some(Reach::Unreachable(_)) => json!(false),
        None => Value::Null,
    };
    let json = json!({
        "location": location,
        "url": signed.url.expose(),
        "ends": time(signed.ends),
        "lifetime_seconds": signed.lifetime.as_secs(),
        "shortened": signed.is_shortened,
        "reached": reached,
    });
    fields::render(&json, format, || format!("{}\n", signed.url.expose()))
}

/// UTC, in whole seconds.
pub fn time(time: SystemTime) -> Option<String> {
    let time = jiff::Timestamp::try_from(time).ok()?;
    Some(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// Of `check`.
pub fn check(under: &ObjectLocation, checked: &Checked, format: Format) -> String {
    let json = json!({
        "location": under,
        "enough": checked.failure.is_none(),
        "missing": checked.missing(),
        "probe": checked.probe,
        "probe_left": checked.probe_left,
        "steps": checked.steps,
        "warnings": checked.warnings,
    });
    fields::render(&json, format, || {
        let enough = if checked.failure.is_none() { "may be used" } else { "may NOT be used" };
        let mut text = format!("{} {enough} as it is\n\n", one_line(&under.to_string()));
        for step in &checked.steps {
            let outcome = outcome(&step.outcome);
            let need = if step.needed { "needed" } else { "useful" };
            let (name, permission) = (step.name, step.permission);
            let why = step.why.as_deref().map(one_line).unwrap_or_default();
            let line = format!("{name:<8} {outcome:<10} {need:<7} {permission:<24} {why}");
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
    })
}

fn outcome(outcome: &StepOutcome) -> &'static str {
    match outcome {
        StepOutcome::Allowed => "allowed",
        StepOutcome::Denied => "DENIED",
        StepOutcome::Failed => "FAILED",
        StepOutcome::NotTried => "not tried",
    }
}

/// Of `policy`: spread over lines for people, who paste it.
pub fn policy(policy: &Policy, format: Format) -> String {
    fields::render(&policy.document, format, || {
        let pretty = serde_json::to_string_pretty(&policy.document);
        pretty.unwrap_or_else(|_| policy.document.to_string()) + "\n"
    })
}

/// Adds what is said of a snapshot.
fn describe(json: &mut Value, description: &Description) {
    let told = serde_json::to_value(description).unwrap_or_default();
    if let (Value::Object(members), Value::Object(told)) = (json, told) {
        members.extend(told);
    }
}

fn told(description: &Description) -> Vec<Row> {
    let described = description.clone();
    let rows = [
        ("encryption", described.encryption),
        ("cluster", described.cluster_id),
        ("prefix", described.prefix),
        ("etcd", described.etcd_version),
        ("revision", described.revision.map(|revision| revision.to_string())),
        ("status hash", described.status_hash),
        ("SHA-256", described.sha256),
    ];
    rows.into_iter().filter_map(|(label, value)| Some((label, one_line(&value?)))).collect()
}

fn size(bytes: u64) -> String {
    format!("{} ({} bytes)", humanize::bytes(bytes), thousands(bytes))
}

fn text(headline: &str, rows: &[Row]) -> String {
    let mut text = format!("{headline}\n\n");
    for (label, value) in rows {
        let _ = writeln!(text, "{label:<12} {value}");
    }
    text
}
