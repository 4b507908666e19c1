//! The SHA-256 that ends a snapshot.

use etcdprefix_core::format::trailer::{Trailer, hex};
use etcdprefix_core::progress::Progress;
use etcdprefix_core::read::Snapshot;
use etcdprefix_core::{Error, Result};

/// The trailer in hexadecimal, which is the digest of all pages; `meter` hears of each byte once.
pub fn verify(snapshot: &Snapshot, meter: &dyn Progress) -> Result<String> {
    let path = snapshot.path().to_owned();
    let Trailer::Present(found) = snapshot.trailer()? else {
        return Err(Error::TrailerMissing { path });
    };
    let computed = snapshot.sha256(|bytes| {
        meter.advance(bytes);
        if meter.interrupted() { Err(Error::Interrupted) } else { Ok(()) }
    })?;
    let (found, computed) = (hex(&found), hex(&computed));
    if found != computed {
        return Err(Error::TrailerMismatch { path, found, computed });
    }
    Ok(computed)
}
