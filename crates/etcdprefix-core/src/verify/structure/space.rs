//! Pages outside of the trees: metas, freelist, and those that nothing leads to.

use super::Expect;
use super::finding::FindingCode;
use super::frame::Fault;
use super::leaf::all_zero;
use super::walk::Walk;
use crate::error::{Corruption, Result};
use crate::format::freelist;
use crate::format::meta::{META_BYTES, Meta, NO_FREELIST};
use crate::format::page::{self, PageHeader};
use crate::read::PageRun;
use crate::units::{Pgid, Txid};

impl Walk<'_> {
    /// Enters the freelist's own pages and those it lists; for our own files the metas too.
    pub fn free_space(&mut self) -> Result<()> {
        self.report.pages = self.snapshot.meta().high_water_mark.0;
        self.seen.insert_run(Pgid(0), 2);
        if self.expect == Expect::Compact {
            self.metas()?;
        }
        let pgid = self.snapshot.meta().freelist;
        if pgid == NO_FREELIST {
            if self.expect == Expect::Compact {
                let fault = Fault::new(FindingCode::FreelistNotEmpty, "no freelist page");
                self.fault(None, fault);
            }
            return Ok(());
        }
        let Some(run) = self.claim(pgid)? else {
            return Ok(());
        };
        if let Err(fault) = self.freelist(&run) {
            self.fault(Some(pgid), fault);
        }
        Ok(())
    }

    fn freelist(&mut self, run: &PageRun<'_>) -> Result<(), Fault> {
        if run.header.flags != page::FREELIST {
            return Err(Fault::from(&Corruption::WrongPageKind {
                flags: run.header.flags,
                expected: "the freelist",
            }));
        }
        let entries = freelist::entries(&run.bytes, &run.header);
        for pgid in entries.map_err(|damage| Fault::from(&damage))? {
            self.report.free_pages += 1;
            if self.freed.contains(pgid) {
                let fault = Fault::new(FindingCode::FreedTwice, "on the freelist twice");
                self.fault(Some(pgid), fault);
            }
            // Out of range is no fault to bbolt's Check, and the set ignores it.
            self.freed.insert_run(pgid, 1);
        }
        if self.expect == Expect::Sound {
            return Ok(());
        }
        if self.report.free_pages > 0 || run.header.overflow > 0 {
            let detail = format!("{} pages on the freelist", self.report.free_pages);
            return Err(Fault::new(FindingCode::FreelistNotEmpty, detail));
        }
        all_zero(&run.bytes, page::HEADER_BYTES..run.bytes.len())
    }

    fn metas(&mut self) -> Result<()> {
        let page_bytes = self.snapshot.page_size().bytes();
        let mut metas = Vec::new();
        for id in [0, 1] {
            let bytes = self.snapshot.read(id * page_bytes, page_bytes)?;
            match whole_meta(Pgid(id), &bytes) {
                Ok(meta) => metas.push(meta),
                Err(fault) => self.fault(Some(Pgid(id)), fault),
            }
        }
        let [first, second] = metas.as_slice() else {
            return Ok(());
        };
        let apart = first.txid.0.abs_diff(second.txid.0);
        let same = |meta: &Meta| Meta { txid: Txid(0), ..*meta };
        if apart != 1 || same(first) != same(second) {
            let detail = format!(
                "meta pages of transactions {} and {} are no pair",
                first.txid.0, second.txid.0
            );
            self.fault(None, Fault::new(FindingCode::Metas, detail));
        }
        Ok(())
    }

    /// Pages that nothing leads to. Without a freelist bbolt takes them for free.
    pub fn unreached(&mut self) -> Result<()> {
        let (code, detail) = match self.expect {
            Expect::Compact => (FindingCode::Gap, "not in use"),
            Expect::Sound if self.snapshot.meta().freelist == NO_FREELIST => return Ok(()),
            Expect::Sound => {
                (FindingCode::UnreachableUnfreed, "neither in use nor on the freelist")
            }
        };
        for id in 0..self.report.pages {
            let pgid = Pgid(id);
            let excused = self.expect == Expect::Sound && self.freed.contains(pgid);
            if !self.seen.contains(pgid) && !excused {
                self.fault(Some(pgid), Fault::new(code, detail));
            }
        }
        Ok(())
    }
}

fn whole_meta(id: Pgid, bytes: &[u8]) -> Result<Meta, Fault> {
    let judge = |damage| Fault::from(&damage);
    let header = PageHeader::parse(bytes).map_err(judge)?;
    let expected = PageHeader { id, flags: page::META, count: 0, overflow: 0 };
    if header != expected {
        return Err(Fault::new(FindingCode::Metas, "page header is no meta's"));
    }
    let meta = Meta::parse(bytes).map_err(judge)?;
    all_zero(bytes, META_BYTES..bytes.len())?;
    Ok(meta)
}
