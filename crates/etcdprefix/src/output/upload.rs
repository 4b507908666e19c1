//! What a command tells of an output that it sent to an object store.

use std::fmt::Write;

use serde_json::Value;

/// An object that is there.
#[derive(Clone, Debug)]
pub struct Upload {
    /// As docs/cli-contract.md has it.
    pub json: Value,
    /// Labels and lines.
    pub rows: Vec<(&'static str, String)>,
}

impl Upload {
    /// Adds it to a result.
    pub fn join(upload: Option<&Self>, result: &mut Value) {
        if let (Some(upload), Value::Object(members)) = (upload, result) {
            members.insert("upload".into(), upload.json.clone());
        }
    }

    /// Adds it to a text for people.
    pub fn tell(upload: Option<&Self>, text: &mut String) {
        for (label, line) in upload.iter().flat_map(|upload| &upload.rows) {
            let _ = writeln!(text, "{label:<12} {line}");
        }
    }
}
