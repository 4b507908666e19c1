//! How many hosts at once, and how many may fail: the rate control of the cloud's orchestration.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// `{"Mode": "Concurrency", "MaxErrors": 0, "Concurrency": 5}`, or with small first letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateControl {
    /// Only `Concurrency`: a fixed number at once.
    #[serde(rename = "Mode", alias = "mode", default)]
    pub mode: Mode,
    /// How many may fail before no more are begun: a number, or a share such as `10%`. Default: 0.
    #[serde(rename = "MaxErrors", alias = "maxErrors", default = "none")]
    pub max_errors: Amount,
    /// How many at once: a number, or a share such as `50%`. Default: 5.
    #[serde(rename = "Concurrency", alias = "concurrency", default = "five")]
    pub concurrency: Amount,
}

/// The way of counting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// A fixed number at once.
    #[default]
    Concurrency,
}

/// A number, or a share of all hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Amount {
    /// So many.
    Number(usize),
    /// So many of a hundred.
    Percent(u8),
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Number(usize),
    Text(String),
}

fn none() -> Amount {
    Amount::Number(0)
}

fn five() -> Amount {
    Amount::Number(5)
}

impl Default for RateControl {
    fn default() -> Self {
        Self { mode: Mode::Concurrency, max_errors: none(), concurrency: five() }
    }
}

impl RateControl {
    /// How many of `hosts` are worked on at once: at least one.
    pub fn at_once(&self, hosts: usize) -> usize {
        self.concurrency.of(hosts).clamp(1, hosts.max(1))
    }

    /// How many of `hosts` may fail without an end. A share is rounded down.
    pub fn may_fail(&self, hosts: usize) -> usize {
        self.max_errors.of(hosts)
    }

    /// From JSON or YAML, as it stands in a template's parameters: with double quotes, single ones or none.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub fn parse(text: &str) -> Result<Self> {
        let why = |error| Error::Usage(format!("{text:?} is no rate control: {error}"));
        serde_saphyr::from_str(text).map_err(why)
    }
}

impl Amount {
    fn of(self, hosts: usize) -> usize {
        match self {
            Self::Number(number) => number,
            Self::Percent(percent) => hosts * usize::from(percent) / 100,
        }
    }
}

impl TryFrom<Written> for Amount {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let text = match written {
            Written::Number(number) => return Ok(Self::Number(number)),
            Written::Text(text) => text,
        };
        let percent = text.strip_suffix('%').and_then(|number| number.parse().ok());
        match (percent, text.parse()) {
            (Some(percent @ 0..=100), _) => Ok(Self::Percent(percent)),
            (None, Ok(number)) => Ok(Self::Number(number)),
            _ => Err(format!("{text:?} is neither a number nor a share such as 50%")),
        }
    }
}

impl From<Amount> for Written {
    fn from(amount: Amount) -> Self {
        match amount {
            Amount::Number(number) => Self::Number(number),
            Amount::Percent(percent) => Self::Text(format!("{percent}%")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_say_the_same() {
        let large = r#"{"Mode":"Concurrency","MaxErrors":0,"Concurrency":5}"#;
        let small = r#"{"maxErrors":0,"mode":"Concurrency"}"#;
        assert_eq!(RateControl::parse(large).unwrap(), RateControl::default());
        assert_eq!(RateControl::parse(small).unwrap(), RateControl::default());
        let as_the_guide_has_it = "{'Mode': 'Concurrency', 'MaxErrors': 0, 'Concurrency': 5}";
        assert_eq!(RateControl::parse(as_the_guide_has_it).unwrap(), RateControl::default());
    }

    #[test]
    fn shares_are_of_the_hosts() {
        let half = RateControl::parse(r#"{"Concurrency":"50%","MaxErrors":"34%"}"#).unwrap();
        assert_eq!((half.at_once(3), half.may_fail(3)), (1, 1));
        assert_eq!((half.at_once(1), half.may_fail(1)), (1, 0));
        assert_eq!(RateControl::default().at_once(3), 3);
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for bad in [r#"{"Concurrency":"x"}"#, r#"{"Concurrency":"101%"}"#, r#"{"Mode":"Batch"}"#] {
            assert!(RateControl::parse(bad).is_err(), "{bad}");
        }
    }
}
