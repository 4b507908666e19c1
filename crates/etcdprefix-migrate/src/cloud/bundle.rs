//! The bundle among the outputs of an execution.
//!
//! The agent on an instance keeps the beginning and the end of what is too long, and nothing shows where
//! the middle is missing. So the template's last line about it tells what its bytes were.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::acs3::hash;
use super::oos::Execution;
use crate::error::{Error, Result};

/// The output whose one entry is the bundle; those of the other hosts are empty.
const OUTPUT: &str = "readSignOutputs";
/// Begins the line behind it: `etcdprefix-bundle bytes=N sha256=HEX`, of all that stands before that line.
const SEAL: &str = "etcdprefix-bundle ";
/// What age's files begin with.
const AGE: &[u8] = b"age-encryption.org/v1";
const ARMOR: [&str; 2] = ["-----BEGIN AGE ENCRYPTED FILE-----", "-----END AGE ENCRYPTED FILE-----"];
const ARMOR_COLUMNS: usize = 64;
/// Base64 without line breaks.
const KEYS: [&str; 4] = ["sakey", "sapub", "frontcrt", "frontkey"];

impl Execution {
    /// The one bundle that it gave back, as it is: JSON, or age's file as armor or Base64. Sensitive.
    /// The line about its bytes is checked, if there is one, and left out.
    ///
    /// # Errors
    /// [`Error::Engine`] if there is none, or more than one, or it is not whole.
    pub fn bundle(&self) -> Result<&str> {
        let list = self.outputs.get(OUTPUT).and_then(Value::as_array);
        let texts = list.into_iter().flatten().filter_map(Value::as_str);
        let found: Vec<&str> = texts.filter(|text| !text.trim().is_empty()).collect();
        match found[..] {
            [text] => whole(text).map_err(|why| {
                self.lacks(format!("what it gave back in {OUTPUT} is no whole bundle: {why}"))
            }),
            _ => Err(self.lacks(format!("it gave back {} bundles in {OUTPUT}", found.len()))),
        }
    }

    fn lacks(&self, what: String) -> Error {
        Error::Engine(format!(
            "{}: {what}; try: its tasks in the console; if hosts sleep, the template's rollback",
            self.id
        ))
    }
}

/// The bundle in it, or why it is none. No reason repeats any of it.
fn whole(output: &str) -> Result<&str, &'static str> {
    let bundle = unsealed(output)?.trim();
    if bundle.is_empty() {
        return Err("there is only the line about it");
    }
    let sort = if bundle.starts_with('{') {
        json(bundle)
    } else if bundle.starts_with(ARMOR[0]) {
        armor(bundle)
    } else {
        packed(bundle)
    };
    sort.map(|()| bundle)
}

/// What stands before the line about it, if that line tells the truth.
fn unsealed(output: &str) -> Result<&str, &'static str> {
    let trimmed = output.trim_end();
    let at = trimmed.rfind('\n').map_or(0, |at| at + 1);
    let (before, last) = trimmed.split_at(at);
    let Some(told) = last.trim_start().strip_prefix(SEAL) else {
        return if trimmed.contains(SEAL) {
            Err("the line about its bytes is not the last")
        } else {
            Ok(output)
        };
    };
    let is_told = |text: &str| told == seal(text.as_bytes());
    // The break before that line may be its own.
    match is_told(before) || before.strip_suffix('\n').is_some_and(is_told) {
        true => Ok(before),
        false => Err("its bytes are not those that the host printed (length or SHA-256)"),
    }
}

fn seal(bytes: &[u8]) -> String {
    format!("bytes={} sha256={}", bytes.len(), hash(bytes))
}

fn json(bundle: &str) -> Result<(), &'static str> {
    let members = serde_json::from_str::<Value>(bundle).unwrap_or_default();
    let text = |name: &str| members[name].as_str().filter(|text| !text.is_empty());
    let is_key = |name: &&str| text(name).is_some_and(|key| STANDARD.decode(key).is_ok());
    let has_all = text("oss_url").is_some() && KEYS.iter().all(is_key);
    if has_all { Ok(()) } else { Err("its JSON or a key is cut off, or a member is missing") }
}

/// As age reads it: full lines but for the last.
fn armor(bundle: &str) -> Result<(), &'static str> {
    let broken = Err("its armor is broken");
    let lines: Vec<&str> = bundle.lines().collect();
    let [first, body @ .., last, end] = lines.as_slice() else { return broken };
    let is_full = |line: &&str| line.len() == ARMOR_COLUMNS;
    let fits = [*first, *end] == ARMOR && body.iter().all(is_full) && last.len() <= ARMOR_COLUMNS;
    if fits { packed(&[&body.concat(), *last].concat()) } else { broken }
}

fn packed(text: &str) -> Result<(), &'static str> {
    let text: String = text.lines().collect();
    match STANDARD.decode(text) {
        Ok(bytes) if bytes.starts_with(AGE) => Ok(()),
        _ => Err("it is neither JSON nor age's file"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::armored;

    const JSON: &str =
        r#"{"sakey":"YQ==","sapub":"Yg==","frontcrt":"Yw==","frontkey":"ZA==","oss_url":"e"}"#;

    fn sealed(bundle: &str) -> String {
        format!("{bundle}\n{SEAL}{}\n", seal(format!("{bundle}\n").as_bytes()))
    }

    fn file() -> Vec<u8> {
        let rest: Vec<u8> = (0..=255).cycle().take(500).collect();
        [AGE, b"\n-> X25519 abc\n", &rest].concat()
    }

    #[test]
    fn bundles_are_known_and_halves_are_not() {
        let (armor, base64) = (armored(&file()), STANDARD.encode(file()));
        let broken: Vec<&str> =
            base64.as_bytes().chunks(76).map(|it| str::from_utf8(it).unwrap()).collect();
        for good in [JSON, &armor, &base64, &broken.join("\n")] {
            assert_eq!(whole(good), Ok(good.trim()));
        }
        let lines: Vec<&str> = armor.lines().collect();
        let short = [&lines[..2], &[&lines[2][..60]], &lines[3..]].concat().join("\n");
        let no_key = JSON.replace("YQ==", "YQ=");
        let misfit = armor.replace(lines[3], &"!".repeat(64));
        let no_age = armor.replacen(lines[1], &"A".repeat(64), 1);
        let halves =
            [&JSON[..40], &armor[..50], "aGVsbG8=", "hello", &base64[1..], r#"{"sakey":"a"}"#, " "];
        for half in halves.into_iter().chain([short.as_str(), &no_key, &misfit, &no_age]) {
            assert!(whole(half).is_err(), "{half}");
        }
    }

    #[test]
    fn the_line_about_the_bytes_is_checked_and_left_out() {
        let armor = armored(&file());
        for bundle in [JSON, armor.trim_end()] {
            assert_eq!(whole(&sealed(bundle)), Ok(bundle));
            let own = format!("{bundle}\n{SEAL}{}", seal(bundle.as_bytes()));
            assert_eq!(whole(&own), Ok(bundle));
        }
        // A whole line of the armor is gone: only that line tells.
        let lines: Vec<&str> = armor.lines().collect();
        let cut = [&lines[..3], &lines[4..]].concat().join("\n");
        assert!(whole(&cut).is_ok());
        let cut = sealed(&armor).replace(&format!("{}\n", lines[3]), "");
        assert!(whole(&cut).unwrap_err().contains("SHA-256"));
        let other = sealed(JSON).replace("YQ==", "Yg==");
        assert!(whole(&other).unwrap_err().contains("SHA-256"));
        for odd in [
            sealed(JSON).replace("bytes=", "bytes=1"),
            sealed(JSON).replace(" sha256=", " sha256=0"),
            sealed(JSON) + "more\n",
            format!("{JSON}\n{SEAL}"),
            format!("{SEAL}{}\n", seal(b"")),
        ] {
            assert!(whole(&odd).is_err(), "{odd}");
        }
    }
}
