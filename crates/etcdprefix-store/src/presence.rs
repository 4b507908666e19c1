//! Whether there is an object, asked so that no answer is taken for another.

use http::Method;

use crate::client::Request;
use crate::error::{Cause, Error, Result};
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
/// The store's, but for access that is denied, and the network's. S3 says nothing with a HEAD that it
/// refuses, so a GET of one byte asks for the reason: a wrong key is an error, too.
pub async fn find(store: &Store, key: &str) -> Result<Presence> {
    match head(store, key).await {
        Err(error) if is_bare(&error) => judge(first_byte(store, key).await),
        headed => judge(headed.map(drop)),
    }
}

fn is_bare(error: &Error) -> bool {
    error.refusal().is_some_and(|it| it.code.is_empty() && matches!(it.status, 400 | 403))
}

/// What comes of it is not read: it may be all of an object.
async fn first_byte(store: &Store, key: &str) -> Result<()> {
    let request = Request::new("GetObject", Method::GET, key).header("range", "bytes=0-0");
    store.open_stream(&request).await.map(drop)
}

fn judge(asked: Result<()>) -> Result<Presence> {
    let Err(error) = asked else { return Ok(Presence::There) };
    match error.refusal() {
        // An empty object has no first byte.
        Some(refusal) if refusal.status == 416 => Ok(Presence::There),
        Some(refusal) if refusal.cause == Cause::NoObject => Ok(Presence::Absent),
        Some(refusal) if refusal.cause == Cause::Denied => Ok(Presence::Unknown),
        _ => Err(error),
    }
}
