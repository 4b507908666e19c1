//! What `migrate oos` shows. Outputs of commands may hold anything: only those of our own template are
//! shown, and of them, as of messages, what looks like a secret is left out whole.

use std::fmt::Write;
use std::path::Path;

use etcdprefix_migrate::cloud::{Change, Execution, TaskExecution, TemplateInfo};
use serde_json::{Value, json};

use super::{Row, text};
use crate::args::Format;
use crate::output::fields;
use crate::output::text::{one_line, path};

const REDACTED: &str = "[redacted]";
/// Outputs whose commands are known to print nothing that is secret.
const KNOWN: &[&str] =
    &["sleepOrWakeupControlPlaneOutputs", "etcdCheckoutOutputs", "findLeaderOutputs"];
/// Of an output for people; JSON has all of it.
const SHOWN_CHARS: usize = 200;
/// No word of a harmless line is that long.
const LONG_WORD_CHARS: usize = 64;
/// Names of keys and tokens, of bundles, of signatures in URLs.
const MARKS: &[&str] = &[
    "BEGIN ",
    "PRIVATE KEY",
    "AGE-SECRET-KEY",
    "age-encryption.org",
    "sakey",
    "frontkey",
    "oss_url",
    "LTAI",
    "STS.",
    "AKIA",
    "AccessKey",
    "access-key",
    "SecurityToken",
    "security-token",
    "ignature=",
    "assword",
    "ASSWORD",
    "asswd",
    "ecret",
    "ECRET",
    "oken=",
    "TOKEN=",
];

/// Of `create`.
pub fn made(made: &TemplateInfo, format: Format) -> String {
    let change = match made.change {
        Change::Created => "created",
        Change::Updated => "updated",
        Change::Unchanged => "unchanged",
    };
    let result = json!({"template": made.name, "version": made.version, "change": change});
    fields::render(&result, format, || {
        format!("{} {} is {change}\n", one_line(&made.name), one_line(&made.version))
    })
}

/// Of `start`: for people and scripts the id alone.
pub fn started(id: &str, format: Format) -> String {
    fields::render(&json!({"execution_id": id}), format, || format!("{id}\n"))
}

/// Of `cancel`.
pub fn cancelled(id: &str, format: Format) -> String {
    let result = json!({"execution_id": id, "cancelled": true});
    fields::render(&result, format, || format!("{} is to be cancelled\n", one_line(id)))
}

/// One line while it runs.
pub fn progress(execution: &Execution) -> String {
    let mut line = format!("{}: {}", execution.id, execution.status);
    let counters = counters(execution);
    if !counters.is_empty() {
        let _ = write!(line, " ({counters})");
    }
    let current: Vec<&str> =
        execution.current_tasks.iter().map(|task| task.name.as_str()).collect();
    if !current.is_empty() {
        let _ = write!(line, ", at {}", current.join(", "));
    }
    one_line(&line)
}

/// Of `watch`.
pub fn watched(
    execution: &Execution,
    failed: &[TaskExecution],
    bundle: Option<&Path>,
    format: Format,
) -> String {
    let current = execution.current_tasks.iter();
    let current = current.map(|task| json!({"name": task.name, "action": task.action}));
    let failed_json = failed.iter().map(|task| {
        json!({"name": task.name, "action": task.action, "status_message": message(&task.status_message)})
    });
    let result = json!({
        "execution_id": execution.id,
        "status": execution.status,
        "status_message": message(&execution.status_message),
        "template": execution.template,
        "template_version": execution.version,
        "started": execution.started,
        "ended": execution.ended,
        "counters": execution.counters.0,
        "current_tasks": current.collect::<Vec<_>>(),
        "failed_tasks": failed_json.collect::<Vec<_>>(),
        "outputs": outputs(execution),
        "bundle_file": bundle.map(|file| file.to_string_lossy()),
    });
    fields::render(&result, format, || summary(execution, failed, bundle))
}

fn summary(execution: &Execution, failed: &[TaskExecution], bundle: Option<&Path>) -> String {
    let mut rows: Vec<Row> = Vec::new();
    let told = [
        ("why", message(&execution.status_message)),
        ("template", Some(format!("{} {}", execution.template, execution.version))),
        ("started", execution.started.clone()),
        ("ended", execution.ended.clone()),
        ("tasks", Some(counters(execution)).filter(|text| !text.is_empty())),
    ];
    rows.extend(told.into_iter().filter_map(|(name, text)| Some((name, one_line(&text?)))));
    for task in failed {
        let why = message(&task.status_message).unwrap_or_default();
        rows.push(("failed", one_line(&format!("{} ({}) {why}", task.name, task.action))));
    }
    let shown = outputs(execution);
    for (name, value) in shown.as_object().into_iter().flatten() {
        let line: String = value.to_string().chars().take(SHOWN_CHARS).collect();
        rows.push(("output", one_line(&format!("{name}: {line}"))));
    }
    rows.extend(bundle.map(|file| ("bundle", path(file))));
    text(&format!("{}: {}", execution.id, execution.status), &rows)
}

fn counters(execution: &Execution) -> String {
    let counted = execution.counters.0.iter().filter(|(_, count)| **count > 0);
    counted.map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}

fn message(told: &Option<String>) -> Option<String> {
    told.as_deref().map(harmless)
}

/// What is not known is left out whatever it looks like, but one sees which hosts gave something.
fn outputs(execution: &Execution) -> Value {
    let shown = execution
        .outputs
        .iter()
        .map(|(name, value)| (harmless(name), redacted(value, KNOWN.contains(&name.as_str()))));
    Value::Object(shown.collect())
}

fn redacted(value: &Value, is_known: bool) -> Value {
    match value {
        Value::String(text) if text.trim().is_empty() => value.clone(),
        Value::String(text) if is_known => harmless(text).into(),
        Value::String(_) => REDACTED.into(),
        Value::Array(values) => values.iter().map(|value| redacted(value, is_known)).collect(),
        Value::Object(members) => {
            let shown = members.iter().map(|(name, value)| {
                let is_known = is_known && !is_secret(name);
                let name = if is_known { name.clone() } else { REDACTED.to_owned() };
                (name, redacted(value, is_known))
            });
            Value::Object(shown.collect())
        }
        Value::Number(_) if !is_known => REDACTED.into(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn harmless(text: &str) -> String {
    if is_secret(text) { REDACTED.to_owned() } else { text.to_owned() }
}

fn is_secret(text: &str) -> bool {
    let is_packed = |c: char| c.is_ascii_alphanumeric() || "+/=_-".contains(c);
    let mut words = text.split(|c: char| !is_packed(c));
    MARKS.iter().any(|mark| text.contains(mark)) || words.any(|word| word.len() >= LONG_WORD_CHARS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::migrate::contract::{SECRET, execution, failed_task};

    #[test]
    fn bundles_keys_and_presigned_urls_are_left_out() {
        for text in [
            "{\"sakey\":\"x\"}",
            "https://b.oss-cn-hangzhou.aliyuncs.com/k?x-oss-signature=abc",
            "https://b/k?OSSAccessKeyId=x&Expires=1&Signature=abc",
            "-----BEGIN RSA PRIVATE KEY-----",
            "-----BEGIN AGE ENCRYPTED FILE-----\nabc",
            "+ /tmp/ossutil64 -t CAIS -i STS.NTabc -k abc",
            "export ALIBABA_CLOUD_ID=LTAI5tabc",
            "Password: x",
            "CLIENT_SECRET=x",
            "--token=x",
            &"QUJD".repeat(16),
        ] {
            assert_eq!(harmless(text), REDACTED, "{text}");
        }
        for text in
            ["The control plane is sleeping now.", "i-bp1a2b3c4d5e6f7g8h9i", "moved 3 files"]
        {
            assert_eq!(harmless(text), text);
        }
    }

    #[test]
    fn outputs_that_nobody_knows_are_left_out_however_short() {
        let members = serde_json::json!({
            "findLeaderOutputs": ["i-1 leads", "", 5, {"a": "b", "sakey": "c"}],
            "readSignOutputs": ["", "x"],
            "theirs": ["pw1", 4711, "", null, true, {"pw2": "pw3"}],
            "other": "pw4",
        });
        let given = members.as_object().cloned().unwrap_or_default().into_iter().collect();
        let shown = outputs(&Execution { outputs: given, ..execution() });
        let expected = serde_json::json!({
            "findLeaderOutputs": ["i-1 leads", "", 5, {"a": "b", REDACTED: REDACTED}],
            "readSignOutputs": ["", REDACTED],
            "theirs": [REDACTED, REDACTED, "", null, true, {REDACTED: REDACTED}],
            "other": REDACTED,
        });
        assert_eq!(shown, expected);
    }

    #[test]
    fn no_form_shows_the_bundle() {
        for format in [Format::Simple, Format::Json, Format::Table, Format::Fields] {
            let text = watched(&execution(), &[failed_task()], None, format);
            assert!(!text.contains(SECRET), "{text}");
            assert!(
                text.contains("m1 sleeps") && text.contains("sleepOrWakeupControlPlane"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_line_tells_how_far_it_is() {
        let line = progress(&execution());
        assert_eq!(line, "exec-1: Failed (Failed 1, Success 2, Total 3), at rollback");
    }
}
