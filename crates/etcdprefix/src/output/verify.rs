//! The result of `verify`.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use etcdprefix_core::outcome::{InputTrailer, Verification};
use etcdprefix_core::rewrite::PrefixRule;
use etcdprefix_core::verify::{FileFacts, FilesProof};
use serde_json::{Value, json};

use crate::args::Format;
use crate::output::text::{path, prefix, thousands};
use crate::output::{fields, humanize};

/// Two files and what was proved of them.
pub struct Verified {
    /// Source and output as given.
    pub files: [PathBuf; 2],
    /// The rule between them.
    pub rule: PrefixRule,
    /// The proof.
    pub proof: FilesProof,
}

impl Verified {
    /// What goes to stdout.
    pub fn render(&self, format: Format) -> String {
        fields::render(&self.json(), format, || self.summary())
    }

    fn json(&self) -> Value {
        let FilesProof { proof, source, output } = &self.proof;
        let [source_file, output_file] = &self.files;
        json!({
            "source": facts(source_file, source, proof.status_hash_source),
            "output": facts(output_file, output, proof.status_hash_output),
            "src_prefix": self.rule.src(),
            "dest_prefix": self.rule.dst(),
            "unmatched_mode": self.rule.unmatched(),
            "records": proof.records,
            "renamed": proof.renamed,
            "verification": proof.verification,
        })
    }

    fn summary(&self) -> String {
        let [source, output] = self.files.each_ref().map(|file| path(file));
        let (src, dst) = (prefix(self.rule.src()), prefix(self.rule.dst()));
        let mut text = format!("{output} is {source} with {src} replaced by {dst}\n\n");
        for (label, value) in self.rows() {
            let _ = writeln!(text, "{label:<12} {value}");
        }
        text
    }

    fn rows(&self) -> [(&'static str, String); 7] {
        let FilesProof { proof, source, output } = &self.proof;
        let both =
            |value: fn(&FileFacts) -> String| format!("{} -> {}", value(source), value(output));
        [
            (
                "records",
                format!("{}: {} renamed", thousands(proof.records), thousands(proof.renamed)),
            ),
            ("proof", told(proof.verification).into()),
            (
                "status hash",
                format!("{:x} -> {:x}", proof.status_hash_source, proof.status_hash_output),
            ),
            ("HashKV", both(|facts| format!("{} at {}", facts.hashkv.hash, facts.hashkv.revision))),
            ("trailer", both(|facts| sealed(facts.trailer).into())),
            ("size", both(|facts| humanize::bytes(facts.bytes))),
            ("page size", both(|facts| facts.page_size_bytes.to_string())),
        ]
    }
}

fn facts(file: &Path, facts: &FileFacts, status_hash: u32) -> Value {
    json!({
        "file": file.to_string_lossy(),
        "trailer": facts.trailer,
        "bytes": facts.bytes,
        "page_size_bytes": facts.page_size_bytes,
        "status_hash": format!("{status_hash:x}"),
        "hashkv": facts.hashkv,
    })
}

fn told(verification: Verification) -> &'static str {
    match verification {
        Verification::InverseHash => {
            "compared record by record; the change undone gives the source's status hash"
        }
        _ => "compared record by record",
    }
}

fn sealed(trailer: InputTrailer) -> &'static str {
    match trailer {
        InputTrailer::Verified => "verified",
        InputTrailer::Missing => "none",
        InputTrailer::Mismatch => "WRONG",
    }
}
