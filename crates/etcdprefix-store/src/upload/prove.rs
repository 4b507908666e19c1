//! What the store has is what was sent.

use serde::Serialize;

use crate::checksum::{Digest, composite, etag_of_parts, hex};
use crate::error::{Error, Result};
use crate::multipart::Part;
use crate::object::{Head, head};
use crate::store::Store;

/// What of an object agreed with what was sent. The size always does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Agreed {
    /// The checksum of the whole.
    Checksum,
    /// S3: the checksum of the parts' checksums.
    PartsChecksum,
    /// S3 stores that keep no checksum: the ETag, which is made of MD5.
    Etag,
    /// The size alone: the store keeps no checksum, and its ETag is made of something else, as with
    /// keys of its own. It did compare each request's checksum when it came.
    Size,
}

/// What was sent.
pub(super) struct Expected<'a> {
    pub whole: &'a Digest,
    pub parts: &'a [Part],
}

pub(super) async fn prove(
    store: &Store,
    key: &str,
    expected: &Expected<'_>,
) -> Result<(Head, Agreed)> {
    let location = store.location(key);
    let found = head(store, key).await;
    let found =
        found.map_err(|why| Error::Unproved { location: location.clone(), why: Box::new(why) })?;
    match expected.compare(&found) {
        Ok(agreed) => Ok((found, agreed)),
        Err(what) => Err(Error::Differs { location, what }),
    }
}

impl Expected<'_> {
    fn compare(&self, found: &Head) -> Result<Agreed, String> {
        let (sent, has) = (self.whole.bytes, found.bytes);
        if sent != has {
            return Err(format!("{sent} bytes were sent and the store has {has}"));
        }
        let Some(told) = &found.checksum else { return Ok(self.compare_etag(found)) };
        if *told == self.whole.checksum.text() {
            return Ok(Agreed::Checksum);
        }
        let checksums: Vec<_> = self.parts.iter().map(|part| part.digest.checksum).collect();
        if composite(&checksums).as_ref() == Some(told) {
            return Ok(Agreed::PartsChecksum);
        }
        let ours = self.whole.checksum.text();
        Err(format!("the checksum of what was sent is {ours} and the store's is {told}"))
    }

    /// An ETag that is another is no proof against: with encryption keys of the store's it is no MD5.
    fn compare_etag(&self, found: &Head) -> Agreed {
        let sums: Option<Vec<_>> = self.parts.iter().map(|part| part.digest.md5).collect();
        let ours = match (self.whole.md5, sums) {
            (Some(md5), _) => Some(hex(&md5)),
            (None, Some(sums)) if !sums.is_empty() => Some(etag_of_parts(&sums)),
            _ => None,
        };
        let same = ours.is_some_and(|ours| ours.eq_ignore_ascii_case(&found.etag));
        if same { Agreed::Etag } else { Agreed::Size }
    }
}
