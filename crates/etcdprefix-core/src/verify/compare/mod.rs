//! Proves that a written file is its source under a rule.
//!
//! Nothing of the writer is used: records are decoded by [`super::record`], the rule is asked
//! what a key becomes, and the bytes of the output are held against those of the source. What the
//! comparison of single records can't see, a record too many, the totals do: keys rise strictly on
//! both sides, every kept record is found, and the output holds no more than that.

mod buckets;
mod elsewhere;
mod records;

use crate::crc::Crc;
use crate::error::{Error, Result};
use crate::format::trailer::Trailer;
use crate::options::Unmatched;
use crate::outcome::Verification;
use crate::parallel::{join, spawn};
use crate::progress::{Progress, Until, first_fault, step};
use crate::read::Snapshot;
use crate::rewrite::rule::PrefixRule;
use crate::verify::structure::{Expect, StructureReport, check_structure};

use buckets::Comparison;
pub use elsewhere::{Accepted, FileFacts, FilesProof, prove_files};

/// More threads than that wait for the SHA-256 pass, and each holds some windows of the output.
const COMPARING_MAX: usize = 4;

/// What was proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// How.
    pub verification: Verification,
    /// Records of the source's `key` bucket.
    pub records: u64,
    /// Those whose key the rule changes.
    pub renamed: u64,
    /// The source's status hash.
    pub status_hash_source: u32,
    /// The output's.
    pub status_hash_output: u32,
}

/// Proves that `output` is sound, laid out as this crate lays out files, sealed, and equal to
/// `source` under `rule`. The caller begins the phase; `output`'s `pages_bytes()` are reported.
///
/// Roles have to grant under the new prefix what they granted before; with `unmapped_roles` ranges
/// that have no equivalent may be as they were.
///
/// It runs on `threads` threads, but at most four, and two more, for the SHA-256 pass and the
/// structure; an output read in windows has its own to read ahead. It takes a few MiB a thread.
///
/// # Errors
/// [`Error::Unproven`] with the first difference, naming bucket and record; damaged if it is the
/// source that does not read; I/O, interrupted.
pub fn prove(
    source: &Snapshot,
    output: &Snapshot,
    rule: &PrefixRule,
    unmapped_roles: bool,
    threads: usize,
    progress: &dyn Progress,
) -> Result<Proof> {
    // What fails stops only what ranks below it, so the same fault always gives the same error.
    let quiet = Until::new(progress);
    let sound = Until::new(&quiet);
    let equal = Until::new(&sound);
    let prover = |progress| Prover { source, output, rule, unmapped_roles, progress };
    // Side by side, since all three read the output from its first page to its last.
    let (structure, content, seal) = std::thread::scope(|scope| {
        let seal = spawn(scope, || prover(&equal).sealed(progress));
        let structure = spawn(scope, || sound.fails(prover(&quiet).structure()));
        let content = equal.fails(prover(&sound).content(threads));
        (structure.and_then(join), content, seal.and_then(join))
    });
    let (report, (comparison, ())) = first_fault(structure, first_fault(content, seal))?;
    prover(progress).proof(&comparison, report.records)
}

#[derive(Clone, Copy)]
struct Prover<'a> {
    source: &'a Snapshot,
    output: &'a Snapshot,
    rule: &'a PrefixRule,
    unmapped_roles: bool,
    /// Interrupts all parts of the proof; shows nothing.
    progress: &'a dyn Progress,
}

impl<'a> Prover<'a> {
    /// The trailer is the SHA-256 of the output's pages. This is the pass that is shown.
    fn sealed(&self, shown: &dyn Progress) -> Result<()> {
        let digest = self.output.sha256(|bytes| {
            shown.advance(bytes);
            step(self.progress, bytes)
        })?;
        match self.output.trailer()? {
            Trailer::Present(found) if found == digest => Ok(()),
            Trailer::Present(_) => Err(self.differs("its trailer is not the SHA-256 of its pages")),
            Trailer::Missing => Err(self.differs("it has no trailer")),
        }
    }

    fn structure(&self) -> Result<StructureReport> {
        let report = check_structure(self.output, Expect::Compact, self.progress)?;
        match report.findings.summary() {
            Some(why) => Err(self.differs(format!("its structure is unsound: {why}"))),
            None => Ok(report),
        }
    }

    fn content(&self, threads: usize) -> Result<Comparison> {
        self.metas()?;
        Comparison::run(self, threads.min(COMPARING_MAX))
    }

    /// What is proved if the output's `records` are as many as it has to hold.
    fn proof(&self, comparison: &Comparison, records: u64) -> Result<Proof> {
        if comparison.output != records {
            let due = comparison.output;
            let why = format!("bucket key: it has {records} records instead of {due}");
            return Err(self.differs(why));
        }
        let hashes = comparison.hashes;
        let verification = if comparison.reversible && self.rule.unmatched() != Unmatched::Drop {
            if hashes.inverse != hashes.source {
                return Err(self.differs("the inverse rule does not give back the status hash"));
            }
            Verification::InverseHash
        } else {
            Verification::Comparison
        };
        Ok(Proof {
            verification,
            records: comparison.records,
            renamed: comparison.renamed,
            status_hash_source: hashes.source.value(),
            status_hash_output: hashes.output.value(),
        })
    }

    /// What the meta pages keep and what they raise. That there are two good ones with successive
    /// transactions is a matter of structure.
    fn metas(&self) -> Result<()> {
        let (source, output) = (self.source.meta(), self.output.meta());
        let kept = source.page_size == output.page_size
            && source.flags == output.flags
            && source.sequence == output.sequence;
        if !kept {
            return Err(self.differs("page size, flags or sequence of its meta page changed"));
        }
        // The older of the output's two metas has to be newer than the source's newer one.
        let least = source.txid.0.checked_add(2);
        if least.is_none_or(|least| output.txid.0 < least) {
            return Err(self.differs("its transactions are not newer than the source's"));
        }
        Ok(())
    }

    fn differs(&self, why: impl Into<String>) -> Error {
        Error::Unproven { path: self.output.path().into(), why: why.into() }
    }

    /// Damage met while reading the output back is its failure, not that of an input.
    fn of_output<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| match error {
            Error::Damaged { at, damage, .. } => self.differs(format!("{damage}{at}")),
            error => error,
        })
    }
}

/// The status hashes of source and output, and of the output taken back.
#[derive(Clone, Copy, Default)]
struct Hashes {
    source: Crc,
    output: Crc,
    inverse: Crc,
}

impl Hashes {
    fn append(&mut self, other: &Self) {
        self.source.append(&other.source);
        self.output.append(&other.output);
        self.inverse.append(&other.inverse);
    }
}
