//! The proof for two files of anybody's: the output may be laid out in any way that is sound.

use serde::Serialize;

use super::buckets::Comparison;
use super::{COMPARING_MAX, Proof, Prover};
use crate::error::{Corruption, Error, Location, Result, counted};
use crate::format::trailer::{Trailer, hex};
use crate::key_table::{KeyFlags, KeyTable, LIMIT_BYTES};
use crate::options::Unmatched;
use crate::outcome::InputTrailer;
use crate::parallel::{join, spawn};
use crate::progress::{Phase, Progress, Until, first_fault, step};
use crate::read::Snapshot;
use crate::rewrite::census::Unmatching;
use crate::rewrite::rule::{PrefixRule, Verdict};
use crate::rewrite::schema;
use crate::verify::hashkv::{HashKv, hash_kv};
use crate::verify::pairs::Pairs;
use crate::verify::record::Record;
use crate::verify::structure::{Expect, check_structure};

/// What is not asked of two files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Trailers may be missing, but never be wrong.
    pub skip_hash_check: bool,
    /// Ranges of roles that have no equivalent under the new prefix may be as they were.
    pub unmapped_roles: bool,
}

/// What was proved of two files.
#[derive(Clone, Debug)]
pub struct FilesProof {
    /// That the output is the source under the rule.
    pub proof: Proof,
    /// The source.
    pub source: FileFacts,
    /// The output.
    pub output: FileFacts,
}

/// What there is to know of one of the files.
#[derive(Clone, Debug, Serialize)]
pub struct FileFacts {
    /// What its trailer is; never a mismatch.
    pub trailer: InputTrailer,
    /// Its size, trailer included.
    pub bytes: u64,
    /// The size of its pages.
    pub page_size_bytes: u64,
    /// What a server that starts on it answers to HashKV at the latest revision.
    pub hashkv: HashKv,
}

/// Proves that `output` is what `source` becomes under `rule`: every record of bucket `key`, every
/// pair and sequence of all other buckets, roles by their effect, and nothing besides. Both files
/// have to be sound and sealed.
///
/// Page size, layout, free pages and transactions may be others, since `etcdutl defrag` changes
/// them. It begins its phases, and takes the time of one SHA-256 pass over each file.
///
/// # Errors
/// [`Error::Differs`] with the first difference, naming bucket and record, or if keys were merged;
/// [`Error::Refused`] if the source has no key under the source prefix, so that nothing would be
/// proved; missing or wrong trailers; damaged, I/O, interrupted, changed.
pub fn prove_files(
    source: &Snapshot,
    output: &Snapshot,
    rule: &PrefixRule,
    accepted: Accepted,
    threads: usize,
    progress: &dyn Progress,
) -> Result<FilesProof> {
    let files = Files { source, output, rule, accepted, threads, progress };
    let proved = files.prove();
    source.unchanged()?;
    output.unchanged()?;
    proved
}

struct Files<'a> {
    source: &'a Snapshot,
    output: &'a Snapshot,
    rule: &'a PrefixRule,
    accepted: Accepted,
    threads: usize,
    progress: &'a dyn Progress,
}

impl<'a> Files<'a> {
    fn prove(&self) -> Result<FilesProof> {
        for file in [self.source, self.output] {
            if file.trailer()? == Trailer::Missing && !self.accepted.skip_hash_check {
                return Err(Error::TrailerMissing { path: file.path().into() });
            }
        }
        let bytes = self.source.pages_bytes().saturating_add(self.output.pages_bytes());
        self.progress.begin(Phase::Verify, bytes);
        let (proof, trailers) = self.side_by_side()?;
        if proof.renamed == 0
            && let Some(refused) = self.nothing_matches()?
        {
            return Err(refused);
        }
        self.no_key_twice()?;
        Ok(FilesProof {
            proof,
            source: self.facts(self.source, trailers.0)?,
            output: self.facts(self.output, trailers.1)?,
        })
    }

    /// Damage comes first, then a wrong seal, then a difference, so that the same fault always
    /// gives the same error; what fails stops only what ranks below it.
    fn side_by_side(&self) -> Result<(Proof, (InputTrailer, InputTrailer))> {
        let quiet = Until::new(self.progress);
        let sound = Until::new(&quiet);
        let sealed = Until::new(&sound);
        let (structure, seals, content) = std::thread::scope(|scope| {
            let seals = spawn(scope, || sealed.fails(self.seals(&sound)));
            let structure = spawn(scope, || sound.fails(self.structures(&quiet)));
            let content = self.prover(&sealed).compared(self.threads);
            (structure.and_then(join), seals.and_then(join), content)
        });
        let (records, (trailers, comparison)) =
            first_fault(structure, first_fault(seals, content)).map_err(|e| self.explain(e))?;
        let proof = self.prover(self.progress).proof(&comparison, records);
        Ok((proof.map_err(|error| self.explain(error))?, trailers))
    }

    fn prover<'p>(&self, progress: &'p dyn Progress) -> Prover<'p>
    where
        'a: 'p,
    {
        let (source, output, rule) = (self.source, self.output, self.rule);
        Prover { source, output, rule, unmapped_roles: self.accepted.unmapped_roles, progress }
    }

    /// Both trailers. This is the pass that is shown.
    fn seals(&self, until: &dyn Progress) -> Result<(InputTrailer, InputTrailer)> {
        Ok((self.seal(self.source, until)?, self.seal(self.output, until)?))
    }

    fn seal(&self, file: &Snapshot, until: &dyn Progress) -> Result<InputTrailer> {
        let Trailer::Present(found) = file.trailer()? else {
            return Ok(InputTrailer::Missing);
        };
        let computed = file.sha256(|bytes| {
            self.progress.advance(bytes);
            step(until, bytes)
        })?;
        if computed == found {
            return Ok(InputTrailer::Verified);
        }
        let (path, found, computed) = (file.path().into(), hex(&found), hex(&computed));
        Err(Error::TrailerMismatch { path, found, computed })
    }

    /// Both structures; gives the records of the output.
    fn structures(&self, progress: &dyn Progress) -> Result<u64> {
        let mut records = 0;
        for file in [self.source, self.output] {
            let report = check_structure(file, Expect::Sound, progress)?;
            if let Some(why) = report.findings.summary() {
                return Err(file.damaged(Location::default(), Corruption::Unsound { why }));
            }
            records = report.records;
        }
        Ok(records)
    }

    fn facts(&self, file: &Snapshot, trailer: InputTrailer) -> Result<FileFacts> {
        Ok(FileFacts {
            trailer,
            bytes: file.file_bytes(),
            page_size_bytes: file.page_size().bytes(),
            hashkv: hash_kv(file, 0, self.threads, self.progress)?,
        })
    }

    /// A difference in the words of two files, unless a wrong prefix or a wrong order explains it.
    fn explain(&self, error: Error) -> Error {
        let Error::Unproven { path, why } = error else {
            return error;
        };
        match self.nothing_matches() {
            Ok(Some(refused)) => refused,
            _ => Error::Differs { path, of: self.source.path().into(), why },
        }
    }

    /// Each record may be what the rule gives and two keys have become one all the same, whose
    /// histories etcd would then take for one.
    fn no_key_twice(&self) -> Result<()> {
        let mut table = KeyTable::new(LIMIT_BYTES);
        let hasher = table.hasher();
        self.each_key(|key| {
            let matched = self.rule.verdict(key) == Verdict::Replace;
            let kept = matched || self.rule.unmatched() != Unmatched::Drop;
            let flags = KeyFlags { matched, ..KeyFlags::default() };
            match matched {
                true => table.push(hasher.hash(&self.rule.image(key)), flags),
                false if kept => table.push(hasher.hash(key), flags),
                false => Ok(()),
            }
        })?;
        match table.finish()?.collided {
            0 => Ok(()),
            keys => Err(Error::Differs {
                path: self.output.path().into(),
                of: self.source.path().into(),
                why: format!("{} merged with a key that was there", counted(keys, "key")),
            }),
        }
    }

    /// Why the source proves nothing, if it has no key under the source prefix.
    fn nothing_matches(&self) -> Result<Option<Error>> {
        let (mut matched, mut others) = (false, Unmatching::default());
        self.each_key(|key| {
            match self.rule.verdict(key) {
                Verdict::Replace => matched = true,
                Verdict::Unmatched => others.note(self.rule, key),
                Verdict::Known => {}
            }
            Ok(())
        })?;
        let path = || self.source.path().into();
        let refusal = || others.refusal(self.rule);
        Ok((!matched).then(|| Error::Refused { path: path(), refusal: refusal() }))
    }

    /// Shows the key of every record of the source that has one and decodes.
    fn each_key(&self, mut show: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let Some(bucket) = self.source.bucket(schema::KEY.as_bytes())? else {
            return Ok(());
        };
        let mut pairs = Pairs::whole(self.source, &bucket, None);
        while let Some(pair) = pairs.peek()? {
            if let Ok(record) = Record::parse(pair.value)
                && !pair.value.is_empty()
            {
                show(record.key)?;
            }
            step(self.progress, 0)?;
            pairs.skip();
        }
        Ok(())
    }
}

impl Prover<'_> {
    fn compared(&self, threads: usize) -> Result<Comparison> {
        Comparison::run(self, threads.min(COMPARING_MAX))
    }
}
