//! The result of `hashkv`.

use std::fmt::Write;
use std::path::Path;

use etcdprefix_core::verify::{Answering, HashKv, OtherHashKv};
use serde_json::{Value, json};

use crate::args::Format;
use crate::output::fields;
use crate::output::text::path;

/// What goes to stdout.
pub fn render(file: &Path, kv: &HashKv, format: Format) -> String {
    fields::render(&json(file, kv), format, || summary(file, kv))
}

fn json(file: &Path, kv: &HashKv) -> Value {
    let mut result = json!({ "file": file.to_string_lossy() });
    if let (Value::Object(result), Ok(Value::Object(kv))) = (&mut result, serde_json::to_value(kv))
    {
        result.extend(kv);
    }
    result
}

/// Hashes are decimal, as `etcdctl endpoint hashkv` prints them.
fn summary(file: &Path, kv: &HashKv) -> String {
    let mut text = format!(
        "{}: HashKV {} at revision {}{}, {}\n",
        path(file),
        kv.hash,
        kv.hash_revision,
        if kv.hash_revision == kv.revision { " (latest)" } else { "" },
        compacted(kv.compact_revision)
    );
    for OtherHashKv { of, hash, compact_revision } in &kv.alternatives {
        let _ = writeln!(text, "  {hash}, {}: {}", compacted(*compact_revision), whose(*of));
    }
    text
}

fn compacted(revision: i64) -> String {
    if revision < 0 { "not compacted".into() } else { format!("compacted at {revision}") }
}

fn whose(of: Answering) -> &'static str {
    match of {
        Answering::OlderEtcd => "etcd up to 3.4.33 and 3.5.15",
        Answering::FinishedCompaction => "without the compaction that is under way",
        Answering::OlderEtcdFinishedCompaction => {
            "etcd up to 3.4.33 and 3.5.15, without the compaction that is under way"
        }
        Answering::JustCompacted => "etcd from 3.5.16 on, having compacted at that revision since",
    }
}
