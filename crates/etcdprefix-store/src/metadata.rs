//! What is said of an object beside its bytes.

use std::collections::BTreeMap;

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use serde::Serialize;

use crate::dialect::Kind;
use crate::error::{Error, Result};

/// Names and values together; S3's limit, the lower one.
const MAX_BYTES: usize = 2048;

/// User metadata: names in lower case, without the store's own prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Metadata(BTreeMap<String, String>);

impl Metadata {
    /// Sets a value.
    ///
    /// # Errors
    /// [`Error::Usage`] unless the name is made of `a-z 0-9 -`, the value of visible ASCII and inner
    /// spaces, and all together fits 2 KiB.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let plain = |c: char| c == ' ' || c.is_ascii_graphic();
        if name.is_empty() || !name.chars().all(part) {
            return Err(Error::Usage(format!("{name:?} can't name metadata")));
        }
        if value.is_empty() || value.trim() != value || !value.chars().all(plain) {
            return Err(Error::Usage(format!("{value:?} can't be metadata ({name})")));
        }
        self.0.insert(name.to_owned(), value.to_owned());
        if self.bytes() > MAX_BYTES {
            return Err(Error::Usage(format!("more than {MAX_BYTES} bytes of metadata")));
        }
        Ok(())
    }

    /// A value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    pub(crate) fn write(&self, kind: Kind, headers: &mut HeaderMap) -> Result<()> {
        let wrong = |_| Error::Usage("metadata that is no header".into());
        for (name, value) in &self.0 {
            let name = format!("{}{name}", kind.metadata_prefix());
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong(()))?;
            headers.insert(name, HeaderValue::from_str(value).map_err(|_| wrong(()))?);
        }
        Ok(())
    }

    /// What another program stored is taken as far as it is text.
    pub(crate) fn read(kind: Kind, headers: &HeaderMap) -> Self {
        let ours = headers.iter().filter_map(|(name, value)| {
            let name = name.as_str().strip_prefix(kind.metadata_prefix())?;
            Some((name.to_owned(), value.to_str().ok()?.to_owned()))
        });
        Self(ours.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_survives_headers_of_both_stores() {
        let mut metadata = Metadata::default();
        metadata.set("cluster-id", "c123 x").unwrap();
        metadata.set("revision", "42").unwrap();
        for kind in [Kind::Oss, Kind::S3] {
            let mut headers = HeaderMap::new();
            metadata.write(kind, &mut headers).unwrap();
            assert_eq!(Metadata::read(kind, &headers), metadata);
        }
    }

    #[test]
    fn what_no_header_takes_is_refused() {
        let mut metadata = Metadata::default();
        let long = "v".repeat(MAX_BYTES);
        for (name, value) in [
            ("", "v"),
            ("Upper", "v"),
            ("a_b", "v"),
            ("a", ""),
            ("a", " v"),
            ("a", "\u{e9}"),
            ("a", "b\r\nc"),
            ("a", &long),
        ] {
            assert!(metadata.set(name, value).is_err(), "{name:?} {value:?}");
        }
    }
}
