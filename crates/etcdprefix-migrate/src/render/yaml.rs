//! YAML of JSON's values: every text in quotes, so that none is taken for something else.

use std::fmt::Write;

use serde_json::Value;

/// A document, beginning with its `---`. Texts of several lines are shown as lines; nothing but `\n`
/// may end one.
pub fn document(value: &Value) -> String {
    let mut text = String::from("---\n");
    block(&mut text, value, 0);
    text
}

fn block(text: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                indent(text, depth);
                let _ = write!(text, "{}:", key(name));
                member(text, value, depth);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| item(text, element, depth)),
        scalar => {
            let _ = writeln!(text, "{}", json(scalar));
        }
    }
}

fn member(text: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            text.push('\n');
            block(text, value, depth + 1);
        }
        Value::Array(elements) if elements.iter().any(|element| !is_scalar(element)) => {
            text.push('\n');
            block(text, value, depth + 1);
        }
        Value::String(lines) if lines.contains('\n') && lines.ends_with('\n') => {
            text.push_str(" |\n");
            for line in lines.lines() {
                indent(text, depth + 1);
                let _ = writeln!(text, "{line}");
            }
        }
        scalars => {
            let _ = writeln!(text, " {}", json(scalars));
        }
    }
}

/// An element of a list that is not all scalars; the first member stands behind the dash.
fn item(text: &mut String, element: &Value, depth: usize) {
    let mut inner = String::new();
    block(&mut inner, element, depth + 1);
    indent(text, depth);
    let _ = write!(text, "- {}", inner.trim_start());
}

fn is_scalar(value: &Value) -> bool {
    !matches!(value, Value::Object(_) | Value::Array(_))
}

/// What JSON leaves as it is though YAML can't print it is escaped.
fn json(value: &Value) -> String {
    let odd = |c: char| {
        matches!(
            c,
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
        )
    };
    let text = value.to_string();
    text.chars().fold(String::new(), |mut done, c| {
        let _ = if odd(c) { write!(done, "\\u{:04x}", c as u32) } else { write!(done, "{c}") };
        done
    })
}

/// Names that are words need no quotes.
fn key(name: &str) -> String {
    let word = |c: char| c.is_ascii_alphanumeric() || "./-_".contains(c);
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(word);
    // Some readers take these for truth values.
    let odd = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    if plain && !odd.contains(&name.to_ascii_lowercase().as_str()) {
        name.to_owned()
    } else {
        json(&Value::from(name))
    }
}

fn indent(text: &mut String, depth: usize) {
    text.push_str(&"  ".repeat(depth));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_document_is_what_it_was_made_of() {
        let value = json!({
            "apiVersion": "v1",
            "on": "yes",
            "count": 3,
            "flag": false,
            "none": null,
            "empty": {},
            "words": ["a: b", "# c", "\"'\\", "- x", "é\u{7f}", ""],
            "rows": [{"name": "a", "list": [1, 2]}, {"name": "b", "deep": {"er": [{"x": 1}]}}],
            "data": {"lines": "oss://a b\n# c: \"\n", "0": "two\nlines"},
        });
        let text = document(&value);
        let read: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(read, value, "{text}");
        assert!(text.contains("  lines: |\n    oss://a b\n    # c: \"\n"), "{text}");
    }
}
