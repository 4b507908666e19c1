//! Sorted runs of entries in one temporary file, and their merge.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::{Entry, KeyHash};
use crate::error::{Error, Result};
use crate::format::bytes::u64_at;

const ENTRY_BYTES: usize = 24;
/// Room of the buffer that runs are written through.
const WRITE_BYTES: usize = ENTRY_BYTES * 8192;

/// Runs of entries, each sorted by hash with every hash at most once.
pub struct Spill {
    folder: PathBuf,
    limit_bytes: usize,
    file: Option<File>,
    runs: Vec<Run>,
    end: u64,
}

/// Where a run, or what is left of it, lies in the file.
#[derive(Clone, Copy)]
struct Run {
    offset: u64,
    end: u64,
}

impl Spill {
    pub fn new(folder: PathBuf, limit_bytes: usize) -> Self {
        Self { folder, limit_bytes, file: None, runs: Vec::new(), end: 0 }
    }

    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub fn write_run(&mut self, entries: &[Entry]) -> Result<()> {
        self.try_write_run(entries).map_err(Error::io("write temporary file in", &self.folder))
    }

    fn try_write_run(&mut self, entries: &[Entry]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(&self.folder)?),
        };
        let offset = self.end;
        let mut buffer = Vec::with_capacity(WRITE_BYTES);
        for chunk in entries.chunks(WRITE_BYTES / ENTRY_BYTES) {
            buffer.clear();
            chunk.iter().for_each(|entry| encode(entry, &mut buffer));
            file.write_all_at(&buffer, self.end)?;
            self.end += buffer.len() as u64;
        }
        let end = self.end;
        self.runs.push(Run { offset, end });
        Ok(())
    }

    /// Gives every hash of all runs once, joined, in the hashes' order.
    pub fn merge(self, each: impl FnMut(&Entry)) -> Result<()> {
        let Self { folder, limit_bytes, file, runs, .. } = self;
        let Some(file) = file else { return Ok(()) };
        let buffer_bytes = (limit_bytes / runs.len().max(1)).max(ENTRY_BYTES);
        let readers = runs.into_iter().map(|rest| Reader {
            file: &file,
            rest,
            buffer_bytes: buffer_bytes.min(WRITE_BYTES) / ENTRY_BYTES * ENTRY_BYTES,
            buffer: Vec::new(),
            next: 0,
        });
        merge_readers(readers.collect(), each).map_err(Error::io("read temporary file in", folder))
    }
}

fn merge_readers(mut readers: Vec<Reader<'_>>, mut each: impl FnMut(&Entry)) -> io::Result<()> {
    let mut heads = BinaryHeap::with_capacity(readers.len());
    for (index, reader) in readers.iter_mut().enumerate() {
        heads.extend(reader.next()?.map(|entry| Reverse((entry, index))));
    }
    let mut joined: Option<Entry> = None;
    while let Some(Reverse((entry, index))) = heads.pop() {
        match &mut joined {
            Some(before) if before.hash == entry.hash => before.join(&entry),
            before => {
                before.iter().for_each(&mut each);
                *before = Some(entry);
            }
        }
        if let Some(reader) = readers.get_mut(index) {
            heads.extend(reader.next()?.map(|entry| Reverse((entry, index))));
        }
    }
    joined.iter().for_each(each);
    Ok(())
}

struct Reader<'f> {
    file: &'f File,
    rest: Run,
    buffer_bytes: usize,
    buffer: Vec<u8>,
    next: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> io::Result<Option<Entry>> {
        if self.next == self.buffer.len() {
            self.refill()?;
        }
        let entry = decode(&self.buffer, self.next);
        self.next += if entry.is_some() { ENTRY_BYTES } else { 0 };
        Ok(entry)
    }

    fn refill(&mut self) -> io::Result<()> {
        let left = usize::try_from(self.rest.end - self.rest.offset).unwrap_or(usize::MAX);
        self.buffer.resize(self.buffer_bytes.min(left), 0);
        self.file.read_exact_at(&mut self.buffer, self.rest.offset)?;
        self.rest.offset += self.buffer.len() as u64;
        self.next = 0;
        Ok(())
    }
}

fn encode(entry: &Entry, out: &mut Vec<u8>) {
    let KeyHash([first, second]) = entry.hash;
    for number in [first, second, entry.last] {
        out.extend(number.to_le_bytes());
    }
}

fn decode(bytes: &[u8], at: usize) -> Option<Entry> {
    Some(Entry {
        hash: KeyHash([u64_at(bytes, at)?, u64_at(bytes, at + 8)?]),
        last: u64_at(bytes, at + 16)?,
    })
}
