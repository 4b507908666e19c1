//! A result's JSON, and the same flattened to names and values.

use std::path::{Path, PathBuf};

use comfy_table::presets::ASCII_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use etcdprefix_core::Outcome;
use serde_json::Value;

use crate::args::Format;
use crate::output::text;

/// A result in the form asked for; for people it is told by `simple`.
pub fn render(result: &Value, format: Format, simple: impl FnOnce() -> String) -> String {
    match format {
        Format::Simple => simple(),
        Format::Table => table(result),
        Format::Json => result.to_string() + "\n",
        Format::Fields => lines(result),
    }
}

fn lines(result: &Value) -> String {
    let fields = of(result).into_iter();
    let lines = fields.map(|(name, value)| format!("{} : {value}\n", Value::from(name)));
    lines.collect()
}

fn table(result: &Value) -> String {
    let mut table = Table::new();
    table.load_style(ASCII_FULL_CONDENSED);
    table.set_header(["NAME", "VALUE"]);
    for (name, value) in of(result) {
        let value = value.as_str().map_or_else(|| value.to_string(), text::one_line);
        table.add_row([text::one_line(&name), value]);
    }
    if let Some(values) = table.column_mut(1) {
        values.set_cell_alignment(CellAlignment::Right);
    }
    format!("{table}\n")
}

/// The outcome as docs/cli-contract.md shows it.
pub fn json(outcome: &Outcome) -> Value {
    // serde refuses paths that are no UTF-8; nothing else of an outcome can fail.
    let mut outcome = outcome.clone();
    outcome.db = lossy(&outcome.db);
    outcome.output = outcome.output.as_deref().map(lossy);
    serde_json::to_value(&outcome).unwrap_or_default()
}

fn lossy(path: &Path) -> PathBuf {
    path.to_string_lossy().into_owned().into()
}

/// Every member, nested names joined by dots. An element of a list is named by its own name
/// (`phases.plan`) or else by its position (`warnings.0`).
pub fn of(result: &Value) -> Vec<(String, Value)> {
    let mut fields = Vec::new();
    flatten(String::new(), result, &mut fields);
    fields
}

/// Recursion ends soon: a result nests three levels deep.
fn flatten(name: String, value: &Value, fields: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(members) => {
            for (member, value) in members {
                flatten(join(&name, member), value, fields);
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                let (own, value) = named(element).unwrap_or((index.to_string(), element));
                flatten(join(&name, &own), value, fields);
            }
        }
        _ => fields.push((name, value.clone())),
    }
}

/// A name and a value, if that is all the element has.
fn named(element: &Value) -> Option<(String, &Value)> {
    let mut members = element.as_object()?.values();
    match (members.next(), members.next(), members.next()) {
        (Some(Value::String(name)), Some(value), None) => Some((name.clone(), value)),
        _ => None,
    }
}

fn join(outer: &str, inner: &str) -> String {
    if outer.is_empty() { inner.to_owned() } else { format!("{outer}.{inner}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::sample;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn a_path_that_is_no_text_is_no_reason_to_lose_the_result() {
        let mut outcome = sample::in_place();
        outcome.db = OsStr::from_bytes(b"a\xff.db").into();
        outcome.output = Some(outcome.db.clone());
        let value = json(&outcome);
        assert_eq!(value["db"], "a\u{fffd}.db");
        assert_eq!(value["output"], "a\u{fffd}.db");
        assert_eq!(value["records"], 1080);
    }
}
