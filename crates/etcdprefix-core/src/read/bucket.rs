//! Buckets: a root page, or a small page inside their parent's leaf.

use std::sync::Arc;

use crate::error::{Corruption, Location, Result};
use crate::format::bucket::{BucketHeader, HEADER_BYTES};
use crate::format::page::PageHeader;
use crate::read::leaves::Leaves;
use crate::read::snapshot::Snapshot;
use crate::units::Pgid;

/// Where a bucket's elements are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// In a tree with this root page.
    Page(Pgid),
    /// In this page, a copy of the one inside the parent's leaf.
    Inline(Arc<[u8]>),
}

/// A bucket found in a snapshot; its tree is not yet read.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// The bucket's name; empty for the root bucket.
    pub name: Arc<[u8]>,
    /// Its elements.
    pub root: Root,
    /// bbolt's counter for the bucket.
    pub sequence: u64,
}

impl Bucket {
    /// The bucket that an element of its parent describes.
    ///
    /// # Errors
    /// Damaged if `value` is shorter than a bucket header, or holds an inline page larger than a
    /// page of the file (bbolt writes them up to a quarter of one).
    pub fn from_element(snapshot: &Snapshot, name: &[u8], value: &[u8]) -> Result<Self> {
        let at = || Location { bucket: Some(display_name(name)), ..Location::default() };
        let header = BucketHeader::parse(value).map_err(|damage| snapshot.damaged(at(), damage))?;
        let page = value.get(HEADER_BYTES..).unwrap_or_default();
        if header.root.0 == 0 && page.len() > snapshot.page_size().as_usize() {
            let damage = Corruption::InlineBucketTooLarge { bytes: page.len() as u64 };
            return Err(snapshot.damaged(at(), damage));
        }
        if header.root.0 == 0 {
            PageHeader::parse(page).map_err(|damage| snapshot.damaged(at(), damage))?;
        }
        let root = match header.root {
            Pgid(0) => Root::Inline(page.into()),
            pgid => Root::Page(pgid),
        };
        Ok(Self { name: name.into(), root, sequence: header.sequence })
    }

    /// The name as text for messages and reports.
    pub fn display_name(&self) -> String {
        display_name(&self.name)
    }
}

fn display_name(name: &[u8]) -> String {
    const SHOWN_BYTES: usize = 128;
    name.get(..SHOWN_BYTES).unwrap_or(name).escape_ascii().to_string()
}

impl Snapshot {
    /// The root bucket, whose elements are the top-level buckets.
    pub fn root_bucket(&self) -> Bucket {
        let meta = self.meta();
        Bucket { name: Arc::from([]), root: Root::Page(meta.root), sequence: meta.sequence }
    }

    /// The top-level bucket `name`, `None` if there is none. Reads the whole root bucket.
    pub fn bucket(&self, name: &[u8]) -> Result<Option<Bucket>> {
        let root = self.root_bucket();
        let mut leaves = Leaves::new(self, &root);
        while let Some(leaf) = leaves.next()? {
            for index in 0..leaf.count() {
                let element = leaf.element(index)?;
                if element.is_bucket && element.key == name {
                    return Bucket::from_element(self, name, element.value).map(Some);
                }
            }
        }
        Ok(None)
    }
}
