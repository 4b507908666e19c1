//! What follows the pages: a SHA-256, nothing, or what does not belong there.

use crate::error::Result;
use crate::format::trailer::{Trailer, hex};
use crate::outcome::InputTrailer;
use crate::progress::{Progress, step};
use crate::read::Snapshot;
use crate::verify::findings::{Finding, FindingCode, Findings};

const PIECE_BYTES: u64 = 1 << 20;

/// Holds the trailer against the pages; without one looks at what there is instead.
pub fn check(snapshot: &Snapshot, progress: &dyn Progress) -> Result<(InputTrailer, Findings)> {
    let mut findings = Findings::default();
    let Trailer::Present(found) = snapshot.trailer()? else {
        let detail = "no SHA-256 trailer: a copied database, or a snapshot cut short";
        findings.push(Finding::new(FindingCode::TrailerMissing, detail));
        findings.append(behind_pages(snapshot, progress)?);
        return Ok((InputTrailer::Missing, findings));
    };
    let computed = snapshot.sha256(|bytes| step(progress, bytes))?;
    if computed == found {
        return Ok((InputTrailer::Verified, findings));
    }
    let (found, computed) = (hex(&found), hex(&computed));
    let detail = format!("SHA-256 trailer is {found}, but the content hashes to {computed}");
    findings.push(Finding::new(FindingCode::TrailerMismatch, detail));
    Ok((InputTrailer::Mismatch, findings))
}

/// A database grows ahead of its pages, by zeros; anything else was not put there by bbolt, or by
/// a transaction that a crash ended.
fn behind_pages(snapshot: &Snapshot, progress: &dyn Progress) -> Result<Findings> {
    let mut findings = Findings::default();
    let (mut at, end) = (snapshot.pages_bytes(), snapshot.file_bytes());
    while at < end {
        let bytes = snapshot.read(at, PIECE_BYTES.min(end - at))?;
        step(progress, 0)?;
        if let Some(offset) = bytes.iter().position(|&byte| byte != 0) {
            let offset = at + offset as u64;
            let detail = format!("bytes from offset {offset} to {end} belong to no page");
            findings.push(Finding::new(FindingCode::TrailingBytes, detail));
            break;
        }
        at += bytes.len() as u64;
    }
    Ok(findings)
}
