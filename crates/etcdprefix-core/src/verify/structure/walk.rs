//! The walk over all trees.

use super::frame::{Fault, Frame, Tree};
use super::leaf::{Ends, LeafCheck, LeafFacts, all_zero};
use super::next::{Next, check_branch, compact_branch, next_bucket, next_child};
use super::order::{Order, check_upper};
use super::{Expect, StructureReport};
use crate::error::{Corruption, Error, Result};
use crate::format::page::{self, HEADER_BYTES, PageHeader};
use crate::progress::{Progress, step};
use crate::read::{Bucket, PageRun, PageSet, Root, Snapshot};
use crate::rewrite::schema;
use crate::units::Pgid;
use crate::verify::findings::{Finding, FindingCode};

/// Branch levels and levels of buckets in buckets, together: twice what a tree that fits on a disk
/// needs. It bounds what one path holds.
const MAX_FRAMES: usize = 128;

pub struct Walk<'s> {
    pub snapshot: &'s Snapshot,
    pub expect: Expect,
    /// Pages in use.
    pub seen: PageSet,
    /// Pages on the freelist.
    pub freed: PageSet,
    pub report: StructureReport,
    progress: &'s dyn Progress,
    pub stack: Vec<Frame<'s>>,
    pub trees: Vec<Tree>,
    /// Leaves of bucket `key` met, if somebody looks into them.
    pub leaves: Option<MetLeaves>,
}

/// Leaves to look into; those that can't be read are left out.
#[derive(Default)]
pub struct MetLeaves {
    pub roots: Vec<Root>,
    /// The bytes of all their pages.
    pub bytes: u64,
}

impl<'s> Walk<'s> {
    pub fn new(snapshot: &'s Snapshot, expect: Expect, progress: &'s dyn Progress) -> Self {
        Self {
            snapshot,
            expect,
            seen: PageSet::for_pages_of(snapshot),
            freed: PageSet::for_pages_of(snapshot),
            report: StructureReport::default(),
            progress,
            stack: Vec::new(),
            trees: Vec::new(),
            leaves: None,
        }
    }

    pub fn into_report(self) -> StructureReport {
        self.report
    }

    /// Adds a finding about `pgid` in the tree being walked.
    pub fn fault(&mut self, pgid: Option<Pgid>, fault: Fault) {
        let tree = self.trees.last();
        self.report.findings.add(fault.code, || {
            let bucket = tree.map(|tree| tree.name.clone());
            Finding { pgid, bucket, ..Finding::new(fault.code, fault.detail) }
        });
    }

    /// Walks the root bucket and every bucket in it.
    pub fn trees(&mut self) -> Result<()> {
        self.begin()?;
        while self.advance()? {}
        Ok(())
    }

    /// Enters the root bucket.
    pub fn begin(&mut self) -> Result<()> {
        self.enter_tree(&self.snapshot.root_bucket(), self.snapshot.meta().root)
    }

    /// Goes on to the next page or bucket; false after the last.
    pub fn advance(&mut self) -> Result<bool> {
        let Some(tree) = self.trees.last() else {
            return Ok(false);
        };
        if self.stack.len() == tree.base {
            self.trees.pop();
            return Ok(true);
        }
        match self.next() {
            Next::Child { child, upper, fault } => {
                if let Some((pgid, fault)) = fault {
                    self.fault(Some(pgid), fault);
                }
                self.page(child, upper)?;
            }
            Next::Bucket(bucket) => self.bucket(&bucket)?,
            Next::BadBucket(pgid, fault) => self.fault(Some(pgid), fault),
            Next::Fault(pgid, fault) => {
                self.fault(Some(pgid), fault);
                self.stack.pop();
            }
            Next::Up => drop(self.stack.pop()),
        }
        Ok(true)
    }

    /// Keeps a leaf of bucket `key` for whoever looks into its records.
    pub fn keep_leaf(&mut self, root: &Root, bytes: u64) {
        if let Some(leaves) = &mut self.leaves {
            leaves.roots.push(root.clone());
            leaves.bytes += bytes;
        }
    }

    pub fn enter_tree(&mut self, bucket: &Bucket, root: Pgid) -> Result<()> {
        let level = self.trees.len();
        let name = match self.trees.last() {
            Some(parent) if !parent.name.is_empty() => {
                format!("{}/{}", parent.name, bucket.display_name())
            }
            _ => bucket.display_name(),
        };
        self.trees.push(Tree {
            name,
            level,
            is_key_bucket: level == 1 && *bucket.name == *schema::KEY.as_bytes(),
            order: Order::default(),
            leaf_depth: None,
            base: self.stack.len(),
        });
        self.page(root, None)
    }

    fn next(&mut self) -> Next {
        let exact = self.expect == Expect::Compact;
        match (self.stack.last_mut(), self.trees.last_mut()) {
            (Some(Frame::Branch { run, next, upper }), Some(tree)) => {
                let child = next_child(run, *next, upper.as_deref(), &mut tree.order, exact);
                *next += 1;
                child
            }
            (Some(Frame::Leaf { run, next }), _) => next_bucket(self.snapshot, run, next),
            _ => Next::Up,
        }
    }

    /// Enters page `pgid`, all keys of which have to be smaller than `upper`.
    fn page(&mut self, pgid: Pgid, upper: Option<Vec<u8>>) -> Result<()> {
        if self.stack.len() >= MAX_FRAMES {
            let damage = Corruption::TooDeep { limit: MAX_FRAMES };
            self.fault(Some(pgid), Fault::from(&damage));
            return Ok(());
        }
        let Some(run) = self.claim(pgid)? else {
            return Ok(());
        };
        step(self.progress, run.bytes.len() as u64)?;
        if self.freed.contains(pgid) {
            let fault = Fault::new(FindingCode::ReachableFreed, "in use and on the freelist");
            self.fault(Some(pgid), fault);
        }
        let judged = match run.header.flags {
            page::BRANCH => self.branch(run, upper),
            page::LEAF => self.leaf(run, upper.as_deref()),
            flags => Err(Fault::from(&Corruption::WrongPageKind {
                flags,
                expected: "a branch or leaf page",
            })),
        };
        if let Err(fault) = judged {
            self.fault(Some(pgid), fault);
        }
        Ok(())
    }

    /// Reads a page, unless one of its pages is in use already, which is found out before a long
    /// run is read: otherwise many runs over the same pages would be read again and again.
    pub fn claim(&mut self, pgid: Pgid) -> Result<Option<PageRun<'s>>> {
        if let Some(fault) = self.mark(pgid)? {
            self.fault(Some(pgid), fault);
            return Ok(None);
        }
        match self.snapshot.page(pgid) {
            Ok(run) => Ok(Some(run)),
            Err(Error::Damaged { damage, .. }) => {
                self.fault(Some(pgid), Fault::from(&damage));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Marks the run at `pgid` up to the first page that is marked already. A run that is out of
    /// range or no run at all is left to whoever reads it.
    fn mark(&mut self, pgid: Pgid) -> Result<Option<Fault>> {
        let high_water_mark = self.snapshot.meta().high_water_mark;
        if pgid.0 < 2 || pgid >= high_water_mark {
            return Ok(None);
        }
        let offset = pgid.0 * self.snapshot.page_size().bytes();
        let bytes = self.snapshot.read(offset, HEADER_BYTES as u64)?;
        let Ok(header) = PageHeader::parse(&bytes) else {
            return Ok(None);
        };
        let end = pgid.0 + u64::from(header.overflow) + 1;
        if header.id != pgid || end > high_water_mark.0 {
            return Ok(None);
        }
        let twice = (pgid.0..end).find_map(|id| self.seen.insert_run(Pgid(id), 1));
        Ok(twice.map(|pgid| Fault::from(&Corruption::PageUsedTwice { pgid })))
    }

    fn branch(&mut self, run: PageRun<'s>, upper: Option<Vec<u8>>) -> Result<(), Fault> {
        self.report.branch_pages += run.pages();
        let end = check_branch(&run)?;
        let judged = match self.expect {
            Expect::Sound => Ok(()),
            Expect::Accounted => all_zero(&run.bytes, end..run.bytes.len()),
            Expect::Compact => compact_branch(&run, end, self.snapshot.page_size()),
        };
        let next = 0;
        self.stack.push(Frame::Branch { run, next, upper });
        judged
    }

    fn leaf(&mut self, run: PageRun<'s>, upper: Option<&[u8]>) -> Result<(), Fault> {
        self.report.leaf_pages += run.pages();
        let check = LeafCheck::new(&run.bytes, &run.header);
        let facts = check.facts()?;
        let judged = self.judge_leaf(&check, &facts, upper);
        self.count(&facts, self.trees.last().map_or(0, |tree| tree.level));
        if self.trees.last().is_some_and(|tree| tree.is_key_bucket) {
            self.keep_leaf(&Root::Page(run.pgid), run.bytes.len() as u64);
        }
        if facts.buckets > 0 {
            self.stack.push(Frame::Leaf { run, next: 0 });
        }
        judged
    }

    fn judge_leaf(
        &mut self,
        check: &LeafCheck<'_>,
        facts: &LeafFacts,
        upper: Option<&[u8]>,
    ) -> Result<(), Fault> {
        let exact = self.expect == Expect::Compact;
        let ends = check.ascending()?;
        if let (Some(Ends { first, last }), Some(tree)) = (ends, self.trees.last_mut()) {
            let judged = tree.order.check(first, exact);
            tree.order.pass_record(last);
            judged?;
            check_upper(last, upper)?;
        }
        match self.expect {
            Expect::Sound => Ok(()),
            Expect::Accounted => self.accounted(check, facts),
            Expect::Compact => {
                check.compact(facts, self.snapshot.page_size())?;
                self.leaf_in_tree(facts)
            }
        }
    }
}
