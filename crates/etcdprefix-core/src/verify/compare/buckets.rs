//! Buckets side by side: names, sequences, and of all but `key` every pair.

use std::cell::RefCell;

use super::{Hashes, Prover};
use crate::crc::Crc;
use crate::error::{Corruption, Result};
use crate::format::bucket::BucketHeader;
use crate::progress::step;
use crate::read::{Bucket, PageSet};
use crate::rewrite::schema;
use crate::verify::pairs::{Pair, Pairs};
use crate::verify::roles::same_effect;

/// Buckets in buckets, which etcd never makes; more is an attack.
const MAX_LEVELS: usize = 64;

/// What all buckets together gave.
pub(super) struct Comparison {
    pub hashes: Hashes,
    /// Records of the source.
    pub records: u64,
    /// Those whose key the rule changes.
    pub renamed: u64,
    /// Records that the output has to hold.
    pub output: u64,
    /// Whether the inverse rule gives back the source.
    pub reversible: bool,
}

/// Cursors over one bucket of each file.
struct Both<'s, 'p> {
    source: Pairs<'s, 'p>,
    output: Pairs<'s, 'p>,
    /// Whether the values are roles, which the rule changes.
    of_roles: bool,
}

/// What the next pair of both files turned out to be.
enum Same {
    End,
    Pair,
    Bucket(Bucket, Bucket),
}

impl Comparison {
    pub fn run(prover: &Prover<'_>, threads: usize) -> Result<Self> {
        let seen = RefCell::new(PageSet::for_pages_of(prover.source));
        let mut comparison =
            Self { hashes: Hashes::default(), records: 0, renamed: 0, output: 0, reversible: true };
        let roots = (prover.source.root_bucket(), prover.output.root_bucket());
        let mut both = Both::open(prover, &roots.0, &roots.1, &seen);
        loop {
            match both.next(prover, "")? {
                Same::End => return Ok(comparison),
                Same::Pair => return Err(both.source.damaged(Corruption::RecordAmongBuckets)),
                Same::Bucket(source, output) => {
                    both.pass();
                    comparison.bucket(prover, (&source, &output), threads, &seen)?;
                }
            }
        }
    }

    fn bucket(
        &mut self,
        prover: &Prover<'_>,
        (source, output): (&Bucket, &Bucket),
        threads: usize,
        seen: &RefCell<PageSet>,
    ) -> Result<()> {
        let mut name = Crc::default();
        name.update(&source.name);
        self.append_same(&name);
        if *source.name == *schema::KEY.as_bytes() {
            let records = prover.key_bucket((source, output), threads, seen)?;
            self.hashes.append(&records.hashes);
            self.records = records.source;
            self.renamed = records.renamed;
            self.output = records.output;
            self.reversible &= records.reversible;
        } else {
            let (before, after) = prover.plain_bucket((source, output), seen)?;
            // Roles that changed were proved by their effect, which does not give the old bytes.
            self.hashes.append(&Hashes { source: before, output: after, inverse: before });
            self.reversible &= before == after;
        }
        Ok(())
    }

    fn append_same(&mut self, crc: &Crc) {
        self.hashes.append(&Hashes { source: *crc, output: *crc, inverse: *crc });
    }
}

impl Prover<'_> {
    /// Proves a bucket equal with all that is in it; gives the hashes of its own pairs.
    fn plain_bucket(
        &self,
        (source, output): (&Bucket, &Bucket),
        seen: &RefCell<PageSet>,
    ) -> Result<(Crc, Crc)> {
        let name = source.display_name();
        let mut below: Vec<Both<'_, '_>> = Vec::new();
        let mut top = Both::open(self, source, output, seen);
        top.of_roles = *source.name == *schema::AUTH_ROLES.as_bytes();
        loop {
            let innermost = below.last_mut().unwrap_or(&mut top);
            step(self.progress, 0)?;
            match innermost.next(self, &name)? {
                Same::Pair => innermost.pass(),
                Same::Bucket(source, output) => {
                    innermost.pass();
                    if below.len() >= MAX_LEVELS {
                        let damage = Corruption::TooDeep { limit: MAX_LEVELS };
                        return Err(top.source.damaged(damage));
                    }
                    below.push(Both::open(self, &source, &output, seen));
                }
                Same::End if below.pop().is_none() => break,
                Same::End => {}
            }
        }
        let of_roles = top.of_roles;
        let (source, output) = (top.source.into_crc(), top.output.into_crc());
        if source != output && !of_roles {
            return Err(self.differs(format!("bucket {name}: its hash differs")));
        }
        Ok((source, output))
    }
}

impl Prover<'_> {
    fn same_role(&self, source: &[u8], output: &[u8]) -> Result<(), String> {
        same_effect(self.rule, source, output, self.unmapped_roles)
    }
}

impl<'s, 'p> Both<'s, 'p> {
    fn open(
        prover: &Prover<'s>,
        source: &Bucket,
        output: &Bucket,
        seen: &'p RefCell<PageSet>,
    ) -> Self {
        Self {
            source: Pairs::whole(prover.source, source, Some(seen)),
            output: Pairs::whole(prover.output, output, None),
            of_roles: false,
        }
    }

    /// The next pair of both, which stays the next; `bucket` is for messages.
    fn next(&mut self, prover: &Prover<'_>, bucket: &str) -> Result<Same> {
        let source = self.source.peek()?;
        let output = prover.of_output(self.output.peek())?;
        let (source, output) = match (source, output) {
            (None, None) => return Ok(Same::End),
            (Some(source), Some(output)) => (source, output),
            (Some(pair), None) => return Err(differs(prover, bucket, pair, "is missing")),
            (None, Some(pair)) => return Err(differs(prover, bucket, pair, "was not there")),
        };
        if source.key != output.key {
            return Err(differs(prover, bucket, source, "is missing or out of place"));
        }
        if source.is_bucket != output.is_bucket {
            return Err(differs(prover, bucket, source, "became or was a bucket"));
        }
        if !source.is_bucket {
            let same = match self.of_roles {
                true => prover.same_role(source.value, output.value),
                false if source.value == output.value => Ok(()),
                false => Err("has another value".into()),
            };
            return match same {
                Ok(()) => Ok(Same::Pair),
                Err(how) => Err(differs(prover, bucket, source, &how)),
            };
        }
        if sequence(source.value) != sequence(output.value) {
            return Err(differs(prover, bucket, source, "has another sequence"));
        }
        let into = Bucket::from_element(prover.output, output.key, output.value);
        Ok(Same::Bucket(
            Bucket::from_element(prover.source, source.key, source.value)?,
            prover.of_output(into)?,
        ))
    }

    fn pass(&mut self) {
        self.source.accept();
        self.output.accept();
    }
}

fn sequence(value: &[u8]) -> Option<u64> {
    BucketHeader::parse(value).ok().map(|header| header.sequence)
}

/// Names a pair by its key, cut and escaped; buckets other than `key` hold no user's keys.
fn differs(prover: &Prover<'_>, bucket: &str, pair: Pair<'_>, how: &str) -> crate::Error {
    const SHOWN_BYTES: usize = 64;
    let kind = if pair.is_bucket { "bucket" } else { "pair" };
    let key = pair.key.get(..SHOWN_BYTES).unwrap_or(pair.key);
    let within = if bucket.is_empty() { String::new() } else { format!("bucket {bucket}: ") };
    prover.differs(format!("{within}{kind} {} {how}", key.escape_ascii()))
}
