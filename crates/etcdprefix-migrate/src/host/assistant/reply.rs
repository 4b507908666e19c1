//! A sealed reply, put together from pages that anybody may have cut off.

use super::super::HostError;
use super::wait::Said;
use crate::node::relay::{Answer, Page};
use crate::node::sha256;

/// No reply is longer.
const REPLY_BYTES_MAX: u64 = 16 << 20;

/// A sealed reply, as far as it has come.
pub struct Reply<'a> {
    id: &'a str,
    pub sealed: Vec<u8>,
    /// Its length and its SHA-256, by its first page.
    known: Option<(u64, String)>,
}

/// What came of a page.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    Whole,
    Part,
    /// To be asked for again, in shorter pages.
    Torn,
    /// The host doesn't have it, or another than before.
    Gone,
}

impl<'a> Reply<'a> {
    /// Of the command of that id.
    pub fn of(id: &'a str) -> Self {
        Self { id, sealed: Vec::new(), known: None }
    }

    /// Adds a page, if it is one.
    pub fn take(&mut self, said: &Said) -> Result<Taken, HostError> {
        match Answer::find(&said.output) {
            Some(Answer::Gone { id }) if id == self.id => Ok(Taken::Gone),
            Some(Answer::Page(page)) if said.dropped_bytes == 0 && page.id == self.id => {
                self.take_page(&page)
            }
            _ if said.exit_code.is_some_and(|code| code != 0) => {
                Err(HostError::Binary(format!("the command failed: {}", said.told())))
            }
            _ => Ok(Taken::Torn),
        }
    }

    fn take_page(&mut self, page: &Page) -> Result<Taken, HostError> {
        let told = (page.total_bytes, page.sha256.clone());
        if page.total_bytes > REPLY_BYTES_MAX {
            return Err(HostError::Binary(format!("it replies with {} bytes", page.total_bytes)));
        }
        if *self.known.get_or_insert_with(|| told.clone()) != told {
            return Ok(Taken::Gone);
        }
        let Some(bytes) = page.bytes().filter(|_| page.offset == self.sealed.len() as u64) else {
            return Ok(Taken::Torn);
        };
        let is_end = bytes.is_empty();
        self.sealed.extend(bytes);
        match self.sealed.len() as u64 == page.total_bytes {
            true if sha256(&self.sealed) == page.sha256 => Ok(Taken::Whole),
            true => Ok(Taken::Gone),
            false if is_end => Ok(Taken::Gone),
            false => Ok(Taken::Part),
        }
    }
}
