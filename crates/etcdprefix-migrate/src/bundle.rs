//! What the managed side needs: the template's JSON, with its names and its encoding.

use std::fmt;

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
