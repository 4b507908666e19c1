//! Pages of a sealed reply, as both sides know them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::node::disk;

/// One line of JSON on stdout.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    Page(Page),
    /// There is no such reply (any more).
    Gone {
        id: String,
    },
}

/// A part of a sealed reply.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Page {
    pub(crate) id: String,
    /// Where it begins, in bytes.
    pub(crate) offset: u64,
    /// Of the whole reply.
    pub(crate) total_bytes: u64,
    /// Of the whole reply.
    pub(crate) sha256: String,
    /// Of this part.
    pub(crate) page_sha256: String,
    /// The part, in Base64.
    pub(crate) page: String,
}

/// What is sealed: all that a run of the program ended with.
#[derive(Serialize, Deserialize)]
pub(crate) struct Relayed {
    /// Whose result it is: another's is not taken for it.
    pub(crate) id: String,
    /// `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    /// In Base64.
    pub(crate) stdout: String,
    /// The end of it.
    pub(crate) stderr: String,
}

impl Drop for Relayed {
    fn drop(&mut self) {
        self.stdout.zeroize();
    }
}

/// The part from `offset` on; empty behind the end.
pub(crate) fn cut(id: &str, sealed: &[u8], offset: u64, page_bytes: usize) -> Answer {
    let begin = usize::try_from(offset).unwrap_or(usize::MAX).min(sealed.len());
    let end = begin.saturating_add(page_bytes).min(sealed.len());
    let part = sealed.get(begin..end).unwrap_or_default();
    Answer::Page(Page {
        id: id.into(),
        offset: begin as u64,
        total_bytes: sealed.len() as u64,
        sha256: disk::sha256(sealed),
        page_sha256: disk::sha256(part),
        page: STANDARD.encode(part),
    })
}

impl Answer {
    /// In what a command said, the last line that begins as one does; `None` if there is none, or it is
    /// not whole.
    pub(crate) fn find(output: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(output);
        let line = text.lines().rev().find(|line| line.starts_with('{'))?;
        serde_json::from_str(line.trim_end()).ok()
    }
}

impl Page {
    /// The part, if it is what its sender says.
    pub(crate) fn bytes(&self) -> Option<Vec<u8>> {
        let bytes = STANDARD.decode(&self.page).ok()?;
        (disk::sha256(&bytes) == self.page_sha256).then_some(bytes)
    }
}
