//! What the store has is what was sent.

use serde::Serialize;

use crate::checksum::{Digest, composite, etag_of_parts, hex};
use crate::error::{Error, Result};
use crate::multipart::Part;
use crate::object::{Head, head, same_etag};
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
    /// keys of its own. If it told an ETag when it took the object, that is still the object's. It did
    /// compare each request's checksum when it came.
    Size,
}

/// What was sent.
pub(crate) struct Expected<'a> {
    pub whole: &'a Digest,
    pub parts: &'a [Part],
    /// What the store's answer to the write called it.
    pub etag: Option<&'a str>,
}

pub(crate) async fn prove(
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
        let agreed = self.compare_checksum(found)?;
        // Where the content is known to be ours it is no matter who wrote it.
        let told = self.etag.filter(|_| agreed == Agreed::Size && !found.etag.is_empty());
        match told {
            Some(etag) if !same_etag(etag, &found.etag) => Err(format!(
                "another write replaced it: its ETag is {} and that of what was sent is {etag}",
                found.etag
            )),
            _ => Ok(agreed),
        }
    }

    fn compare_checksum(&self, found: &Head) -> Result<Agreed, String> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::Hasher;
    use crate::dialect::Kind;
    use crate::metadata::Metadata;

    fn part(number: u32, bytes: &[u8]) -> Part {
        let mut hasher = Hasher::new(Kind::S3);
        hasher.update(bytes);
        Part { number, etag: String::new(), digest: hasher.finish(bytes.len() as u64) }
    }

    fn compare(checksum: Option<&str>, etag: &str, bytes: u64) -> Result<Agreed, String> {
        compare_told(checksum, etag, bytes, None)
    }

    fn compare_told(
        checksum: Option<&str>,
        etag: &str,
        bytes: u64,
        told: Option<&str>,
    ) -> Result<Agreed, String> {
        let parts = [part(1, b"12345"), part(2, b"6789")];
        let whole = Digest { md5: None, ..part(0, b"123456789").digest };
        let found = Head {
            bytes,
            etag: etag.into(),
            checksum: checksum.map(str::to_owned),
            modified: None,
            metadata: Metadata::default(),
        };
        Expected { whole: &whole, parts: &parts, etag: told }.compare(&found)
    }

    #[test]
    fn what_a_store_keeps_is_what_it_is_held_to() {
        // By Python's hashlib and zlib, over the binary sums of the parts.
        let etag = "324730582f20c3f18cbb66d63a6137d2-2";
        assert_eq!(compare(Some("y/Q5Jg=="), "", 9), Ok(Agreed::Checksum));
        assert_eq!(compare(Some("4zspdQ==-2"), "", 9), Ok(Agreed::PartsChecksum));
        assert_eq!(compare(None, etag, 9), Ok(Agreed::Etag));
        assert_eq!(compare(None, "made-of-something-else", 9), Ok(Agreed::Size));
        assert!(compare(Some("AAAAAA=="), etag, 9).is_err());
        assert!(compare(None, etag, 8).is_err());
    }

    #[test]
    fn an_object_of_another_write_is_known_by_its_etag() {
        assert_eq!(compare_told(None, "AB", 9, Some("ab")), Ok(Agreed::Size));
        assert_eq!(compare_told(None, "", 9, Some("ab")), Ok(Agreed::Size));
        assert!(compare_told(None, "cd", 9, Some("ab")).is_err());
        // Two may write the same.
        assert_eq!(compare_told(Some("y/Q5Jg=="), "cd", 9, Some("ab")), Ok(Agreed::Checksum));
    }
}
