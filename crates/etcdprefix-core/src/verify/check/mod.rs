//! Everything that is wrong with a snapshot, or merely odd: its pages, its records, its seal.
//!
//! One walk over the trees judges every page and hands the leaves of bucket `key` to threads that
//! judge their records; the SHA-256 runs beside it. Whatever is wrong is a finding, and what lies
//! behind a page that can't be read is left out, so one run finds all there is to find.

mod leases;
mod records;
mod seal;
mod store;

use serde::Serialize;

use crate::error::Result;
use crate::outcome::InputTrailer;
use crate::parallel::{join, spawn};
use crate::progress::{Progress, Until, first_fault};
use crate::read::Snapshot;
use crate::verify::findings::{Findings, Level};
use crate::verify::marks::CompactionMarks;
use crate::verify::structure::{Expect, StructureReport, check_structure};

pub use records::RecordCounts;

/// How far a check goes. Each depth includes those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// Pages: metas, freelist, every tree, every byte. Reads the file once, on one core.
    Structure,
    /// And what etcd keeps in them: records, leases, the store's own numbers. Decoding takes another
    /// core meanwhile.
    Records,
    /// And the SHA-256 trailer: one pass of SHA-256 over the file, the longest part.
    #[default]
    Full,
}

/// What a check found.
#[derive(Clone, Debug)]
pub struct CheckReport {
    /// What is wrong, errors first.
    pub findings: Findings,
    /// The pages; its own findings have moved to `findings`.
    pub structure: StructureReport,
    /// The trailer, if it was looked at.
    pub trailer: Option<InputTrailer>,
    /// What is in the pages, if that was looked at.
    pub records: Option<RecordCounts>,
    /// How far the store is compacted, if that was looked at.
    pub compaction: Option<CompactionMarks>,
}

impl CheckReport {
    /// Whether there is no error; there may be warnings.
    pub fn is_sound(&self) -> bool {
        self.findings.total_of(Level::Error) == 0
    }
}

/// Checks `snapshot` on about `threads` threads. The caller begins the phase; `pages_bytes()` are
/// reported, twice with [`Depth::Full`].
///
/// Memory: two bits a page, 8 bytes a lease up to 64 MiB, and 64 MiB for keys, above that a
/// temporary file of 24 bytes a key; a page run a thread if the file is not mapped.
///
/// # Errors
/// I/O, interrupted, or changed while it was read. Whatever is wrong with the file is a finding.
pub fn check(
    snapshot: &Snapshot,
    depth: Depth,
    threads: usize,
    progress: &dyn Progress,
) -> Result<CheckReport> {
    let until = Until::shown(progress);
    let (content, seal) = std::thread::scope(|scope| {
        let seal = || spawn(scope, || until.fails(seal::check(snapshot, &until)));
        let seal = (depth == Depth::Full).then(seal);
        let content = until.fails(content(snapshot, depth, threads, &until));
        (content, seal.map(|seal| seal.and_then(join)).transpose())
    });
    let (mut report, seal) = first_fault(content, seal)?;
    if let Some((trailer, findings)) = seal {
        report.trailer = Some(trailer);
        report.findings.append(findings);
    }
    snapshot.unchanged()?;
    report.findings.sort();
    Ok(report)
}

fn content(
    snapshot: &Snapshot,
    depth: Depth,
    threads: usize,
    progress: &dyn Progress,
) -> Result<CheckReport> {
    if depth == Depth::Structure {
        let mut structure = check_structure(snapshot, Expect::Accounted, progress)?;
        let findings = std::mem::take(&mut structure.findings);
        return Ok(CheckReport {
            findings,
            structure,
            trailer: None,
            records: None,
            compaction: None,
        });
    }
    let store = store::read(snapshot)?;
    let (mut structure, counts, found) =
        records::check(snapshot, &store.leases, threads, progress)?;
    let mut findings = std::mem::take(&mut structure.findings);
    let compaction = Some(store.compaction);
    findings.append(store.findings(findings.is_empty()));
    findings.append(found);
    Ok(CheckReport { findings, structure, trailer: None, records: Some(counts), compaction })
}
