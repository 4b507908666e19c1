//! Writes the planned pages: rendered and written on many threads, hashed in file order on one.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use crate::aligned::AlignedBytes;
use crate::crc::Crc;
use crate::error::{Error, Result};
use crate::format::freelist;
use crate::format::meta::Meta;
use crate::format::trailer::{Sha256Digest, TRAILER_BYTES};
use crate::options::ChangePrefix;
use crate::progress::{Progress, step};
use crate::save::branch_pages::render_branch;
use crate::save::buffer::{PageBuffer, PageOut};
use crate::save::chunk::Chunk;
use crate::save::place::{FREELIST_PGID, Level};
use crate::save::plan::{Plan, TreePlan};
use crate::save::render::Source;
use crate::save::sink::Sink;
use crate::units::{PageSize, Pgid, Txid};

/// Bytes of a huge record that are written at once.
const PIECE_BYTES: usize = 1 << 20;

/// What was written.
#[derive(Clone, Copy, Debug)]
pub struct Emitted {
    /// The SHA-256 of all pages: the trailer, which is written too.
    pub sha256: Sha256Digest,
    /// The status hash of the source as it was read while rendering.
    pub status_hash_before: u32,
    /// The status hash of the pages.
    pub status_hash_after: u32,
}

/// Writes the file that `plan` describes to `sink`, whose name in messages is `path`.
///
/// Memory: a buffer for each chunk in flight, of which there are at most 12: 4 MiB and what a record
/// of a megabyte or so adds, with larger records up to 16 MiB.
///
/// # Errors
/// As planning, busy if the source changed since, I/O of the sink, interrupted.
pub fn emit(
    source: Source<'_>,
    plan: &Plan,
    options: &ChangePrefix,
    sink: &dyn Sink,
    path: &Path,
    progress: &dyn Progress,
) -> Result<Emitted> {
    let page_size = source.snapshot.page_size();
    let writer = Writer { sink, path, page_size, buffer_bytes: options.tuning.buffer_bytes };
    let mut sealer = Sealer {
        source,
        writer,
        progress,
        hasher: Sha256::new(),
        offset: 0,
        hashes: inline_hashes(source, plan)?,
    };
    sealer.pages(&head(source.snapshot.meta(), plan))?;
    let mut jobs = VecDeque::new();
    collect_jobs(&plan.tree, None, &mut jobs);
    let buffers = Buffers::default();
    crate::parallel::ordered(
        options.threads,
        || Ok(jobs.pop_front()),
        |job| render(source, writer, job, buffers.take()),
        |rendered| sealer.seal(rendered, &buffers),
    )?;
    sealer.finish(plan)
}

/// Meta pages 0 and 1 and the freelist. The txids follow the source's, so that the output is newer
/// than it; bbolt writes a transaction's meta to page txid modulo 2 and takes the higher one.
fn head(source: &Meta, plan: &Plan) -> Vec<u8> {
    // The plan bounds the source's id.
    let newer = source.txid.0.saturating_add(2);
    let meta = |id: u64| {
        let txid = Txid(if newer % 2 == id { newer } else { newer - 1 });
        let meta = Meta {
            root: plan.tree.root,
            freelist: FREELIST_PGID,
            high_water_mark: plan.high_water_mark,
            txid,
            ..*source
        };
        meta.encode(Pgid(id))
    };
    let freelist = freelist::encode_empty(FREELIST_PGID, source.page_size.as_usize());
    [meta(0), meta(1), freelist].concat()
}

/// A piece of the output that one thread renders.
enum Job<'p> {
    Chunk { tree: &'p TreePlan, chunk: &'p Chunk, bucket: Option<usize> },
    Level(&'p Level),
}

impl Job<'_> {
    fn pages(&self) -> u64 {
        match self {
            Self::Chunk { chunk, .. } => chunk.pages(),
            Self::Level(level) => level.groups.iter().map(|group| group.pages).sum(),
        }
    }
}

/// The jobs of `tree` in file order; `bucket` is its number among the top-level buckets.
fn collect_jobs<'p>(tree: &'p TreePlan, bucket: Option<usize>, jobs: &mut VecDeque<Job<'p>>) {
    let is_root = tree.bucket.name.is_empty();
    if tree.inline_bytes.is_none() {
        jobs.extend(tree.levels.iter().map(Job::Level));
        jobs.extend(tree.chunks.iter().map(|chunk| Job::Chunk { tree, chunk, bucket }));
    }
    for (number, child) in tree.children.iter().enumerate() {
        collect_jobs(child, is_root.then_some(number), jobs);
    }
}

enum Rendered<'p> {
    Pages {
        bytes: AlignedBytes,
        hashes: Option<(usize, Hashes)>,
    },
    /// Too large for a buffer: rendered in its turn, in pieces.
    Huge {
        tree: &'p TreePlan,
        chunk: &'p Chunk,
        bucket: Option<usize>,
    },
}

/// Status hashes of successive elements, in the source and in the output.
#[derive(Clone, Copy, Debug, Default)]
struct Hashes {
    before: Crc,
    after: Crc,
}

impl Hashes {
    fn append(&mut self, later: &Self) {
        self.before.append(&later.before);
        self.after.append(&later.after);
    }
}

fn render<'p>(
    source: Source<'_>,
    writer: Writer<'_>,
    job: Job<'p>,
    buffer: AlignedBytes,
) -> Result<Rendered<'p>> {
    let room_bytes = job.pages() * writer.page_size.bytes();
    match job {
        Job::Chunk { tree, chunk, bucket } => {
            if room_bytes > writer.buffer_bytes {
                return Ok(Rendered::Huge { tree, chunk, bucket });
            }
            let mut out = PageBuffer::reusing(buffer, room_bytes as usize);
            let before = source.render_chunk(tree, chunk, &mut out)?;
            let (bytes, after) = out.finish();
            writer.write_pages(chunk.first_pgid, &bytes)?;
            let hashes = bucket.map(|bucket| (bucket, Hashes { before, after }));
            Ok(Rendered::Pages { bytes, hashes })
        }
        Job::Level(level) => {
            let mut out = PageBuffer::reusing(buffer, room_bytes as usize);
            render_level(&mut out, writer.page_size, level)?;
            let (bytes, _) = out.finish();
            writer.write_pages(level.first_pgid, &bytes)?;
            Ok(Rendered::Pages { bytes, hashes: None })
        }
    }
}

fn render_level(out: &mut impl PageOut, page_size: PageSize, level: &Level) -> Result<()> {
    let (mut pgid, mut child) = (level.first_pgid.0, 0);
    for group in &level.groups {
        let children = level.children.get(child..child + group.children).unwrap_or_default();
        let children = children.iter().map(|(key, pgid)| (key.as_ref(), *pgid));
        render_branch(out, page_size, Pgid(pgid), *group, children)?;
        pgid += group.pages;
        child += group.children;
    }
    Ok(())
}

/// The hashes of top-level buckets as far as they are inline, in bucket order.
fn inline_hashes(source: Source<'_>, plan: &Plan) -> Result<Vec<Hashes>> {
    let hashes = plan.tree.children.iter().map(|bucket| {
        if bucket.inline_bytes.is_none() {
            return Ok(Hashes::default());
        }
        let (_, before, after) = source.render_inline(bucket)?;
        Ok(Hashes { before, after })
    });
    hashes.collect()
}

/// Puts rendered pieces in order: hashes them, and renders huge ones itself.
struct Sealer<'a> {
    source: Source<'a>,
    writer: Writer<'a>,
    progress: &'a dyn Progress,
    hasher: Sha256,
    offset: u64,
    /// By top-level bucket.
    hashes: Vec<Hashes>,
}

impl Sealer<'_> {
    fn pages(&mut self, bytes: &[u8]) -> Result<()> {
        self.writer.write(self.offset, bytes)?;
        self.hash(bytes)
    }

    fn hash(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.offset += bytes.len() as u64;
        self.writer.sink.complete_up_to(self.offset);
        step(self.progress, bytes.len() as u64)
    }

    fn seal(&mut self, rendered: Rendered<'_>, buffers: &Buffers) -> Result<()> {
        match rendered {
            Rendered::Pages { bytes, hashes } => {
                self.hash(&bytes)?;
                buffers.give_back(bytes);
                if let Some((bucket, hashes)) = hashes {
                    self.note(bucket, &hashes);
                }
                Ok(())
            }
            Rendered::Huge { tree, chunk, bucket } => {
                let source = self.source;
                let mut out = Pieces { sealer: self, buffer: Vec::new(), crc: Crc::default() };
                let before = source.render_chunk(tree, chunk, &mut out)?;
                let after = out.finish()?;
                if let Some(bucket) = bucket {
                    self.note(bucket, &Hashes { before, after });
                }
                Ok(())
            }
        }
    }

    fn note(&mut self, bucket: usize, hashes: &Hashes) {
        if let Some(sum) = self.hashes.get_mut(bucket) {
            sum.append(hashes);
        }
    }

    fn finish(self, plan: &Plan) -> Result<Emitted> {
        let sha256: Sha256Digest = self.hasher.finalize().into();
        self.writer.write(self.offset, &sha256)?;
        self.writer.sink.complete_up_to(self.offset + TRAILER_BYTES);
        let mut all = Hashes::default();
        for (bucket, hashes) in plan.tree.children.iter().zip(&self.hashes) {
            all.before.update(&bucket.bucket.name);
            all.after.update(&bucket.bucket.name);
            all.append(hashes);
        }
        let (status_hash_before, status_hash_after) = (all.before.value(), all.after.value());
        Ok(Emitted { sha256, status_hash_before, status_hash_after })
    }
}

/// Writes and hashes a huge chunk as it is rendered.
struct Pieces<'a, 'b> {
    sealer: &'a mut Sealer<'b>,
    buffer: Vec<u8>,
    crc: Crc,
}

impl Pieces<'_, '_> {
    fn flush(&mut self) -> Result<()> {
        self.sealer.pages(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<Crc> {
        self.flush()?;
        Ok(self.crc)
    }
}

impl PageOut for Pieces<'_, '_> {
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(PIECE_BYTES) {
            self.buffer.extend_from_slice(piece);
            if self.buffer.len() >= PIECE_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn put_hashed(&mut self, bytes: &[u8]) -> Result<()> {
        self.crc.update(bytes);
        self.put(bytes)
    }

    fn put_zeros(&mut self, count: u64) -> Result<()> {
        // Less than a page, since it only fills one up.
        self.put(&vec![0; count as usize])
    }
}

#[derive(Clone, Copy)]
struct Writer<'a> {
    sink: &'a dyn Sink,
    path: &'a Path,
    page_size: PageSize,
    buffer_bytes: u64,
}

impl Writer<'_> {
    fn write_pages(self, pgid: Pgid, bytes: &[u8]) -> Result<()> {
        self.write(pgid.0 * self.page_size.bytes(), bytes)
    }

    fn write(self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.sink.write_at(offset, bytes).map_err(Error::io("write", self.path))
    }
}

/// Buffers that go round, so that pages are not faulted in anew for every chunk.
#[derive(Default)]
struct Buffers(Mutex<Vec<AlignedBytes>>);

impl Buffers {
    fn take(&self) -> AlignedBytes {
        let mut buffers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        buffers.pop().unwrap_or_default()
    }

    fn give_back(&self, buffer: AlignedBytes) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }
}
