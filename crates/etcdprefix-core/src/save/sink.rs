//! Where pages are written.

use std::io;

/// Takes pages at their place in the output, from several threads, in any order.
pub trait Sink: Sync {
    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// As the operating system says; some of the bytes may be written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Hears that everything before `offset` is written, in rising order.
    fn complete_up_to(&self, _offset: u64) {}
}
