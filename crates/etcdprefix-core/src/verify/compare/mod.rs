//! Proves that a written file is its source under a rule.
//!
//! Nothing of the writer is used: records are decoded by [`super::record`], the rule is asked
//! what a key becomes, and the bytes of the output are held against those of the source. What the
//! comparison of single records can't see, a record too many, the totals do: keys rise strictly on
//! both sides, every kept record is found, and the output holds no more than that.

mod buckets;
mod records;

use std::sync::atomic::{AtomicBool, Ordering};

use crate::crc::Crc;
use crate::error::{Error, Result};
use crate::format::trailer::Trailer;
use crate::options::Unmatched;
use crate::outcome::Verification;
use crate::progress::{Interrupt, Progress, step};
use crate::read::Snapshot;
use crate::rewrite::rule::PrefixRule;
use crate::verify::structure::{Expect, check_structure};

use buckets::Comparison;

/// What was proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// How.
    pub verification: Verification,
    /// Records of the source's `key` bucket.
    pub records: u64,
    /// The source's status hash.
    pub status_hash_source: u32,
    /// The output's.
    pub status_hash_output: u32,
}

/// Proves that `output` is sound, laid out as this crate lays out files, sealed, and equal to
/// `source` under `rule`. The caller begins the phase; `output`'s `pages_bytes()` are reported.
///
/// It runs on `threads` threads and one more for the SHA-256 pass, in a few MiB a thread.
///
/// # Errors
/// [`Error::Unproven`] with the first difference, naming bucket and record; damaged if it is the
/// source that does not read; I/O, interrupted.
pub fn prove(
    source: &Snapshot,
    output: &Snapshot,
    rule: &PrefixRule,
    threads: usize,
    progress: &dyn Progress,
) -> Result<Proof> {
    let prover = Prover { source, output, rule, progress };
    let failed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sealed = scope.spawn(|| prover.sealed(&failed));
        let proof = prover.content(threads);
        failed.store(proof.is_err(), Ordering::Relaxed);
        let sealed = sealed.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let proof = proof?;
        sealed.map(|()| proof)
    })
}

#[derive(Clone, Copy)]
struct Prover<'a> {
    source: &'a Snapshot,
    output: &'a Snapshot,
    rule: &'a PrefixRule,
    progress: &'a dyn Progress,
}

impl<'a> Prover<'a> {
    /// The trailer is the SHA-256 of the output's pages; gives up when the content failed.
    fn sealed(&self, failed: &AtomicBool) -> Result<()> {
        let Trailer::Present(found) = self.output.trailer() else {
            return Err(self.differs("it has no trailer"));
        };
        let digest = self.output.sha256(|bytes| {
            step(self.progress, bytes)?;
            if failed.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            Ok(())
        })?;
        if digest == found {
            Ok(())
        } else {
            Err(self.differs("its trailer is not the SHA-256 of its pages"))
        }
    }

    fn content(&self, threads: usize) -> Result<Proof> {
        self.metas()?;
        let report = check_structure(self.output, Expect::Compact, &Interrupt(self.progress))?;
        if let Some(why) = report.findings.summary() {
            return Err(self.differs(format!("its structure is unsound: {why}")));
        }
        let comparison = Comparison::run(self, threads, &report)?;
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
