//! What a check has to say.

mod code;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::units::Pgid;

pub use code::{FindingCode, Level};

/// Findings kept of each code; the totals are exact beyond it, so a hostile file makes no huge
/// report.
pub const KEPT_PER_CODE: u64 = 20;

/// One fault and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it means for the file.
    pub level: Level,
    /// The kind of fault.
    pub code: FindingCode,
    /// The page.
    #[serde(rename = "page")]
    pub pgid: Option<Pgid>,
    /// The bucket, nested ones joined by `/`; empty for the root bucket, `None` outside of all
    /// trees.
    pub bucket: Option<String>,
    /// What is wrong, for a person. No keys but in hexadecimal, no values at all.
    pub detail: String,
}

impl Finding {
    /// A finding about the file as a whole.
    pub(super) fn new(code: FindingCode, detail: impl Into<String>) -> Self {
        Self { level: code.level(), code, pgid: None, bucket: None, detail: detail.into() }
    }

    /// The same about a bucket.
    pub(super) fn in_bucket(self, bucket: impl Into<String>) -> Self {
        Self { bucket: Some(bucket.into()), ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(pgid) = self.pgid {
            write!(f, "page {pgid}: ")?;
        }
        f.write_str(&self.detail)?;
        match self.bucket.as_deref() {
            None | Some("") => Ok(()),
            Some(bucket) => write!(f, " (bucket {bucket})"),
        }
    }
}

/// Findings in the order they were made, with exact totals.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// At most [`KEPT_PER_CODE`] of each code.
    pub kept: Vec<Finding>,
    /// How many there are of each code.
    pub totals: BTreeMap<FindingCode, u64>,
}

impl Findings {
    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.totals.is_empty()
    }

    /// How many there are, kept or not.
    pub fn total(&self) -> u64 {
        self.totals.values().sum()
    }

    /// How many of that level there are, kept or not.
    pub fn total_of(&self, level: Level) -> u64 {
        let of_level = self.totals.iter().filter(|(code, _)| code.level() == level);
        of_level.map(|(_, total)| total).sum()
    }

    /// The first finding and the number of all, on one line; `None` if there are none.
    pub fn summary(&self) -> Option<String> {
        let first = self.kept.first()?;
        Some(match self.total() {
            1 => first.to_string(),
            total => format!("{first}, and {} more", total - 1),
        })
    }

    /// `finding` is only made if it is to be kept.
    pub(super) fn add(&mut self, code: FindingCode, finding: impl FnOnce() -> Finding) {
        let total = self.totals.entry(code).or_default();
        *total += 1;
        if *total <= KEPT_PER_CODE {
            self.kept.push(finding());
        }
    }

    /// Adds a finding that is there already.
    pub(super) fn push(&mut self, finding: Finding) {
        self.add(finding.code, || finding);
    }

    /// Adds those of another part of the same check.
    pub(super) fn append(&mut self, other: Self) {
        for finding in other.kept {
            let kept = self.kept.iter().filter(|kept| kept.code == finding.code).count();
            if (kept as u64) < KEPT_PER_CODE {
                self.kept.push(finding);
            }
        }
        for (code, total) in other.totals {
            *self.totals.entry(code).or_default() += total;
        }
    }

    /// Puts errors before warnings, each in the order they were made.
    pub(super) fn sort(&mut self) {
        self.kept.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    }
}
