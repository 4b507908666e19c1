//! Single objects: written at once, asked about, opened, removed.

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use http::{HeaderMap, Method};
use serde::Serialize;

use crate::checksum::Digest;
use crate::client::{Answer, Payload, Request};
use crate::dialect::Kind;
use crate::error::{Cause, Error, Result};
use crate::metadata::Metadata;
use crate::store::{Sending, Store};
use crate::xml;

/// What a store says of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Head {
    /// Its size.
    pub bytes: u64,
    /// Its version, so to speak: another after every write. Without quotes, unless it is a weak one
    /// (`W/"..."`); empty if the store told none.
    pub etag: String,
    /// Its checksum as the store writes it, if it keeps one of the kind that is used here.
    pub checksum: Option<String>,
    /// When it was written, as the store writes it.
    pub modified: Option<String>,
    /// User metadata.
    pub metadata: Metadata,
}

impl Head {
    pub(crate) fn read(kind: Kind, headers: &HeaderMap, bytes: u64) -> Self {
        let text = |name: &str| Some(headers.get(name)?.to_str().ok()?.to_owned());
        Self {
            bytes,
            etag: unquoted(&text("etag").unwrap_or_default()),
            checksum: text(kind.checksum_header()),
            modified: text("last-modified"),
            metadata: Metadata::read(kind, headers),
        }
    }
}

pub(crate) fn unquoted(etag: &str) -> String {
    etag.trim_matches(|c| c == '"' && !is_weak(etag)).to_owned()
}

/// One that may be the same for other bytes: something on the way changed what the store said.
fn is_weak(etag: &str) -> bool {
    etag.starts_with("W/")
}

/// To find out whether two of them are of one write.
pub(crate) fn same_etag(one: &str, other: &str) -> bool {
    let opaque = |etag: &str| etag.trim_start_matches("W/").trim_matches('"').to_ascii_lowercase();
    opaque(one) == opaque(other)
}

impl Head {
    /// As a condition has it; `None` if no condition holds by it.
    pub(crate) fn condition(&self) -> Option<String> {
        let is_strong = !self.etag.is_empty() && !is_weak(&self.etag);
        is_strong.then(|| format!("\"{}\"", self.etag))
    }
}

/// What the store calls the object that it just took; with parts, S3 says it in the body.
pub(crate) fn written_etag(answer: &Answer) -> Option<String> {
    let told = answer.header("etag").map(str::to_owned);
    let etag = unquoted(&told.or_else(|| xml::find(&answer.text(), "ETag"))?);
    (!etag.is_empty()).then_some(etag)
}

/// Asks what a store has under a key.
///
/// # Errors
/// [`Error::Refused`] with [`Cause::NoObject`] if there is nothing; others of the store's and the
/// network's. Where a HEAD is refused without a reason, as by S3, a GET of one byte asks for it.
pub async fn head(store: &Store, key: &str) -> Result<Head> {
    let mut request = Request::new("HeadObject", Method::HEAD, key);
    if store.kind == Kind::S3 {
        request = request.header("x-amz-checksum-mode", "ENABLED");
    }
    let answer = match store.send(&request).await {
        Err(mute) if is_mute(&mute) => {
            explain(store, key, mute).await?;
            store.send(&request).await?
        }
        answer => answer?,
    };
    let bytes = answer.header("content-length").and_then(|bytes| bytes.parse().ok());
    let bytes = bytes.ok_or_else(|| store.unreachable("a HEAD without a length".into()))?;
    Ok(Head::read(store.kind, &answer.headers, bytes))
}

/// The answer to a HEAD has no body, which is where stores tell a wrong key from a missing right.
fn is_mute(error: &Error) -> bool {
    let mute = error.refusal().filter(|refusal| refusal.code.is_empty());
    mute.is_some_and(|refusal| {
        // S3 names the bucket's region with an ended token, too.
        let asked_wrong = matches!(refusal.cause, Cause::WrongRegion(_)) && refusal.status == 400;
        matches!(refusal.cause, Cause::Denied | Cause::NoObject | Cause::Other) || asked_wrong
    })
}

/// What a GET of one byte is refused for; nothing if it is not, as with credentials that were
/// replaced meanwhile. What comes of it is not read: it may be all of an object.
async fn explain(store: &Store, key: &str, mute: Error) -> Result<()> {
    let request = Request::new("GetObject", Method::GET, key).header("range", "bytes=0-0");
    let Err(error) = store.open_stream(&request).await else { return Ok(()) };
    match error.refusal() {
        // An empty object has no first byte.
        Some(refusal) if refusal.status == 416 => Ok(()),
        Some(refusal) if !refusal.code.is_empty() => Err(error),
        _ => Err(mute),
    }
}

/// Removes an object: a probe of ours; no snapshot is ever removed here.
///
/// # Errors
/// The store's and the network's.
pub async fn delete(store: &Store, key: &str) -> Result<()> {
    store.send(&Request::new("DeleteObject", Method::DELETE, key)).await.map(|_| ())
}

/// What both ways of writing say of the object to be.
pub(crate) struct Writing<'a> {
    pub key: &'a str,
    pub metadata: &'a Metadata,
    pub if_absent: bool,
}

impl Writing<'_> {
    /// Metadata and type belong to the request that begins the object.
    pub fn describe(&self, store: &Store, mut request: Request) -> Result<Request> {
        self.metadata.write(store.kind, &mut request.headers)?;
        Ok(request.header("content-type", "application/octet-stream"))
    }

    /// The condition belongs to every request that may make the object.
    pub fn unless_there(&self, store: &Store, request: Request) -> Request {
        let (name, value) = store.kind.if_absent_header();
        if self.if_absent { request.header(name, value) } else { request }
    }
}

/// Writes an object in one request.
pub(crate) async fn put(
    store: &Store,
    writing: &Writing<'_>,
    payload: Payload,
    digest: &Digest,
) -> Sending {
    let request = Request::new("PutObject", Method::PUT, writing.key).payload(payload);
    let request = checked(store.kind, request, digest);
    match writing.describe(store, writing.unless_there(store, request)) {
        Ok(request) => store.send_counting(&request).await,
        Err(error) => Sending { tries: 0, is_unseen: false, answer: Err(error) },
    }
}

/// Stores are told checksums beforehand, and refuse what does not fit: a damaged object must not take
/// the place of a good one. OSS tells its CRC-64 afterwards, too.
pub(crate) fn checked(kind: Kind, request: Request, digest: &Digest) -> Request {
    let request = match kind {
        Kind::Oss => request,
        Kind::S3 => request.header(kind.checksum_header(), &digest.checksum.text()),
    };
    match &digest.md5 {
        // Buckets with Object Lock ask for it.
        Some(md5) => request.header("content-md5", &BASE64.encode(md5)),
        None => request,
    }
}

/// Whether the store's own checksum of what it got, if it told one, is ours.
pub(crate) fn same_checksum(store: &Store, answer: &Answer, digest: &Digest) -> bool {
    let told = answer.header(store.kind.checksum_header());
    told.is_none_or(|told| told == digest.checksum.text())
}

pub(crate) fn is_there(error: &Error) -> bool {
    error.cause() == Some(&Cause::Condition)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_condition_is_made_of_a_weak_etag_or_of_none() {
        for (told, etag, condition) in [
            ("\"abc\"", "abc", Some("\"abc\"")),
            ("abc", "abc", Some("\"abc\"")),
            ("W/\"abc\"", "W/\"abc\"", None),
            ("\"\"", "", None),
        ] {
            let headers = HeaderMap::from_iter([(http::header::ETAG, told.parse().unwrap())]);
            let head = Head::read(Kind::S3, &headers, 1);
            assert_eq!(head.etag, etag);
            assert_eq!(head.condition().as_deref(), condition);
        }
        assert!(same_etag("W/\"ABC\"", "abc") && !same_etag("abd", "abc"));
    }
}
