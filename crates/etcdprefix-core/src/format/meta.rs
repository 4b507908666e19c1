//! The meta page, behind its page header: magic u32, version u32, page size u32, flags u32,
//! root pgid u64, root sequence u64, freelist pgid u64, high water mark u64, txid u64, checksum u64.

use crate::error::Corruption;
use crate::format::bytes::{u32_at, u64_at};
use crate::format::page::{self, PageHeader};
use crate::units::{PageSize, Pgid, Txid};

const MAGIC_AT: usize = page::HEADER_BYTES;
const VERSION_AT: usize = MAGIC_AT + 4;
const PAGE_SIZE_AT: usize = VERSION_AT + 4;
const FLAGS_AT: usize = PAGE_SIZE_AT + 4;
const ROOT_AT: usize = FLAGS_AT + 4;
const SEQUENCE_AT: usize = ROOT_AT + 8;
const FREELIST_AT: usize = SEQUENCE_AT + 8;
const HIGH_WATER_MARK_AT: usize = FREELIST_AT + 8;
const TXID_AT: usize = HIGH_WATER_MARK_AT + 8;
const CHECKSUM_AT: usize = TXID_AT + 8;
/// Bytes of a meta page that mean something, page header included.
pub const META_BYTES: usize = CHECKSUM_AT + 8;

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;

/// The freelist pgid of a file without one: etcd sets bbolt's `NoFreelistSync`.
pub const NO_FREELIST: Pgid = Pgid(u64::MAX);

/// A meta page whose magic, version, page size and checksum hold. Its page ids are unchecked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The page size of the file.
    pub page_size: PageSize,
    /// Unused by bbolt; carried over.
    pub flags: u32,
    /// The root bucket's page.
    pub root: Pgid,
    /// The root bucket's sequence.
    pub sequence: u64,
    /// The freelist's page, or [`NO_FREELIST`].
    pub freelist: Pgid,
    /// One past the highest page in use.
    pub high_water_mark: Pgid,
    /// The transaction that wrote this meta page.
    pub txid: Txid,
}

impl Meta {
    /// Reads and validates a meta page.
    ///
    /// # Errors
    /// [`Corruption::MetaInvalid`] says which test failed first: size, magic, version, checksum,
    /// or page size (bbolt `meta.validate`, v1.3.6, and the range of [`PageSize`]).
    pub fn parse(bytes: &[u8]) -> Result<Self, Corruption> {
        let invalid = |why| Corruption::MetaInvalid { why };
        let body = bytes.get(..META_BYTES).ok_or(invalid("too short"))?;
        if u32_at(body, MAGIC_AT) != Some(MAGIC) {
            return Err(invalid("wrong magic"));
        }
        if u32_at(body, VERSION_AT) != Some(VERSION) {
            return Err(invalid("unknown version"));
        }
        if u64_at(body, CHECKSUM_AT) != Some(fnv1a64(&body[MAGIC_AT..CHECKSUM_AT])) {
            return Err(invalid("wrong checksum"));
        }
        Self::fields(body).ok_or(invalid("page size out of range"))
    }

    fn fields(body: &[u8]) -> Option<Self> {
        Some(Self {
            page_size: PageSize::new(u32_at(body, PAGE_SIZE_AT)?)?,
            flags: u32_at(body, FLAGS_AT)?,
            root: Pgid(u64_at(body, ROOT_AT)?),
            sequence: u64_at(body, SEQUENCE_AT)?,
            freelist: Pgid(u64_at(body, FREELIST_AT)?),
            high_water_mark: Pgid(u64_at(body, HIGH_WATER_MARK_AT)?),
            txid: Txid(u64_at(body, TXID_AT)?),
        })
    }

    /// The whole meta page for page `id`, checksum included.
    pub fn encode(&self, id: Pgid) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.page_size.as_usize());
        out.extend(PageHeader { id, flags: page::META, count: 0, overflow: 0 }.encode());
        out.extend(MAGIC.to_le_bytes());
        out.extend(VERSION.to_le_bytes());
        out.extend(self.page_size.raw().to_le_bytes());
        out.extend(self.flags.to_le_bytes());
        for field in
            [self.root.0, self.sequence, self.freelist.0, self.high_water_mark.0, self.txid.0]
        {
            out.extend(field.to_le_bytes());
        }
        let checksum = fnv1a64(&out[MAGIC_AT..]);
        out.extend(checksum.to_le_bytes());
        out.resize(self.page_size.as_usize(), 0);
        out
    }
}

fn fnv1a64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}
