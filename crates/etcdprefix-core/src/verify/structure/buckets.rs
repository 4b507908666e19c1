//! Leaves and inline buckets as parts of a bucket.

use super::Expect;
use super::frame::Fault;
use super::leaf::{LeafCheck, LeafFacts};
use super::walk::Walk;
use crate::error::{Corruption, Result};
use crate::format::page::{self, PageHeader};
use crate::read::{Bucket, Root};
use crate::rewrite::schema;
use crate::units::Pgid;
use crate::verify::findings::FindingCode;

impl Walk<'_> {
    /// What only our own files have to keep: even depth, no empty leaf, small buckets inline.
    pub fn leaf_in_tree(&mut self, facts: &LeafFacts) -> Result<(), Fault> {
        let Some(tree) = self.trees.last_mut() else {
            return Ok(());
        };
        let depth = self.stack.len() - tree.base;
        if *tree.leaf_depth.get_or_insert(depth) != depth {
            let detail = format!("leaf at depth {depth}, others higher or lower");
            return Err(Fault::new(FindingCode::UnevenDepth, detail));
        }
        if facts.elements == 0 && depth > 0 {
            return Err(Fault::new(FindingCode::LeafEmpty, "leaf without elements"));
        }
        let limit = self.snapshot.page_size().bytes() / 4;
        let would_fit = facts.buckets == 0 && facts.used_bytes <= limit;
        if depth == 0 && tree.level > 0 && would_fit {
            let detail = format!("{} bytes have a page", facts.used_bytes);
            return Err(Fault::new(FindingCode::WronglyInline, detail));
        }
        Ok(())
    }

    /// What bbolt's Check passes over: every byte means something or is zero, and the root bucket
    /// holds buckets only.
    pub fn accounted(&self, check: &LeafCheck<'_>, facts: &LeafFacts) -> Result<(), Fault> {
        let is_root = self.trees.last().is_some_and(|tree| tree.level == 0);
        if is_root && facts.buckets < facts.elements {
            return Err(Fault::from(&Corruption::RecordAmongBuckets));
        }
        check.contiguous()
    }

    pub fn count(&mut self, facts: &LeafFacts, level: usize) {
        let is_key_bucket = self.trees.last().is_some_and(|tree| tree.is_key_bucket);
        if level == 1 {
            self.report.pairs += facts.elements;
        }
        if level == 1 && is_key_bucket {
            self.report.records += facts.elements;
        }
    }

    pub fn bucket(&mut self, bucket: &Bucket) -> Result<()> {
        self.report.buckets += 1;
        match &bucket.root {
            Root::Page(pgid) => self.enter_tree(bucket, *pgid),
            Root::Inline(bytes) => {
                if let Err(fault) = self.inline(bucket, bytes) {
                    let detail =
                        format!("inline bucket {}: {}", bucket.display_name(), fault.detail);
                    self.fault(None, Fault { detail, ..fault });
                }
                Ok(())
            }
        }
    }

    /// An inline bucket, which bbolt's Check passes over: only what would make a reader fail is a
    /// fault of a file that is not ours.
    fn inline(&mut self, bucket: &Bucket, bytes: &[u8]) -> Result<(), Fault> {
        let header = PageHeader::parse(bytes).map_err(|damage| Fault::from(&damage))?;
        if header.flags != page::LEAF {
            return Err(Fault::from(&Corruption::WrongPageKind {
                flags: header.flags,
                expected: "an inline leaf",
            }));
        }
        let check = LeafCheck::new(bytes, &header);
        let facts = check.facts()?;
        let level = self.trees.len();
        self.count(&facts, level);
        if level == 1 && *bucket.name == *schema::KEY.as_bytes() {
            self.report.records += facts.elements;
            self.keep_leaf(&bucket.root, bytes.len() as u64);
        }
        if self.expect == Expect::Sound {
            return Ok(());
        }
        check.ascending()?;
        if self.expect == Expect::Accounted && facts.buckets > 0 {
            // bbolt never makes them, and their pages are not walked.
            return Err(Fault::new(FindingCode::BucketInvalid, "buckets in an inline bucket"));
        }
        if self.expect == Expect::Accounted {
            return check.contiguous();
        }
        check.compact(&facts, self.snapshot.page_size())?;
        let limit = self.snapshot.page_size().bytes() / 4;
        let exact = facts.used_bytes == bytes.len() as u64;
        let alone = header.id == Pgid(0) && header.overflow == 0;
        if facts.buckets > 0 || facts.used_bytes > limit || !exact || !alone {
            let detail = format!("{} bytes may not be inline", bytes.len());
            return Err(Fault::new(FindingCode::WronglyInline, detail));
        }
        Ok(())
    }
}
