//! The parameters of an execution, from flags.

use std::path::Path;

use etcdprefix_migrate::Error;
use serde_json::{Map, Value};

use crate::args::migrate::oos::OosStartArgs;
use crate::exit::Exit;
use crate::failure::Failure;

/// One object; what is given singly replaces what is in it. No message repeats a value.
pub fn of(args: &OosStartArgs) -> Result<Value, Failure> {
    let mut parameters = match args.parameters.as_deref() {
        Some(given) => object(given)?,
        None => Map::new(),
    };
    for given in &args.parameter {
        let (name, value) = single(given)?;
        parameters.insert(name, value);
    }
    Ok(Value::Object(parameters))
}

fn object(given: &str) -> Result<Map<String, Value>, Failure> {
    let (text, place) = match given.strip_prefix('@') {
        Some(file) => {
            let text = std::fs::read_to_string(Path::new(file));
            let text =
                text.map_err(|source| Failure::migration(&Error::file("read", file)(source)))?;
            (text, file)
        }
        None => (given.to_owned(), "--parameters"),
    };
    serde_json::from_str(&text).map_err(|error| {
        let at = format!("line {}, column {}", error.line(), error.column());
        usage(format!("{place} has no JSON object ({at})"), "{\"name\": \"value\"}")
    })
}

fn single(given: &str) -> Result<(String, Value), Failure> {
    let named = given.split_once('=').filter(|(name, _)| !name.is_empty());
    let Some((name, text)) = named else {
        return Err(usage("a --parameter without a name", "--parameter NAME=VALUE"));
    };
    if !text.starts_with(['{', '[']) {
        return Ok((name.to_owned(), text.into()));
    }
    let value = serde_json::from_str(text);
    let value = value
        .map_err(|_| usage(format!("{name} begins as JSON and is none"), "quotes around it"))?;
    Ok((name.to_owned(), value))
}

fn usage(message: impl Into<String>, hint: &str) -> Failure {
    Failure::new(Exit::Usage, message, Some(hint.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn single_values_are_strings_or_json() {
        for (given, value) in [
            ("action=migrate", json!("migrate")),
            ("n=5", json!("5")),
            ("url=a=b", json!("a=b")),
            ("empty=", json!("")),
            ("targets={\"Type\":\"ResourceIds\"}", json!({"Type": "ResourceIds"})),
            ("ids=[\"i-1\"]", json!(["i-1"])),
        ] {
            assert_eq!(single(given).unwrap().1, value, "{given}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused_unseen() {
        for given in ["{s3cr3t", "[1]", "\"s3cr3t\"", ""] {
            let told = object(given).unwrap_err();
            assert_eq!(told.exit, Exit::Usage);
            assert!(!told.to_string().contains("s3cr3t"), "{told}");
        }
        for given in ["s3cr3t", "=s3cr3t", "a={s3cr3t"] {
            assert!(!single(given).unwrap_err().to_string().contains("s3cr3t"));
        }
    }
}
