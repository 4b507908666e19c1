//! What Kubernetes would refuse, or read as something else, before it is asked.

use super::list::{Task, plain};
use super::{Options, list};
use crate::error::{Error, Result};

/// Of a Job's pods the names end in `-`, an index and five letters more; 63 are allowed in all.
const LONGEST_NAME: usize = 45;
/// Under it not even an empty etcd is rewritten; rather a unit was forgotten.
const LEAST_BYTES: u64 = 64 << 20;
/// A Job that counts by index takes no more at once if it is very large.
const MOST_AT_ONCE: u32 = 10_000;

pub fn check(options: &Options, tasks: &[Task]) -> Result<()> {
    names(options)?;
    check_image(&options.image)?;
    cores(&options.cpu)?;
    bytes("scratch", &options.scratch, LEAST_BYTES)?;
    bytes("memory", &options.memory, LEAST_BYTES)?;
    numbers(options)?;
    store(options, tasks)?;
    if options.src_prefix.chars().any(char::is_control) {
        return Err(wrong(format!("the prefix {:?} holds control characters", options.src_prefix)));
    }
    // Says what the rewrite would.
    tasks.iter().try_for_each(|task| list::prefix_rule(&options.src_prefix, &task.dest_prefix))
}

fn names(options: &Options) -> Result<()> {
    if !is_label(&options.name) || options.name.len() > LONGEST_NAME {
        return Err(wrong(format!(
            "{:?} is no name for a Job: 1 to {LONGEST_NAME} small letters, digits and -, no - at \
             its ends",
            options.name
        )));
    }
    if let Some(namespace) = options.namespace.as_ref().filter(|name| !is_label(name)) {
        return Err(wrong(format!("{namespace:?} is no name of a namespace")));
    }
    let others = [
        ("service account", &options.service_account),
        ("Secret", &options.credentials_secret),
        ("Secret", &options.env_secret),
    ];
    for (what, name) in others {
        if let Some(name) = name.as_ref().filter(|name| !is_subdomain(name)) {
            return Err(wrong(format!("{name:?} is no name of a {what}")));
        }
    }
    Ok(())
}

/// RFC 1123: small letters, digits, dashes within.
fn is_label(name: &str) -> bool {
    let end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=63).contains(&name.len())
        && name.starts_with(end)
        && name.ends_with(end)
        && name.chars().all(|c| end(c) || c == '-')
}

fn is_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_label)
}

/// Registry, repository, tag, digest: none of them takes other characters.
///
/// # Errors
/// [`Error::Usage`].
pub fn check_image(image: &str) -> Result<()> {
    let odd = |c: char| !(c.is_ascii_alphanumeric() || "./:@_-".contains(c));
    let begins = image.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !begins || image.len() > 512 || image.chars().any(odd) {
        return Err(wrong(format!("{image:?} is no image")));
    }
    Ok(())
}

/// Whole cores, or thousandths.
fn cores(text: &str) -> Result<()> {
    match split(text) {
        Some((1.., "" | "m")) => Ok(()),
        _ => Err(wrong(format!("cpu {text:?} is no number of cores such as 500m or 2"))),
    }
}

/// A whole number with a unit: enough here. `m` would be thousandths of a byte.
fn bytes(what: &str, text: &str, least_bytes: u64) -> Result<()> {
    let units = ["", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti"];
    let powers = [0, 1, 2, 3, 4, 1, 2, 3, 4];
    let found = split(text).and_then(|(number, unit)| {
        let at = units.iter().position(|known| *known == unit)?;
        let base: u64 = if unit.ends_with('i') { 1024 } else { 1000 };
        number.checked_mul(base.checked_pow(*powers.get(at)?)?)
    });
    match found {
        Some(found) if found >= least_bytes => Ok(()),
        Some(_) => Err(wrong(format!("{what} {text:?} is too little; try: 64Mi or more"))),
        None => Err(wrong(format!("{what} {text:?} is no quantity such as 512Mi or 20Gi"))),
    }
}

fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let plain = digits.chars().all(|c| c.is_ascii_digit());
    let number = digits.parse::<u32>().ok().filter(|_| plain)?;
    Some((number.into(), text.get(digits.len()..)?))
}

fn numbers(options: &Options) -> Result<()> {
    if !(1..=MOST_AT_ONCE).contains(&options.parallelism) {
        return Err(wrong(format!("at once must be from 1 to {MOST_AT_ONCE}")));
    }
    if options.kubernetes < (1, 24) {
        let (major, minor) = options.kubernetes;
        return Err(wrong(format!(
            "Kubernetes {major}.{minor} has no Jobs with indices; try: 1.24 or later"
        )));
    }
    let seconds = [options.try_seconds, options.deadline_seconds];
    if seconds.iter().any(|seconds| !(60..=i32::MAX as u64).contains(seconds)) {
        return Err(wrong("a time under a minute leaves none for a snapshot".into()));
    }
    if options.ttl_seconds > i32::MAX as u64 {
        return Err(wrong("the time until a Job is removed is too long".into()));
    }
    Ok(())
}

/// One endpoint and one region serve one kind of store.
fn store(options: &Options, tasks: &[Task]) -> Result<()> {
    for text in options.store_endpoint.iter().chain(&options.region) {
        plain(text)?;
        if text.contains('@') {
            return Err(wrong("an endpoint or region holds no credentials".into()));
        }
    }
    let mut kinds = tasks.iter().flat_map(|task| [task.source.kind, task.output.kind]);
    let first = kinds.next();
    let mixed = kinds.any(|kind| Some(kind) != first);
    let given = options.store_endpoint.is_some() || options.region.is_some();
    if mixed && (given || options.credentials_secret.is_some()) {
        let why = "the list names OSS and S3: endpoints, regions and keys of both only go into a \
                   Secret of variables (--env-secret)";
        return Err(wrong(why.into()));
    }
    Ok(())
}

fn wrong(why: String) -> Error {
    Error::Usage(why)
}
