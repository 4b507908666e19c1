//! Whether there is an object, asked so that no answer is taken for another.

use crate::error::{Cause, Result};
use crate::object::head;
use crate::store::Store;

/// Whether there is an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// There is.
    There,
    /// There is none.
    Absent,
    /// The credentials may not know.
    Unknown,
}

/// Asks whether there is an object.
///
/// # Errors
/// The store's, but for access that is denied, and the network's. A wrong key is an error, too.
pub async fn find(store: &Store, key: &str) -> Result<Presence> {
    let Err(error) = head(store, key).await else { return Ok(Presence::There) };
    match error.cause() {
        Some(Cause::NoObject) => Ok(Presence::Absent),
        Some(Cause::Denied) => Ok(Presence::Unknown),
        _ => Err(error),
    }
}
