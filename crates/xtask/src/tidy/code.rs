//! Rules for Rust files: size, where unsafe may stand, which way the core's folders may depend.

use super::File;
use super::text::holds_word;

/// Function length (70 lines) is clippy's, by clippy.toml.
const LINES_PER_FILE: usize = 600;

/// The one file with unsafe blocks: the read-only map.
const UNSAFE_FILE: &str = "crates/etcdprefix-core/src/read/map.rs";

/// The flow of data in the core: a folder must not use the ones named after it. `verify` stands
/// apart: it must never use the writer, which it has to be able to convict.
const ONE_WAY: &[(&str, &[&str])] = &[
    ("format", &["read", "rewrite", "save", "verify"]),
    ("read", &["rewrite", "save", "verify"]),
    ("rewrite", &["save", "verify"]),
    ("save", &["verify"]),
    ("verify", &["save"]),
];

pub fn check(file: &File) -> Vec<String> {
    let mut findings = Vec::new();
    let count = file.text.lines().count();
    if count > LINES_PER_FILE {
        findings.push(format!("{}: {count} lines, the limit is {LINES_PER_FILE}", file.path));
    }
    findings.extend(unsafe_outside_the_map(file));
    findings.extend(against_the_flow(file));
    findings
}

fn unsafe_outside_the_map(file: &File) -> Vec<String> {
    if file.path == UNSAFE_FILE {
        return Vec::new();
    }
    let lines = file.text.lines().enumerate();
    lines
        .filter(|(_, line)| opens_unsafe(without_comment(line)))
        .map(|(index, _)| format!("{}:{}: unsafe outside {UNSAFE_FILE}", file.path, index + 1))
        .collect()
}

/// Words in strings (this very rule's) are no unsafe code; a block, a function or an impl is.
fn opens_unsafe(line: &str) -> bool {
    let followers = ["{", "fn", "impl", "trait", "extern"];
    followers.iter().any(|follower| holds_word(line, &format!("unsafe {follower}")))
}

fn against_the_flow(file: &File) -> Vec<String> {
    let Some(inner) = file.path.strip_prefix("crates/etcdprefix-core/src/") else {
        return Vec::new();
    };
    let folder = inner.split(['/', '.']).next().unwrap_or_default();
    let Some((_, banned)) = ONE_WAY.iter().find(|(name, _)| *name == folder) else {
        return Vec::new();
    };
    let used = crate_modules(&file.text);
    let wrong = banned.iter().filter(|name| used.iter().any(|module| module == *name));
    wrong.map(|name| format!("{}: {folder} must not use {name}", file.path)).collect()
}

/// The top modules that a file names through `crate::` or a chain of `super::`.
fn crate_modules(text: &str) -> Vec<String> {
    let code: Vec<&str> = text.lines().map(without_comment).collect();
    let code: String = code.concat().split_whitespace().collect();
    ["crate::", "super::"]
        .iter()
        .flat_map(|start| code.match_indices(start))
        .flat_map(|(at, start)| first_segments(&code[at + start.len()..]))
        .collect()
}

/// `a::b` gives a; `{a::b,c}` gives a and c.
fn first_segments(path: &str) -> Vec<String> {
    let Some(group) = path.strip_prefix('{') else {
        return vec![segment(path)];
    };
    let mut names = Vec::new();
    let mut depth = 0usize;
    let mut start = 0;
    for (at, sign) in group.char_indices() {
        match sign {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                names.push(segment(&group[start..at]));
                start = at + 1;
                if sign == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    names
}

fn segment(path: &str) -> String {
    path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn without_comment(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), text: text.into() }
    }

    #[test]
    fn the_verifier_may_not_use_the_writer() {
        let path = "crates/etcdprefix-core/src/verify/structure.rs";
        for text in [
            "use crate::save::bulk;",
            "use crate::{format::page::{Kind, Page},\n    save::Sink};",
            "fn f() { super::super::save::go() }",
        ] {
            assert_eq!(check(&file(path, text)).len(), 1, "{text}");
        }
        for text in ["// crate::save is banned", "use crate::{format::save, read};"] {
            assert!(check(&file(path, text)).is_empty(), "{text}");
        }
    }

    #[test]
    fn unsafe_stands_only_in_the_map() {
        let text = concat!("let x = un", "safe { y };");
        assert_eq!(check(&file("crates/xtask/src/a.rs", text)).len(), 1);
        assert!(check(&file(UNSAFE_FILE, text)).is_empty());
    }

    #[test]
    fn long_files_are_found() {
        let text = "\n".repeat(LINES_PER_FILE + 1);
        assert_eq!(check(&file("crates/xtask/src/a.rs", &text)).len(), 1);
    }
}
