//! Where an object or a file is, as one writes it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use serde::{Serialize, Serializer};

use crate::dialect::Kind;
use crate::error::{Error, Result};

/// The longest key that both stores take, in bytes.
const MAX_KEY_BYTES: usize = 1023;

/// A place for a snapshot.
///
/// ```
/// use etcdprefix_store::Location;
///
/// let location: Location = "oss://backups/cluster/etcd.db".parse().unwrap();
/// assert_eq!(location.to_string(), "oss://backups/cluster/etcd.db");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Location {
    /// In a bucket.
    Object(ObjectLocation),
    /// `file:///path`, or a path with no scheme.
    File(PathBuf),
}

/// A key, or a prefix of keys, in a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectLocation {
    /// The store.
    pub kind: Kind,
    /// The bucket.
    pub bucket: String,
    /// The key as it is, not percent-encoded; empty for the whole bucket.
    pub key: String,
}

impl ObjectLocation {
    /// Another key of the same bucket.
    ///
    /// # Errors
    /// [`Error::Usage`] if it can't be a key.
    pub fn with_key(&self, key: &str) -> Result<Self> {
        check_key(key).map_err(Error::Usage)?;
        Ok(Self { key: key.to_owned(), ..self.clone() })
    }

    /// Fails for a whole bucket or a "folder", where a single object is meant.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub fn object_key(&self) -> Result<&str> {
        if self.key.is_empty() || self.key.ends_with('/') {
            return Err(Error::Usage(format!("{self} names no object: a key is missing")));
        }
        Ok(&self.key)
    }
}

impl FromStr for Location {
    type Err = Error;

    /// A text with no `://` is a path.
    fn from_str(text: &str) -> Result<Self> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(Self::File(PathBuf::from(text)));
        };
        let wrong = |why: &str| Error::Usage(format!("cannot use the location {text:?}: {why}"));
        match scheme {
            "oss" => object(Kind::Oss, rest).map(Self::Object).map_err(|why| wrong(&why)),
            "s3" => object(Kind::S3, rest).map(Self::Object).map_err(|why| wrong(&why)),
            "file" => file(rest).map(Self::File).map_err(|why| wrong(&why)),
            // It may be a presigned URL, so it is not repeated.
            "http" | "https" => Err(Error::Usage(
                "an http URL is no location of a store: give oss://bucket/key or s3://bucket/key"
                    .into(),
            )),
            _ => Err(wrong("the schemes are oss, s3 and file")),
        }
    }
}

fn object(kind: Kind, rest: &str) -> Result<ObjectLocation, String> {
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    check_bucket(kind, bucket)?;
    check_key(key)?;
    Ok(ObjectLocation { kind, bucket: bucket.to_owned(), key: key.to_owned() })
}

/// S3's rules; OSS takes no dots.
pub(crate) fn check_bucket(kind: Kind, bucket: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    let end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let sound = (3..=63).contains(&bucket.len())
        && bucket.chars().all(allowed)
        && bucket.starts_with(end)
        && bucket.ends_with(end)
        && !bucket.contains("..")
        && !(kind == Kind::Oss && bucket.contains('.'));
    if sound { Ok(()) } else { Err(format!("{bucket:?} can't be the name of a bucket")) }
}

/// What HTTP clients and servers resolve or merge in a path on their own can't be signed.
pub(crate) fn check_key(key: &str) -> Result<(), String> {
    if key.len() > MAX_KEY_BYTES {
        return Err(format!("the key is longer than {MAX_KEY_BYTES} bytes"));
    }
    if key.starts_with('/') || key.contains("//") {
        return Err("a key with an empty part is not supported".into());
    }
    if key.split('/').any(|part| part == "." || part == "..") {
        return Err("a key with a part \".\" or \"..\" is not supported".into());
    }
    if key.chars().any(char::is_control) {
        return Err("a key with control characters is not supported".into());
    }
    Ok(())
}

fn file(rest: &str) -> Result<PathBuf, String> {
    if !rest.starts_with('/') {
        return Err("a file needs three slashes: file:///path".into());
    }
    let path = percent_decode_str(rest).decode_utf8().map_err(|_| "the path is not UTF-8")?;
    if path.contains('\0') {
        return Err("the path holds a zero byte".into());
    }
    Ok(PathBuf::from(path.into_owned()))
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(object) => object.fmt(f),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

impl Serialize for ObjectLocation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for ObjectLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/{}", self.kind.scheme(), self.bucket, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_read_and_shown() {
        for text in ["oss://bucket/a/b c+d.db", "s3://my.bucket/", "s3://bucket/键"] {
            assert_eq!(text.parse::<Location>().unwrap().to_string(), text);
        }
        let bare: Location = "s3://bucket".parse().unwrap();
        assert_eq!(bare.to_string(), "s3://bucket/");
        let file = Location::File("/a b".into());
        assert_eq!("file:///a%20b".parse::<Location>().unwrap(), file);
        assert_eq!("./x".parse::<Location>().unwrap(), Location::File("./x".into()));
    }

    #[test]
    fn what_is_no_location_is_refused() {
        let long = format!("s3://bucket/{}", "k".repeat(MAX_KEY_BYTES + 1));
        for text in [
            "oss:///key",
            "oss://Bucket/k",
            "oss://b/k",
            "oss://my.bucket/k",
            "s3://bu..ket/k",
            "s3://-ab/k",
            "s3://bucket//k",
            "s3://bucket/a/../b",
            "s3://bucket/a\n",
            "file://host/x",
            "gs://bucket/k",
            &long,
        ] {
            assert!(matches!(text.parse::<Location>(), Err(Error::Usage(_))), "{text}");
        }
    }

    #[test]
    fn a_presigned_url_is_not_repeated() {
        let error = "https://h/k?Signature=abc".parse::<Location>().unwrap_err();
        assert!(!error.to_string().contains("abc"));
    }

    #[test]
    fn a_folder_is_no_object() {
        for text in ["s3://bucket", "s3://bucket/a/"] {
            let Location::Object(object) = text.parse().unwrap() else { panic!("{text}") };
            assert!(object.object_key().is_err(), "{text}");
        }
    }
}
