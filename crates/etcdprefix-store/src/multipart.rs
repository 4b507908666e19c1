//! The requests of an upload in parts.

use http::Method;

use crate::checksum::{Checksum, Digest, Hasher};
use crate::client::{Payload, Request};
use crate::dialect::Kind;
use crate::error::{Cause, Error, Result};
use crate::object::{Writing, checked, unquoted};
use crate::store::{Sending, Store};
use crate::xml;

/// An upload that has begun.
pub(crate) struct Multipart<'a> {
    pub store: &'a Store,
    pub writing: &'a Writing<'a>,
    pub upload_id: String,
    /// Whether the store said that it holds each part against its CRC-32.
    checks_crc: bool,
}

/// A part that the store has.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub number: u32,
    pub etag: String,
    pub digest: Digest,
}

/// What became of the parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aborted {
    Removed,
    /// There was no such upload any more, so it has no parts: it was completed, or aborted before.
    Gone,
}

impl<'a> Multipart<'a> {
    pub async fn begin(store: &'a Store, writing: &'a Writing<'a>) -> Result<Self> {
        let request = Request::new("InitiateMultipartUpload", Method::POST, writing.key);
        let mut request = writing.describe(store, request.query("uploads", ""))?;
        match store.kind {
            // S3 keeps the checksum of the whole only if it is told to now.
            Kind::S3 => {
                request = request.header("x-amz-checksum-algorithm", "CRC32");
                request = request.header("x-amz-checksum-type", "FULL_OBJECT");
            }
            Kind::Oss => request = writing.unless_there(store, request),
        }
        let answer = store.send(&request).await?;
        let upload_id = xml::find(&answer.text(), "UploadId");
        let upload_id =
            upload_id.ok_or_else(|| store.unreachable("an upload without id".into()))?;
        let checks_crc = answer.header("x-amz-checksum-algorithm") == Some("CRC32");
        Ok(Self { store, writing, upload_id, checks_crc })
    }

    /// For a part. MD5 is most of what an upload costs, and of no use where the store goes by another
    /// checksum.
    pub fn hasher(&self) -> Hasher {
        match self.checks_crc {
            true => Hasher::plain(self.store.kind),
            false => Hasher::new(self.store.kind),
        }
    }

    pub async fn part(&self, number: u32, payload: Payload, digest: Digest) -> Result<(u32, Part)> {
        let request = Request::new("UploadPart", Method::PUT, self.writing.key)
            .query("partNumber", number.to_string())
            .query("uploadId", &self.upload_id)
            .payload(payload);
        let request = checked(self.store.kind, request, &digest);
        let sending = self.store.send_counting(&request).await;
        let (tries, answer) = (sending.tries, sending.answer?);
        if !crate::object::same_checksum(self.store, &answer, &digest) {
            let what = format!("part {number} arrived with another checksum than it was sent with");
            return Err(self.differs(what));
        }
        let etag = unquoted(answer.header("etag").unwrap_or_default());
        Ok((tries, Part { number, etag, digest }))
    }

    /// `parts` in the order of their numbers.
    pub async fn complete(&self, parts: &[Part], whole: Checksum) -> Sending {
        let body = self.listing(parts).into_bytes();
        let mut request = Request::new("CompleteMultipartUpload", Method::POST, self.writing.key)
            .query("uploadId", &self.upload_id)
            .header("content-type", "application/xml")
            .payload(Payload::Bytes(body.into()));
        request.is_slow = true;
        if self.store.kind == Kind::S3 {
            request = request.header(Kind::S3.checksum_header(), &whole.text());
            request = request.header("x-amz-checksum-type", "FULL_OBJECT");
        }
        self.store.send_counting(&self.writing.unless_there(self.store, request)).await
    }

    fn listing(&self, parts: &[Part]) -> String {
        let part = |part: &Part| {
            let checksum = match part.digest.checksum {
                Checksum::Crc32(_) => {
                    format!("<ChecksumCRC32>{}</ChecksumCRC32>", part.digest.checksum.text())
                }
                Checksum::Crc64(_) => String::new(),
            };
            let (number, etag) = (part.number, xml::text(&format!("\"{}\"", part.etag)));
            format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag>{checksum}</Part>")
        };
        let parts: String = parts.iter().map(part).collect();
        format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>")
    }

    /// Removes the parts.
    pub async fn abort(&self) -> Result<Aborted> {
        let request = Request::new("AbortMultipartUpload", Method::DELETE, self.writing.key)
            .query("uploadId", &self.upload_id);
        match self.store.send(&request).await {
            Ok(_) => Ok(Aborted::Removed),
            Err(error) if error.cause() == Some(&Cause::NoUpload) => Ok(Aborted::Gone),
            Err(error) => Err(error),
        }
    }

    fn differs(&self, what: String) -> Error {
        Error::Differs { location: self.store.location(self.writing.key), what }
    }
}
