//! The two meta pages.

use super::Expect;
use super::frame::Fault;
use super::leaf::all_zero;
use super::walk::Walk;
use crate::error::Result;
use crate::format::meta::{META_BYTES, Meta};
use crate::format::page::{self, PageHeader};
use crate::units::{Pgid, Txid};
use crate::verify::findings::FindingCode;

impl Walk<'_> {
    /// Judges both meta pages, of which a reader uses one.
    pub fn metas(&mut self) -> Result<()> {
        let page_bytes = self.snapshot.page_size().bytes();
        let mut metas = Vec::new();
        for id in [0, 1] {
            // A forged high water mark may leave no room for the second one.
            let end = self.snapshot.file_bytes();
            let at = end.min(id * page_bytes);
            let bytes = self.snapshot.read(at, page_bytes.min(end - at))?;
            metas.extend(self.meta(Pgid(id), &bytes));
        }
        let [first, second] = metas.as_slice() else {
            return Ok(());
        };
        let fault = match self.expect {
            Expect::Compact => no_pair(first, second),
            _ => contradiction(first, second),
        };
        fault.into_iter().for_each(|fault| self.fault(None, fault));
        Ok(())
    }

    /// The meta in page `id`, if it is valid.
    fn meta(&mut self, id: Pgid, bytes: &[u8]) -> Option<Meta> {
        let meta = Meta::parse(bytes).map_err(|damage| Fault::from(&damage));
        let fault = meta.as_ref().err().cloned().or_else(|| around_meta(id, bytes).err());
        fault.into_iter().for_each(|fault| self.fault(Some(id), fault));
        meta.ok()
    }
}

/// What is wrong with a meta page but for the meta. bbolt does not look at it.
fn around_meta(id: Pgid, bytes: &[u8]) -> Result<(), Fault> {
    let header = PageHeader::parse(bytes).map_err(|damage| Fault::from(&damage))?;
    if header != (PageHeader { id, flags: page::META, count: 0, overflow: 0 }) {
        return Err(Fault::new(FindingCode::MetaInvalid, "page header is no meta's"));
    }
    all_zero(bytes, META_BYTES..bytes.len())
}

/// Our own files have the metas of two successive commits of the same content.
fn no_pair(first: &Meta, second: &Meta) -> Option<Fault> {
    let same = |meta: &Meta| Meta { txid: Txid(0), ..*meta };
    if first.txid.0.abs_diff(second.txid.0) == 1 && same(first) == same(second) {
        return None;
    }
    let (first, second) = (first.txid.0, second.txid.0);
    let detail = format!("meta pages of transactions {first} and {second} are no pair");
    Some(Fault::new(FindingCode::Metas, detail))
}

/// bbolt writes them in turn, each one transaction after the other (`tx.writeMeta`, and
/// `tx.WriteTo` for a snapshot, v1.3).
fn contradiction(first: &Meta, second: &Meta) -> Option<Fault> {
    let (one, other) = (first.page_size.bytes(), second.page_size.bytes());
    if one != other {
        let detail = format!("page size {one} in the first meta page, {other} in the second");
        return Some(Fault::new(FindingCode::Metas, detail));
    }
    let (one, other) = (first.txid.0, second.txid.0);
    (one.abs_diff(other) != 1).then(|| {
        let detail =
            format!("meta pages of transactions {one} and {other}, not of successive ones");
        Fault::new(FindingCode::MetasApart, detail)
    })
}
