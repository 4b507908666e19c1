//! Lines of a document in block style.

use crate::hosted::fragment::Fragment;

/// The document with another `spec.etcd`. Comments stay, those between the old lines before the new ones.
///
/// # Errors
/// If `spec` or `spec.etcd` is not written in lines of its own.
pub fn replaced(text: &str, fragment: &Fragment<'_>) -> Result<String, String> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let spec = lines.iter().position(|line| is_key(line, 0, "spec"));
    let spec = spec.ok_or("its spec is not written in lines of its own")?;
    let inner = lines[spec + 1..].iter().find(|line| !is_beside(line));
    let indent = inner.map(|line| indent_of(line)).filter(|indent| *indent > 0);
    let indent = indent.ok_or("its spec has nothing in it")?;
    let of_spec =
        lines[spec + 1..].iter().take_while(|line| is_beside(line) || indent_of(line) > 0);
    let limit = spec + 1 + of_spec.count();
    let etcd = (spec + 1..limit).find(|index| is_key(lines[*index], indent, "etcd"));
    let (start, stop) = match etcd {
        Some(etcd) => (etcd + 1, end_of(&lines, etcd + 1, limit, indent)),
        None => (spec + 1, spec + 1),
    };
    let mut new = lines[..start].concat();
    if etcd.is_none() {
        new.push_str(&format!("{:indent$}etcd:{end}", ""));
    }
    for comment in lines[start..stop].iter().filter(|line| line.trim_start().starts_with('#')) {
        new.push_str(comment);
    }
    fragment.lines(indent + 2).iter().for_each(|line| new.push_str(&format!("{line}{end}")));
    new.push_str(&lines[stop..].concat());
    Ok(new)
}

/// Behind the last line of what is indented deeper.
fn end_of(lines: &[&str], start: usize, limit: usize, indent: usize) -> usize {
    let deeper = |line: &&str| is_beside(line) || indent_of(line) > indent;
    let count = lines[start..limit].iter().take_while(|line| deeper(line)).count();
    let inside = &lines[start..start + count];
    start + inside.iter().rposition(|line| !is_beside(line)).map_or(0, |last| last + 1)
}

/// A line with this key alone, whose value is in the lines below.
fn is_key(line: &str, indent: usize, key: &str) -> bool {
    let trimmed = line.trim();
    let rest = trimmed.strip_prefix(key).and_then(|rest| rest.strip_prefix(':'));
    let is_alone = |rest: &str| rest.is_empty() || rest.trim_start().starts_with('#');
    indent_of(line) == indent && rest.is_some_and(is_alone)
}

fn is_beside(line: &str) -> bool {
    let trimmed = line.trim();
    trimmed.is_empty() || trimmed.starts_with('#')
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}
