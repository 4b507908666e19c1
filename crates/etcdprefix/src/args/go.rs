//! Values as Go's flag package reads them, so that a line written for etcdctl goes on to work.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A duration such as `5s`, `1m30s`, `1.5h`, `100ms`, or `0` (Go's `time.ParseDuration`), but never a
/// negative one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoDuration(pub Duration);

impl FromStr for GoDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no duration such as 5s, 1m30s or 100ms");
        if text == "0" {
            return Ok(Self(Duration::ZERO));
        }
        let mut rest = text.strip_prefix('+').unwrap_or(text);
        if rest.is_empty() {
            return Err(wrong());
        }
        let mut seconds = 0.0;
        while !rest.is_empty() {
            let (part, after) = part(rest).ok_or_else(wrong)?;
            seconds += part;
            rest = after;
        }
        // Go counts nanoseconds in 63 bits.
        let go = seconds < i64::MAX as f64 / 1e9;
        Duration::try_from_secs_f64(seconds).ok().filter(|_| go).map(Self).ok_or_else(wrong)
    }
}

/// The seconds of a number with its unit at the start, and what follows.
fn part(text: &str) -> Option<(f64, &str)> {
    let unit = text.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
    let (number, rest) = text.split_at(unit);
    let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(end);
    let factor = match unit {
        "ns" => 1e-9,
        "us" | "µs" | "μs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    Some((number.parse::<f64>().ok()? * factor, rest))
}

/// In the largest unit that it is a whole number of.
impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_millis() {
            millis if millis % 1000 != 0 => write!(f, "{millis}ms"),
            _ => match self.0.as_secs() {
                seconds if seconds > 0 && seconds % 60 == 0 => write!(f, "{}m", seconds / 60),
                seconds => write!(f, "{seconds}s"),
            },
        }
    }
}

/// A truth value as Go's `strconv.ParseBool` takes it; empty, as an unset variable leaves it, is false.
pub fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_does() {
        let millis = |text: &str| text.parse::<GoDuration>().map(|duration| duration.0.as_millis());
        for (text, expected) in [
            ("0", 0),
            ("5s", 5_000),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            (".5s", 500),
            ("100ms", 100),
            ("1500us", 1),
            ("+2s", 2_000),
        ] {
            assert_eq!(millis(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "5",
            "s",
            "-5s",
            "5 s",
            "5x",
            "1..5s",
            "+",
            "99999999999999999999h",
            "5124095576030000h",
            "3000000h",
        ] {
            assert!(millis(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_shown_as_they_are_typed() {
        for text in ["0s", "5s", "90s", "2m", "1500ms"] {
            assert_eq!(text.parse::<GoDuration>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn truth_is_what_go_takes_for_it() {
        assert_eq!(boolean("T"), Ok(true));
        assert_eq!(boolean(""), Ok(false));
        assert!(boolean("yes").is_err());
    }
}
