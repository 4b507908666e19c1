//! The result of `migrate run` and `migrate resume`: the bundle, handed out.

use std::fmt::Write;

use etcdprefix_migrate::flow::HandedOut;
use serde_json::{Value, json};

use super::state::seconds_clock;
use super::{Row, phases, redacted, snapshot_rows, text, time, warnings};
use crate::args::Format;
use crate::output::fields;
use crate::output::text::path;

/// What goes to stdout; with `print_bundle` keys and URL too, for people nothing else.
pub fn render(handed: &HandedOut, cluster_id: &str, print_bundle: bool, format: Format) -> String {
    let result = json(handed, print_bundle);
    fields::render(&result, format, || match print_bundle {
        true => format!("{}\n", *handed.bundle.to_json()),
        false => summary(handed, cluster_id),
    })
}

/// The template's names first.
fn json(handed: &HandedOut, print_bundle: bool) -> Value {
    let mut outputs = handed.outputs.clone();
    if print_bundle {
        outputs.read_sign_outputs = vec![handed.bundle.to_json().to_string()];
    }
    let mut result = serde_json::to_value(outputs).unwrap_or_default();
    let ours = json!({
        "run": handed.run,
        "bundle_file": handed.bundle_file.to_string_lossy(),
        "encrypted": handed.encrypted,
        "oss_url": redacted(handed.bundle.oss_url.reveal()),
        "url_ends": time(handed.url_ends_ms),
        "snapshot": handed.snapshot,
        "snapshot_host": handed.snapshot_host,
        "outage_seconds": handed.outage_seconds,
        "phases": handed.phases,
        "warnings": handed.warnings,
    });
    if let (Value::Object(members), Value::Object(ours)) = (&mut result, ours) {
        members.extend(ours);
    }
    result
}

/// For people.
pub fn summary(handed: &HandedOut, cluster_id: &str) -> String {
    let headline = format!("{cluster_id} is handed out: its control plane sleeps for good");
    let mut text = text(&headline, &rows(handed));
    let _ = write!(text, "\n{}", phases(&handed.phases));
    warnings(&mut text, &handed.warnings);
    text.push_str(
        "\nnext: start the managed side with the bundle; etcdprefix migrate aftercare, \
         then etcdprefix migrate finish\n",
    );
    text
}

fn rows(handed: &HandedOut) -> Vec<Row> {
    let form = if handed.encrypted { "encrypted" } else { "keys and URL in clear: a secret" };
    let ends = time(handed.url_ends_ms).unwrap_or_default();
    let outage = seconds_clock(handed.outage_seconds);
    let mut rows = vec![
        ("bundle", format!("{} ({form})", path(&handed.bundle_file))),
        ("URL", format!("{}, until {ends}", redacted(handed.bundle.oss_url.reveal()))),
        (
            "outage",
            format!(
                "{outage} from the first sleep to the URL; it ends when the managed side answers"
            ),
        ),
    ];
    rows.extend(snapshot_rows(&handed.snapshot, &handed.snapshot_host));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::migrate::contract::{SECRET, handed};

    #[test]
    fn no_form_shows_what_is_in_the_bundle() {
        for format in [Format::Simple, Format::Table, Format::Json, Format::Fields] {
            let text = render(&handed(), "c1", false, format);
            assert!(!text.contains(SECRET), "{text}");
            assert!(text.contains("bundle.json") && text.contains("?[redacted]"), "{text}");
        }
    }

    #[test]
    fn json_has_the_templates_names_first() {
        let json: Value =
            serde_json::from_str(&render(&handed(), "c1", false, Format::Json)).unwrap();
        let names: Vec<&String> = json.as_object().unwrap().keys().collect();
        assert_eq!(
            names[..5],
            [
                "sleepOrWakeupControlPlaneOutputs",
                "etcdCheckoutOutputs",
                "findLeaderOutputs",
                "readSignOutputs",
                "run"
            ]
        );
        assert_eq!(json["readSignOutputs"][0], "bundle.json");
        assert_eq!(json["url_ends"], "2023-11-14T22:13:20Z");
    }

    #[test]
    fn a_bundle_that_is_asked_for_is_all_that_people_get() {
        let text = render(&handed(), "c1", true, Format::Simple);
        let bundle: Value = serde_json::from_str(&text).unwrap();
        let names: Vec<&String> = bundle.as_object().unwrap().keys().collect();
        assert_eq!(names, ["sakey", "sapub", "frontcrt", "frontkey", "oss_url"]);
        let json: Value =
            serde_json::from_str(&render(&handed(), "c1", true, Format::Json)).unwrap();
        assert_eq!(format!("{}\n", json["readSignOutputs"][0].as_str().unwrap()), text);
        assert!(!json["oss_url"].as_str().unwrap().contains(SECRET));
    }

    #[test]
    fn people_are_told_the_outage_and_what_is_next() {
        let text = render(&handed(), "c1", false, Format::Simple);
        assert!(text.contains("1:23 from the first sleep to the URL"), "{text}");
        assert!(text.contains("| sleep        |    12.0 |"), "{text}");
        assert!(text.contains("migrate finish"), "{text}");
    }
}
