//! Numbers that must not be mixed up: page ids, transaction ids, page sizes, revisions.

use std::fmt;

use serde::Serialize;

/// A page's id, which is also its position in the file in units of the page size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Pgid(pub u64);

impl fmt::Display for Pgid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A transaction's id; the valid meta page with the higher one is current.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Txid(pub u64);

/// The size of a page in bytes: a power of two from 1 KiB to 64 KiB, read from the meta page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PageSize(u32);

impl PageSize {
    /// The smallest page size accepted; bbolt's own probing of a broken file starts here.
    pub const MIN_BYTES: u32 = 1 << 10;
    /// The largest page size accepted: that of the largest pages of any Linux kernel etcd runs on.
    pub const MAX_BYTES: u32 = 1 << 16;

    /// `None` unless `bytes` is a power of two in the accepted range.
    pub fn new(bytes: u32) -> Option<Self> {
        let in_range = (Self::MIN_BYTES..=Self::MAX_BYTES).contains(&bytes);
        (in_range && bytes.is_power_of_two()).then_some(Self(bytes))
    }

    /// The size in bytes.
    pub fn bytes(self) -> u64 {
        u64::from(self.0)
    }

    /// The size in bytes, for slices.
    pub fn as_usize(self) -> usize {
        self.0 as usize
    }

    /// The size as the meta page stores it.
    pub fn raw(self) -> u32 {
        self.0
    }

    /// Whole pages needed for `bytes`.
    pub fn pages_for(self, bytes: u64) -> u64 {
        bytes.div_ceil(self.bytes())
    }

    /// The offset in the file of page `pgid`; `None` if it is beyond 2^64.
    pub fn offset_of(self, pgid: Pgid) -> Option<u64> {
        pgid.0.checked_mul(self.bytes())
    }
}

/// A record's place in etcd's history: the transaction's revision and the operation within it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Revision {
    /// The store's revision, which Kubernetes calls resourceVersion.
    pub main: i64,
    /// The operation's number within its transaction, from 0.
    pub sub: i64,
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.main, self.sub)
    }
}
