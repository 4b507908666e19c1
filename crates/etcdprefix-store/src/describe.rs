//! What is known of a snapshot, as an object's metadata.

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde::Serialize;

use crate::error::Result;
use crate::metadata::Metadata;

/// What no header takes as it is, and what makes that reversible. Signatures of S3 see a run of
/// spaces as one.
const ENCODED: AsciiSet = CONTROLS.add(b' ').add(b'%');
/// An empty text, which no header takes. No text is encoded to it.
const EMPTY: &str = "%";
/// Of a SHA-256.
const HEX_DIGITS: usize = 64;

/// What is said of a snapshot beside its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Description {
    /// The cluster's id.
    pub cluster_id: Option<String>,
    /// The last revision in it.
    pub revision: Option<i64>,
    /// What `snapshot status` shows as its hash.
    pub status_hash: Option<String>,
    /// Its trailer in hex: the digest of all pages, of the plain snapshot if it is encrypted.
    pub sha256: Option<String>,
    /// The version of the etcd that made it.
    pub etcd_version: Option<String>,
    /// The prefix of its keys.
    pub prefix: Option<String>,
    /// How it is encrypted: `age`.
    pub encryption: Option<String>,
}

impl Description {
    /// As metadata, percent-encoded where a header could not take it.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::Error::Usage) if it is longer than stores take.
    pub fn metadata(&self) -> Result<Metadata> {
        let mut metadata = Metadata::default();
        let revision = self.revision.map(|revision| revision.to_string());
        for (name, value) in [
            ("cluster-id", &self.cluster_id),
            ("revision", &revision),
            ("status-hash", &self.status_hash),
            ("sha256", &self.sha256),
            ("etcd-version", &self.etcd_version),
            ("prefix", &self.prefix),
            ("encryption", &self.encryption),
        ] {
            if let Some(value) = value {
                metadata.set(name, &encoded(value))?;
            }
        }
        Ok(metadata)
    }

    /// From metadata. What is missing or makes no sense is `None`.
    pub fn of(metadata: &Metadata) -> Self {
        let text = |name| decoded(metadata.get(name)?);
        Self {
            cluster_id: text("cluster-id"),
            revision: text("revision").and_then(|revision| revision.parse().ok()),
            status_hash: text("status-hash"),
            sha256: text("sha256").and_then(|sha256| digest(&sha256)),
            etcd_version: text("etcd-version"),
            prefix: text("prefix"),
            encryption: text("encryption"),
        }
    }
}

fn digest(text: &str) -> Option<String> {
    let sound = text.len() == HEX_DIGITS && text.chars().all(|c| c.is_ascii_hexdigit());
    sound.then(|| text.to_ascii_lowercase())
}

fn encoded(text: &str) -> String {
    match text {
        "" => EMPTY.to_owned(),
        text => utf8_percent_encode(text, &ENCODED).to_string(),
    }
}

fn decoded(text: &str) -> Option<String> {
    if text == EMPTY {
        return Some(String::new());
    }
    let pair = |part: &str| {
        let pair = part.as_bytes().get(..2);
        pair.is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit))
    };
    let sound = text.split('%').skip(1).all(pair);
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    sound.then(|| decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_prefix(prefix: &str) -> Description {
        Description { prefix: Some(prefix.to_owned()), ..Description::default() }
    }

    #[test]
    fn all_of_it_survives_metadata() {
        let all = Description {
            cluster_id: Some("c0123456789abcdef".into()),
            revision: Some(i64::MIN),
            status_hash: Some("92f4d4c6".into()),
            sha256: Some("0a".repeat(32)),
            etcd_version: Some("3.5.16".into()),
            prefix: Some("/registry".into()),
            encryption: Some("age".into()),
        };
        for described in [all, Description::default()] {
            let metadata = described.metadata().unwrap();
            assert_eq!(Description::of(&metadata), described);
        }
    }

    #[test]
    fn a_prefix_of_any_text_survives_metadata() {
        for prefix in ["", " ", "%", "%25", "%zz", "a  b ", "\0\r\n\u{7f}", "\u{952e}/\u{1f511}"] {
            let metadata = with_prefix(prefix).metadata().unwrap();
            assert_eq!(Description::of(&metadata), with_prefix(prefix), "{prefix:?}");
        }
        assert_eq!(with_prefix("/a b").metadata().unwrap().get("prefix"), Some("/a%20b"));
    }

    #[test]
    fn what_makes_no_sense_is_left_out() {
        let mut metadata = Metadata::default();
        for (name, value) in [
            ("revision", "forty"),
            ("sha256", "0a"),
            ("prefix", "%ff"),
            ("cluster-id", "50%"),
            ("etcd-version", "%+1"),
            ("owner", "somebody"),
        ] {
            metadata.set(name, value).unwrap();
        }
        assert_eq!(Description::of(&metadata), Description::default());
    }

    #[test]
    fn more_than_stores_take_is_refused() {
        assert!(with_prefix(&"\u{952e}".repeat(300)).metadata().is_err());
    }
}
