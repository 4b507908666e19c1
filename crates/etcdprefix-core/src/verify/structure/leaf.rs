//! One leaf, in a page or inline, taken by itself.

use std::ops::Range;

use super::frame::Fault;
use super::order::{MAX_KEY_BYTES, out_of_order, too_long};
use crate::error::Corruption;
use crate::format::leaf::{BUCKET, ELEMENT_BYTES, ElementSpan, LeafView};
use crate::format::page::{HEADER_BYTES, MAX_ELEMENTS, PageHeader};
use crate::units::PageSize;
use crate::verify::findings::FindingCode;

/// Pages that a leaf of several records may take in our own files: with it etcd's node splits stay
/// cheap (docs of the writer), and a page with one large record is no exception but a case apart.
const MAX_SHARED_PAGES: u64 = 16;

/// A leaf's bytes as they are checked.
pub struct LeafCheck<'a> {
    bytes: &'a [u8],
    header: PageHeader,
    view: LeafView<'a>,
}

/// A leaf's first and last key.
#[derive(Clone, Copy)]
pub struct Ends<'a> {
    pub first: &'a [u8],
    pub last: &'a [u8],
}

/// What is known of a leaf whose elements are inside of it.
pub struct LeafFacts {
    pub elements: u64,
    /// Header, elements, keys and values.
    pub used_bytes: u64,
    /// How many of the elements are buckets.
    pub buckets: u64,
}

impl<'a> LeafCheck<'a> {
    pub fn new(bytes: &'a [u8], header: &PageHeader) -> Self {
        Self { bytes, header: *header, view: LeafView::new(bytes, header) }
    }

    /// Proves that all elements are inside the page and share no bytes.
    pub fn facts(&self) -> Result<LeafFacts, Fault> {
        let mut used_bytes = HEADER_BYTES as u64;
        let mut buckets = 0;
        for index in 0..self.view.count() {
            let span = self.span(index)?;
            used_bytes += (ELEMENT_BYTES + span.key.len() + span.value.len()) as u64;
            buckets += u64::from(span.is_bucket());
        }
        if used_bytes > self.bytes.len() as u64 {
            return Err(Fault::from(&Corruption::ElementsOverlap));
        }
        Ok(LeafFacts { elements: self.view.count() as u64, used_bytes, buckets })
    }

    /// Proves that keys rise; gives the first and the last one.
    pub fn ascending(&self) -> Result<Option<Ends<'a>>, Fault> {
        let mut ends: Option<Ends<'a>> = None;
        for index in 0..self.view.count() {
            let key = self.key(index)?;
            if key.len() > MAX_KEY_BYTES {
                return Err(too_long(key));
            }
            match &mut ends {
                Some(ends) if key <= ends.last => return Err(out_of_order(ends.last, key)),
                Some(ends) => ends.last = key,
                none => {
                    *none = Some(Ends { first: key, last: key });
                }
            }
        }
        Ok(ends)
    }

    /// As [`LeafCheck::contiguous`], with the limits of our own files.
    pub fn compact(&self, facts: &LeafFacts, page_size: PageSize) -> Result<(), Fault> {
        if facts.elements > u64::from(MAX_ELEMENTS) {
            let detail = format!("{} elements", facts.elements);
            return Err(Fault::new(FindingCode::TooManyElements, detail));
        }
        let pages = u64::from(self.header.overflow) + 1;
        if facts.elements > 1 && pages > MAX_SHARED_PAGES {
            let detail = format!("{} elements in {pages} pages", facts.elements);
            return Err(Fault::new(FindingCode::RunTooLong, detail));
        }
        if pages > page_size.pages_for(facts.used_bytes) {
            let detail = format!("{pages} pages for {} bytes", facts.used_bytes);
            return Err(Fault::new(FindingCode::Slack, detail));
        }
        self.contiguous()
    }

    /// Proves that every byte means something or is zero, and flags that bbolt knows.
    pub fn contiguous(&self) -> Result<(), Fault> {
        let mut end = HEADER_BYTES + self.view.count() * ELEMENT_BYTES;
        for index in 0..self.view.count() {
            let span = self.span(index)?;
            if span.flags & !BUCKET != 0 {
                let detail = format!("element {index} has flags {:#x}", span.flags);
                return Err(Fault::new(FindingCode::ElementFlags, detail));
            }
            if span.key.start != end {
                let detail = format!("element {index} does not follow the one before");
                return Err(Fault::new(FindingCode::ElementsApart, detail));
            }
            end = span.value.end;
        }
        all_zero(self.bytes, end..self.bytes.len())
    }

    fn span(&self, index: usize) -> Result<ElementSpan, Fault> {
        self.view.span(index).map_err(|damage| Fault::from(&damage))
    }

    fn key(&self, index: usize) -> Result<&'a [u8], Fault> {
        self.view.element(index).map(|element| element.key).map_err(|damage| Fault::from(&damage))
    }
}

/// Whether the bytes that belong to nothing are zero.
pub fn all_zero(bytes: &[u8], range: Range<usize>) -> Result<(), Fault> {
    let rest = bytes.get(range).unwrap_or_default();
    match rest.iter().position(|&byte| byte != 0) {
        None => Ok(()),
        Some(_) => Err(Fault::new(FindingCode::Slack, "unused bytes are not zero")),
    }
}
