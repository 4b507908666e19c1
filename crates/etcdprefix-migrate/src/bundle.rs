//! What the managed side needs: the template's JSON, with its names and its encoding.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use etcdprefix_core::progress::Silent;
use etcdprefix_store::{Recipients, encrypt};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// Text that no `Debug` shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Sensitive(Zeroizing<String>);

impl Sensitive {
    /// Text to be kept from sight.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for the one place where it must go.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Sensitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl Serialize for Sensitive {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Sensitive {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// Keys as base64 without line breaks, and the URL of the snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// `sa.key`: signs service account tokens.
    pub sakey: Sensitive,
    /// `sa.pub`: proves them.
    pub sapub: Sensitive,
    /// `front-proxy-ca.crt`.
    pub frontcrt: Sensitive,
    /// `front-proxy-ca.key`.
    pub frontkey: Sensitive,
    /// Where the rewritten snapshot is fetched: whoever has it has all of the cluster.
    pub oss_url: Sensitive,
}

/// As a bundle's file has it: the template's JSON in one line, what `--bundle-extra` adds behind it, all of
/// it encrypted if it is for somebody.
///
/// # Errors
/// [`Error::Usage`] if it can't be encrypted.
pub fn written(
    bundle: &Bundle,
    extra: Option<&Extra>,
    recipients: Option<&Recipients>,
) -> Result<Zeroizing<Vec<u8>>> {
    let json = serde_json::to_vec(&Written { bundle, extra });
    let mut json = Zeroizing::new(json.map_err(|error| Error::Usage(error.to_string()))?);
    json.push(b'\n');
    let Some(recipients) = recipients else { return Ok(json) };
    let mut sealed = Zeroizing::new(Vec::new());
    let done = encrypt(&mut json.as_slice(), &mut *sealed, recipients, &Silent);
    done.map_err(|error| Error::Usage(format!("the bundle can't be encrypted: {error}")))?;
    Ok(sealed)
}

/// PEM with lines of 64, as age armors its files.
pub fn armored(sealed: &[u8]) -> String {
    let encoded = STANDARD.encode(sealed);
    let mut text = String::from("-----BEGIN AGE ENCRYPTED FILE-----\n");
    for line in encoded.as_bytes().chunks(64) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text + "-----END AGE ENCRYPTED FILE-----\n"
}

#[derive(Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    bundle: &'a Bundle,
    #[serde(flatten)]
    extra: Option<&'a Extra>,
}

/// What targets outside ACK need beside it, base64 too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extra {
    /// `ca.crt`.
    pub cacrt: Sensitive,
    /// `ca.key`.
    pub cakey: Sensitive,
    /// The API server's EncryptionConfiguration, if it has one.
    pub encryption_config: Option<Sensitive>,
}

impl Bundle {
    /// One line of JSON, as the template's `sign` file.
    pub fn to_json(&self) -> Zeroizing<String> {
        Zeroizing::new(serde_json::to_string(self).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn armor_has_lines_of_64() {
        let text = armored(&[7; 100]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "-----BEGIN AGE ENCRYPTED FILE-----");
        assert_eq!((lines[1].len(), lines[3].len()), (64, 8));
        assert_eq!(lines[4], "-----END AGE ENCRYPTED FILE-----");
        assert_eq!(STANDARD.decode(lines[1..4].concat()).unwrap(), [7; 100]);
    }
}
