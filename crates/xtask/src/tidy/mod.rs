//! The house rules that neither rustc nor clippy knows; each finding names file and line.

mod code;
mod hazards;
mod text;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Folders that hold no text of ours.
const SKIPPED: &[&str] = &["target", ".git", "corpus", "artifacts"];

/// One file of the repository, with its path as rules name it.
struct File {
    path: String,
    text: String,
}

/// Checks the whole work tree and fails with all findings.
pub fn check(root: &Path) -> Result<()> {
    let files = text_files(root)?;
    let mut findings = hazards::check(&files);
    for file in &files {
        findings.extend(text::check(file));
        if file.path.ends_with(".rs") {
            findings.extend(code::check(file));
        }
    }
    if findings.is_empty() {
        println!("tidy: {} files keep the rules", files.len());
        return Ok(());
    }
    for finding in &findings {
        println!("{finding}");
    }
    bail!("tidy: {} findings", findings.len())
}

fn text_files(root: &Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let listing = fs::read_dir(&folder);
        for entry in listing.with_context(|| format!("cannot list {}", folder.display()))? {
            let entry = entry?;
            let name = entry.file_name();
            let kind = entry.file_type()?;
            if kind.is_dir() && !SKIPPED.iter().any(|skipped| name == *skipped) {
                folders.push(entry.path());
            } else if kind.is_file() {
                files.extend(text_file(root, entry.path())?);
            }
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}

/// Snapshots and other binary files are no text and are passed over.
fn text_file(root: &Path, path: PathBuf) -> Result<Option<File>> {
    let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
    Ok(String::from_utf8(bytes).ok().map(|text| File { path: name, text }))
}
