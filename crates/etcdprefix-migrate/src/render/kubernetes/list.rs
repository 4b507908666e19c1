//! The list of snapshots to rewrite: one a line.

use std::collections::HashSet;

use etcdprefix_core::Unmatched;
use etcdprefix_core::rewrite::PrefixRule;
use etcdprefix_store::{Location, ObjectLocation};

use crate::cluster_id::ClusterId;
use crate::error::{Error, Result};

/// One snapshot, rewritten by one index of a Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Where it is.
    pub source: ObjectLocation,
    /// Where the rewritten one goes.
    pub output: ObjectLocation,
    /// The new prefix of its keys, with its slash.
    pub dest_prefix: String,
}

impl Task {
    /// Of the three words of a line; `dest` is a prefix, which begins with a slash, or a cluster's id.
    ///
    /// # Errors
    /// [`Error::Usage`] for what can't be a place, a prefix or an id, or can't stand in a list.
    pub fn new(source: &str, output: &str, dest: &str) -> Result<Self> {
        Ok(Self { source: object(source)?, output: object(output)?, dest_prefix: prefix_of(dest)? })
    }

    /// The line without its end.
    pub fn line(&self) -> String {
        format!("{} {} {}", self.source, self.output, self.dest_prefix)
    }
}

/// The tasks of a text: blank lines and those that begin with `#` say nothing.
///
/// # Errors
/// [`Error::Usage`] with the line's number.
pub fn parse(text: &str) -> Result<Vec<Task>> {
    let mut tasks = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let words: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
        if words.first().is_none_or(|word| word.starts_with('#')) {
            continue;
        }
        let [source, output, dest] = words[..] else {
            let why = format!(
                "line {}: {} words: it takes a source's URL, a destination's URL, and a prefix or \
                 cluster id",
                index + 1,
                words.len()
            );
            return Err(Error::Usage(why));
        };
        let task = Task::new(source, output, dest);
        tasks.push(task.map_err(|error| Error::Usage(format!("line {}: {error}", index + 1)))?);
    }
    Ok(tasks)
}

/// What no line shows by itself: an object that would be made twice, or read while it is made.
///
/// # Errors
/// [`Error::Usage`] with the object.
pub fn check(tasks: &[Task]) -> Result<()> {
    if tasks.is_empty() {
        return Err(Error::Usage("the list is empty: there is nothing to rewrite".into()));
    }
    let sources: HashSet<&ObjectLocation> = tasks.iter().map(|task| &task.source).collect();
    let mut outputs = HashSet::new();
    for output in tasks.iter().map(|task| &task.output) {
        if !outputs.insert(output) {
            return Err(Error::Usage(format!("{output} would be made twice")));
        }
        if sources.contains(output) {
            return Err(Error::Usage(format!("{output} is a source too: no snapshot is replaced")));
        }
    }
    Ok(())
}

fn object(url: &str) -> Result<ObjectLocation> {
    plain(url)?;
    let usage = |error: etcdprefix_store::Error| Error::Usage(error.to_string());
    match url.parse::<Location>().map_err(usage)? {
        Location::Object(location) => {
            location.object_key().map_err(usage)?;
            Ok(location)
        }
        Location::File(_) => {
            Err(Error::Usage(format!("{url:?} is no place in an object store: oss:// or s3://")))
        }
    }
}

/// `/c123`, of that or of `c123`.
///
/// # Errors
/// [`Error::Usage`].
pub fn prefix_of(dest: &str) -> Result<String> {
    plain(dest)?;
    if !dest.starts_with('/') {
        return Ok(dest.parse::<ClusterId>()?.dest_prefix());
    }
    Ok(dest.to_owned())
}

/// Whether one prefix can take the other's place.
pub(super) fn prefix_rule(source: &str, dest: &str) -> Result<()> {
    let rule = PrefixRule::new(source, dest, Unmatched::Keep);
    rule.map(drop).map_err(|error| Error::Usage(error.to_string()))
}

/// What would end a word or a line, for us or for YAML, or could not be seen.
pub(super) fn plain(word: &str) -> Result<()> {
    let odd = |c: char| {
        c.is_control() || c.is_whitespace() || matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}')
    };
    if word.is_empty() || word.chars().any(odd) {
        return Err(Error::Usage(format!(
            "{word:?} is empty or holds white space or control characters"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_two_places_and_a_prefix_or_an_id() {
        let text =
            "# all\n\noss://old/a.db  s3://new/a.db\tc1\r\noss://old/b.db oss://new/b.db /b\n";
        let tasks = parse(text).unwrap();
        let lines: Vec<String> = tasks.iter().map(Task::line).collect();
        assert_eq!(lines, ["oss://old/a.db s3://new/a.db /c1", "oss://old/b.db oss://new/b.db /b"]);
        check(&tasks).unwrap();
    }

    #[test]
    fn hostile_lines_are_refused_by_their_number() {
        for line in [
            "oss://old/a.db oss://new/a.db",
            "oss://old/a.db oss://new/a.db c1 more",
            "oss://old/a.db oss://new/a.db x1",
            "oss://old/a.db oss://new/a.db c1;id",
            "oss://old/a.db oss://new/ c1",
            "oss://old/a.db /new/a.db c1",
            "file:///old oss://new/a.db c1",
            "https://old/a.db?Signature=x oss://new/a.db c1",
            "oss://old/a\u{2028}b.db oss://new/a.db c1",
            "oss://old/a\u{7}b.db oss://new/a.db c1",
            "oss://old/../a.db oss://new/a.db c1",
            "--db oss://new/a.db c1",
        ] {
            let error = parse(&format!("# first\n{line}\n")).unwrap_err().to_string();
            assert!(error.starts_with("line 2: ") && !error.contains("Signature"), "{error}");
        }
    }

    #[test]
    fn no_object_is_made_twice_or_read_while_it_is_made() {
        for (text, words) in [
            ("", "empty"),
            ("s3://bkt/a s3://new/x c1\ns3://bkt/b s3://new/x c2\n", "twice"),
            ("s3://bkt/a s3://bkt/a c1\n", "source too"),
            ("s3://bkt/a s3://bkt/b c1\ns3://bkt/b s3://bkt/c c2\n", "source too"),
        ] {
            let error = check(&parse(text).unwrap()).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
