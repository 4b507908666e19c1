//! What a request carries, to be sent again if need be.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::stream::{self, Stream};

use crate::SharedProgress;
use crate::source::Slice;

/// Read and handed over at once; with what the connection holds, the memory that a part costs.
const PIECE_BYTES: u64 = 256 << 10;

/// A body.
#[derive(Clone)]
pub(crate) enum Payload {
    /// Short, or none.
    Bytes(Bytes),
    /// A range of a file, read while it is sent.
    File(Slice, Arc<Meter>),
}

impl Payload {
    pub fn none() -> Self {
        Self::Bytes(Bytes::new())
    }

    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(slice, _) => slice.bytes,
        }
    }

    /// How many bytes have been handed to connections, all tries together.
    pub fn sent(&self) -> u64 {
        match self {
            Self::Bytes(_) => 0,
            Self::File(_, meter) => meter.sent.load(Ordering::Relaxed),
        }
    }

    /// For one try.
    pub fn body(&self) -> reqwest::Body {
        match self {
            Self::Bytes(bytes) => bytes.clone().into(),
            Self::File(slice, meter) => {
                reqwest::Body::wrap_stream(pieces(slice.clone(), Arc::clone(meter)))
            }
        }
    }
}

/// Counts what is sent of one range. What is sent again is shown once.
pub(crate) struct Meter {
    progress: SharedProgress,
    sent: AtomicU64,
    shown: AtomicU64,
}

impl Meter {
    pub fn new(progress: SharedProgress) -> Arc<Self> {
        Arc::new(Self { progress, sent: AtomicU64::new(0), shown: AtomicU64::new(0) })
    }

    fn pass(&self, from: u64, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
        let to = from + bytes;
        let shown = self.shown.fetch_max(to, Ordering::Relaxed);
        self.progress.advance(to.saturating_sub(shown));
    }
}

fn pieces(slice: Slice, meter: Arc<Meter>) -> impl Stream<Item = std::io::Result<Bytes>> + Send {
    stream::try_unfold((slice, meter, 0u64), |(slice, meter, at)| async move {
        let bytes = PIECE_BYTES.min(slice.bytes - at);
        if bytes == 0 {
            return Ok(None);
        }
        let piece = slice.read(at, bytes).await?;
        meter.pass(at, bytes);
        Ok(Some((piece, (slice, meter, at + bytes))))
    })
}
