//! The id of the cluster that the managed side knows it by.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// `c`, then 1 to 62 letters, digits and `-`. The new prefix is `/` and this.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClusterId(String);

impl ClusterId {
    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `/c123`: where the keys will lie.
    pub fn dest_prefix(&self) -> String {
        format!("/{}", self.0)
    }
}

impl FromStr for ClusterId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let rest = text.strip_prefix('c').unwrap_or_default();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if (1..=62).contains(&rest.len()) && rest.chars().all(is_plain) {
            return Ok(Self(text.into()));
        }
        let why = format!("{text:?} is no cluster id: c and 1 to 62 letters, digits and -");
        Err(Error::Usage(why))
    }
}

impl TryFrom<String> for ClusterId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<ClusterId> for String {
    fn from(id: ClusterId) -> Self {
        id.0
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_ids_pass() {
        let longest = format!("c{}", "a".repeat(62));
        for good in ["c1", "c-", "cAb9", longest.as_str()] {
            assert_eq!(good.parse::<ClusterId>().unwrap().dest_prefix(), format!("/{good}"));
        }
        let too_long = format!("{longest}a");
        for bad in ["", "c", "x1", "c1/2", "c$(id)", "c 1", "c1\n", "cé", too_long.as_str()] {
            assert!(bad.parse::<ClusterId>().is_err(), "{bad:?}");
        }
    }
}
