//! From a page to what lies below it.

use super::frame::Fault;
use super::leaf::all_zero;
use super::order::{MAX_KEY_BYTES, Order, check_upper, too_long};
use crate::error::{Corruption, Error};
use crate::format::branch;
use crate::format::page::{self, HEADER_BYTES};
use crate::read::{Bucket, PageRun, Snapshot};
use crate::units::{PageSize, Pgid};
use crate::verify::findings::FindingCode;

/// What comes next under the topmost frame.
pub enum Next {
    Child {
        child: Pgid,
        upper: Option<Vec<u8>>,
        /// What is wrong with the key; the child is entered all the same.
        fault: Option<(Pgid, Fault)>,
    },
    Bucket(Bucket),
    /// An element that leads nowhere; the frame is done.
    Fault(Pgid, Fault),
    /// A bucket that can't be read; its neighbours can.
    BadBucket(Pgid, Fault),
    Up,
}

/// Proves that a branch page's elements are inside of it and share no bytes; gives the end of what
/// is used.
pub fn check_branch(run: &PageRun<'_>) -> Result<usize, Fault> {
    let Some(view) = run.branch().filter(|view| view.count() > 0) else {
        return Err(Fault::new(FindingCode::BranchEmpty, "branch without children"));
    };
    let mut end = HEADER_BYTES + view.count() * branch::ELEMENT_BYTES;
    for index in 0..view.count() {
        let element = view.element(index).map_err(|damage| Fault::from(&damage))?;
        end += element.key.len();
    }
    if end > run.bytes.len() {
        return Err(Fault::from(&Corruption::ElementsOverlap));
    }
    Ok(end)
}

/// Proves that every byte up to `end` means something, the rest is zero, and the limits of our own
/// files.
pub fn compact_branch(run: &PageRun<'_>, end: usize, page_size: PageSize) -> Result<(), Fault> {
    match usize::from(run.header.count) {
        1 => {
            let detail = "branch with one child";
            return Err(Fault::new(FindingCode::BranchTooSmall, detail));
        }
        count if count > page::MAX_ELEMENTS as usize => {
            let detail = format!("{count} elements");
            return Err(Fault::new(FindingCode::TooManyElements, detail));
        }
        _ => {}
    }
    if run.pages() > page_size.pages_for(end as u64) {
        let detail = format!("{} pages for {end} bytes", run.pages());
        return Err(Fault::new(FindingCode::Slack, detail));
    }
    all_zero(&run.bytes, end..run.bytes.len())
}

/// The child of element `next`, whose key is judged here.
pub fn next_child(
    run: &PageRun<'_>,
    next: usize,
    upper: Option<&[u8]>,
    order: &mut Order,
    exact: bool,
) -> Next {
    let Some(view) = run.branch().filter(|view| next < view.count()) else {
        return Next::Up;
    };
    let element = match view.element(next) {
        Ok(element) if element.key.len() > MAX_KEY_BYTES => {
            return Next::Fault(run.pgid, too_long(element.key));
        }
        Ok(element) => element,
        Err(damage) => return Next::Fault(run.pgid, Fault::from(&damage)),
    };
    let judged = order.check(element.key, exact).and_then(|()| check_upper(element.key, upper));
    order.pass_branch(element.key);
    let after = view.element(next + 1).map(|after| after.key);
    let upper = after.ok().filter(|key| key.len() <= MAX_KEY_BYTES).or(upper);
    Next::Child {
        child: element.child,
        upper: upper.map(<[u8]>::to_vec),
        fault: judged.err().map(|fault| (run.pgid, fault)),
    }
}

/// The next bucket among a leaf's elements.
pub fn next_bucket(snapshot: &Snapshot, run: &PageRun<'_>, next: &mut usize) -> Next {
    let Some(view) = run.leaf() else {
        return Next::Up;
    };
    while *next < view.count() {
        let element = match view.element(*next) {
            Ok(element) => element,
            Err(damage) => return Next::Fault(run.pgid, Fault::from(&damage)),
        };
        *next += 1;
        if !element.is_bucket {
            continue;
        }
        return match Bucket::from_element(snapshot, element.key, element.value) {
            Ok(bucket) => Next::Bucket(bucket),
            Err(Error::Damaged { damage, .. }) => Next::BadBucket(run.pgid, Fault::from(&damage)),
            Err(_) => Next::Up,
        };
    }
    Next::Up
}
