//! Pages outside of the trees: freelist, and those that nothing leads to.

use super::Expect;
use super::frame::Fault;
use super::leaf::all_zero;
use super::walk::Walk;
use crate::error::{Corruption, Result};
use crate::format::freelist;
use crate::format::meta::NO_FREELIST;
use crate::format::page;
use crate::read::PageRun;
use crate::units::Pgid;
use crate::verify::findings::FindingCode;

impl Walk<'_> {
    /// Enters the freelist's own pages and those it lists; for our own files the metas too.
    pub fn free_space(&mut self) -> Result<()> {
        self.report.pages = self.snapshot.meta().high_water_mark.0;
        self.seen.insert_run(Pgid(0), 2);
        if self.expect != Expect::Sound {
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
        self.report.freelist_pages = run.pages();
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
            if self.expect == Expect::Accounted && !(2..self.report.pages).contains(&pgid.0) {
                let fault = Fault::new(FindingCode::FreelistInvalid, "no page that can be free");
                self.fault(Some(pgid), fault);
            }
            if self.freed.contains(pgid) {
                let fault = Fault::new(FindingCode::FreedTwice, "on the freelist twice");
                self.fault(Some(pgid), fault);
            }
            // Out of range is no fault to bbolt's Check, and the set ignores it.
            self.freed.insert_run(pgid, 1);
        }
        if self.expect != Expect::Compact {
            return Ok(());
        }
        if self.report.free_pages > 0 || run.header.overflow > 0 {
            let detail = format!("{} pages on the freelist", self.report.free_pages);
            return Err(Fault::new(FindingCode::FreelistNotEmpty, detail));
        }
        all_zero(&run.bytes, page::HEADER_BYTES..run.bytes.len())
    }

    /// Pages that nothing leads to. Without a freelist bbolt takes them for free.
    pub fn unreached(&mut self) -> Result<()> {
        let (code, detail) = match self.expect {
            Expect::Compact => (FindingCode::Gap, "not in use"),
            _ if self.snapshot.meta().freelist == NO_FREELIST => {
                let free = (0..self.report.pages).filter(|&id| !self.seen.contains(Pgid(id)));
                self.report.free_pages = free.count() as u64;
                return Ok(());
            }
            _ => (FindingCode::UnreachableUnfreed, "neither in use nor on the freelist"),
        };
        for id in 0..self.report.pages {
            let pgid = Pgid(id);
            let excused = self.expect != Expect::Compact && self.freed.contains(pgid);
            if !self.seen.contains(pgid) && !excused {
                self.fault(Some(pgid), Fault::new(code, detail));
            }
        }
        Ok(())
    }
}
