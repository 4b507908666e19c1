//! A playbook that migrates: the steps of `etcdprefix node`, led by Ansible.

use etcdprefix_store::{Location, ObjectLocation};
use serde_json::{Value, json};

use crate::cluster_id::ClusterId;
use crate::error::{Error, Result};
use crate::protocol::StoreAccess;

/// As it is, but for what stands between two `@@`.
const TEMPLATE: &str = include_str!("ansible.yml");

/// Where the hosts get the program from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// A file of the machine with Ansible.
    File {
        /// Where.
        path: String,
        /// Of its bytes, if that is to be looked at.
        sha256: Option<String>,
    },
    /// What the hosts fetch.
    Url {
        /// From where.
        url: String,
        /// Of its bytes.
        sha256: String,
    },
}

/// What stands on top of the playbook.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cluster's id on the managed side.
    pub cluster_id: ClusterId,
    /// Where the snapshot goes. Files are the hosts'.
    pub store: StoreAccess,
    /// The inventory's group of the masters.
    pub group: String,
    /// The program.
    pub program: Program,
    /// How many hosts at once: a number, or a share with `%`.
    pub serial: String,
    /// What share of the hosts may fail before no more are begun.
    pub max_fail_percentage: u8,
    /// Until a host wakes by itself.
    pub wake_after_seconds: u64,
    /// Until the URL ends.
    pub presign_seconds: u64,
    /// The bundle's file on the machine with Ansible.
    pub bundle: String,
    /// For whom it is encrypted.
    pub recipients: Vec<String>,
    /// Become root by sudo.
    pub becomes_root: bool,
}

/// The playbook.
///
/// # Errors
/// [`Error::Usage`] for values that its own assertions would refuse, or that Ansible would take for something
/// to replace.
pub fn render(options: &Options) -> Result<String> {
    check(options)?;
    let id = options.cluster_id.as_str();
    let mut text = TEMPLATE.replace("@@GROUP@@", &options.group).replace("@@ID@@", id);
    for (name, value) in values(options) {
        text = text.replace(&format!("@@{name}@@"), &value.to_string());
    }
    debug_assert!(!text.contains("@@"), "{text}");
    Ok(text)
}

fn values(options: &Options) -> Vec<(&'static str, Value)> {
    let store = &options.store;
    let or_empty = |text: &Option<String>| Value::from(text.clone().unwrap_or_default());
    let path = |path: &Option<std::path::PathBuf>| {
        Value::from(
            path.as_ref().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default(),
        )
    };
    let (file, url, sha256) = match &options.program {
        Program::File { path, sha256 } => {
            (path.as_str(), "", sha256.as_deref().unwrap_or_default())
        }
        Program::Url { url, sha256 } => ("", url.as_str(), sha256.as_str()),
    };
    vec![
        ("CLUSTER_ID", options.cluster_id.as_str().into()),
        ("STORE", store.url.as_str().into()),
        ("REGION", or_empty(&store.region)),
        ("STORE_ENDPOINT", or_empty(&store.endpoint)),
        ("PRESIGN_ENDPOINT", or_empty(&store.presign_endpoint)),
        ("INTERNAL", store.internal.into()),
        ("PATH_STYLE", store.path_style.into()),
        ("CACERT", path(&store.cacert)),
        ("CREDENTIALS", path(&store.credentials)),
        ("PROFILE", or_empty(&store.profile)),
        ("BINARY", file.into()),
        ("URL", url.into()),
        ("SHA256", sha256.into()),
        ("SERIAL", options.serial.as_str().into()),
        ("MAX_FAIL", options.max_fail_percentage.into()),
        ("WAKE_AFTER", minutes(options.wake_after_seconds).into()),
        ("BUNDLE", options.bundle.as_str().into()),
        ("RECIPIENTS", json!(options.recipients)),
        ("PRESIGN_LIFETIME", minutes(options.presign_seconds).into()),
        ("BECOME", options.becomes_root.into()),
    ]
}

/// Whole ones.
fn minutes(seconds: u64) -> String {
    format!("{}m", seconds.div_ceil(60))
}

fn check(options: &Options) -> Result<()> {
    let store = place(&options.store.url)?;
    let key = |c: char| c.is_ascii_alphanumeric() || "_.=/-".contains(c);
    if !store.key.chars().all(key) {
        return wrong(format!("{store}: its key has other characters than letters, digits, _.=/-"));
    }
    let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let begins = options.group.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !begins || !options.group.chars().all(name) || options.group.len() > 100 {
        return wrong(format!("{:?} is no name of a group: letters, digits and _", options.group));
    }
    texts(options)?;
    program(&options.program)?;
    let number = options.serial.strip_suffix('%').unwrap_or(&options.serial);
    if !number.parse::<u32>().is_ok_and(|number| number > 0 && number <= 1000)
        || !number.starts_with(|c: char| ('1'..='9').contains(&c))
    {
        return wrong(format!("serial {:?} is neither a number nor a share", options.serial));
    }
    if options.max_fail_percentage > 100 {
        return wrong("more than 100% can't fail".into());
    }
    if options.wake_after_seconds < 1200 {
        return wrong("wake-after under 20m: a host could wake before all are fenced".into());
    }
    Ok(())
}

/// Braces would be a template of Ansible's.
fn texts(options: &Options) -> Result<()> {
    let store = &options.store;
    let path = |path: &Option<std::path::PathBuf>| {
        path.as_ref().map(|path| path.to_string_lossy().into_owned())
    };
    let texts = [
        ("region", store.region.clone(), "-"),
        ("endpoint", store.endpoint.clone(), ".:/[]-"),
        ("presign endpoint", store.presign_endpoint.clone(), ".:/[]-"),
        ("profile", store.profile.clone(), "_.-"),
        ("file with authorities", path(&store.cacert), "_./-"),
        ("folder with credentials", path(&store.credentials), "_./-"),
    ];
    for (what, text, others) in texts {
        let plain = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
        if let Some(text) = text.filter(|text| !text.chars().all(plain)) {
            return wrong(format!("{what} {text:?}: only letters, digits and {others}"));
        }
    }
    for recipient in &options.recipients {
        etcdprefix_store::Recipients::parse(std::slice::from_ref(recipient))
            .map_err(|error| Error::Usage(error.to_string()))?;
    }
    file("bundle", &options.bundle)
}

fn program(program: &Program) -> Result<()> {
    let sum = |text: &str| {
        let plain = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        match text.len() == 64 && text.chars().all(plain) {
            true => Ok(()),
            false => wrong(format!("{text:?} is no SHA-256: 64 digits and a to f")),
        }
    };
    match program {
        Program::File { path, sha256 } => {
            sha256.as_deref().map_or(Ok(()), sum)?;
            file("binary", path)
        }
        Program::Url { url, sha256 } => {
            let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
            let plain = |c: char| c.is_ascii_graphic() && !"{}\"'\\@".contains(c);
            if host.is_none_or(|host| host.is_empty() || !host.chars().all(plain)) {
                return wrong("the binary's URL is no http URL of plain characters".into());
            }
            sum(sha256)
        }
    }
}

fn file(what: &str, path: &str) -> Result<()> {
    let odd = |c: char| c.is_control() || "{}@".contains(c);
    if !path.starts_with('/') || path.ends_with('/') || path.chars().any(odd) {
        return wrong(format!("{what} {path:?}: the file's whole path, without braces"));
    }
    Ok(())
}

fn place(url: &str) -> Result<ObjectLocation> {
    match url.parse::<Location>().map_err(|error| Error::Usage(error.to_string()))? {
        Location::Object(place) => Ok(place),
        Location::File(_) => Err(Error::Usage(format!("{url:?} is no place in an object store"))),
    }
}

fn wrong<T>(why: String) -> Result<T> {
    Err(Error::Usage(why))
}
