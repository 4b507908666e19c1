//! Where keys come from, and how long they last.

mod context;
mod folder;
mod sources;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use reqsign_core::Context;
use tokio::sync::Mutex;

use crate::client::Clients;
use crate::dialect::Kind;
use crate::error::{Error, Result};
use crate::secret::Secret;

use context::Notes;
use sources::Source;

/// What a request needs at least: a clock that is a little off must not end it.
const MARGIN: Duration = Duration::from_secs(120);

/// A key pair, with a token if it is temporary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The access key's id.
    pub key_id: Secret,
    /// The secret key.
    pub secret: Secret,
    /// The token of temporary credentials.
    pub token: Option<Secret>,
    /// When temporary credentials end, if that is known.
    pub ends: Option<SystemTime>,
    /// Which source they are from, such as `environment`.
    pub origin: &'static str,
}

impl Credentials {
    /// How long they last from now; `None` if no end is known.
    pub fn left(&self) -> Option<Duration> {
        let ends = self.ends?;
        Some(ends.duration_since(SystemTime::now()).unwrap_or_default())
    }

    fn last(&self, lifetime: Duration) -> bool {
        self.left().is_none_or(|left| left >= lifetime)
    }

    /// `text` without what must not be shown.
    pub fn strike(&self, text: &str) -> String {
        let text = self.secret.strike(text);
        self.token.as_ref().map_or(text.clone(), |token| token.strike(&text))
    }
}

/// Where to look for credentials.
///
/// Without a folder, in this order, the first that has some: the environment, OIDC (RRSA, IRSA),
/// the profile files of the vendor's tools, a credentials URI, the metadata of the instance.
#[derive(Clone, Debug, Default)]
pub struct CredentialOptions {
    /// A folder with the files `access-key-id` and `access-key-secret`, and `security-token` if they
    /// are temporary, as a mounted secret has them (such as `csdr/alibaba-addon-secret`). With it,
    /// nowhere else is looked.
    pub folder: Option<PathBuf>,
    /// The profile to take of the profile files, and then nowhere else is looked; `None` for what the
    /// environment says, or the default one.
    pub profile: Option<String>,
}

/// Variables and home folder that say where credentials are. Its `Debug` shows the names alone.
#[derive(Clone, Default)]
pub struct Environment {
    /// The variables.
    pub variables: HashMap<String, String>,
    /// The user's home folder.
    pub home: Option<PathBuf>,
}

impl Environment {
    /// That of this process. Variables that are not UTF-8 are left out.
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self {
            variables: std::env::vars_os().filter_map(text).collect(),
            home: std::env::home_dir(),
        }
    }

    /// A variable that is not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The first of these that is set.
    pub(crate) fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.get(name))
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.variables.keys().collect();
        f.debug_struct("Environment").field("names", &names).field("home", &self.home).finish()
    }
}

/// Keeps credentials until they end.
pub(crate) struct Keychain {
    sources: Vec<Source>,
    context: Context,
    notes: Notes,
    /// The one that was asked for.
    profile: Option<String>,
    cached: Mutex<Option<Credentials>>,
}

/// There are none.
#[derive(Debug)]
pub struct Lack {
    /// Each source that was asked, and what it said.
    pub tried: Vec<String>,
    /// Whether there may be some later.
    pub is_passing: bool,
}

impl From<Lack> for Error {
    fn from(lack: Lack) -> Self {
        Self::NoCredentials { tried: lack.tried }
    }
}

impl Keychain {
    pub fn new(
        kind: Kind,
        options: &CredentialOptions,
        environment: &Environment,
        clients: &Clients,
    ) -> Self {
        let notes = Notes::default();
        Self {
            sources: sources::sources(kind, options),
            context: context::context(environment, options.profile.is_some(), clients, &notes),
            notes,
            profile: options.profile.clone(),
            cached: Mutex::new(None),
        }
    }

    /// For one request.
    pub async fn get(&self) -> Result<Credentials, Lack> {
        self.lasting(MARGIN).await
    }

    /// Credentials that last so long; fresh ones, which may end earlier, if those at hand do not. If
    /// there are no fresh ones, those at hand do until they end.
    pub async fn lasting(&self, lifetime: Duration) -> Result<Credentials, Lack> {
        let mut cached = self.cached.lock().await;
        if let Some(credentials) = cached.as_ref().filter(|it| it.last(lifetime.max(MARGIN))) {
            return Ok(credentials.clone());
        }
        match self.load(cached.is_some()).await {
            Ok(fresh) => Ok(cached.insert(fresh).clone()),
            Err(lack) => {
                let lasting = cached.as_ref().filter(|it| it.left() > Some(Duration::ZERO));
                lasting.cloned().ok_or(lack)
            }
        }
    }

    /// Fresh ones after the store refused `stale`; `None` if the source has none but these.
    pub async fn after(&self, stale: &Credentials) -> Result<Option<Credentials>, Lack> {
        let mut cached = self.cached.lock().await;
        if cached.as_ref() == Some(stale) {
            *cached = Some(self.load(true).await?);
        }
        Ok(cached.clone().filter(|fresh| fresh != stale))
    }

    /// `had_some` tells that what does not answer once did.
    async fn load(&self, had_some: bool) -> Result<Credentials, Lack> {
        let (mut tried, mut is_passing) = (Vec::new(), false);
        for source in &self.sources {
            self.notes.clear();
            if let Some(half) = source.half_of_a_pair(&self.context) {
                tried.push(format!("{}: {half}", source.name));
                break;
            }
            let (why, is_failure) = match source.load(&self.context).await {
                Ok(Some(credentials)) => return Ok(credentials),
                Ok(None) => match self.unread(source) {
                    Some(why) => (why, true),
                    None => (self.none(), false),
                },
                Err(error) => (self.notes.explain(error), true),
            };
            tried.push(format!("{}: {why}", source.name));
            is_passing |= is_failure && self.notes.is_passing(source.is_chosen || had_some);
            // A source that is set up but fails must not hand over to one with other rights.
            if is_failure && source.is_chosen {
                break;
            }
        }
        Err(Lack { tried, is_passing })
    }

    /// The libraries take a file that can't be read for one that is not there. One that the
    /// environment names should be.
    fn unread(&self, source: &Source) -> Option<String> {
        let named = source.files.iter().filter_map(|name| self.context.env_var(name));
        let mut paths = named.filter_map(|path| self.context.expand_home_dir(&path));
        paths.find_map(|path| self.notes.unread(&path))
    }

    fn none(&self) -> String {
        match &self.profile {
            Some(profile) => format!("no profile {profile:?} with keys"),
            None => "none".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_value_of_the_environment() {
        let variables = [("OSS_ACCESS_KEY_SECRET".to_owned(), "s3cr3t".to_owned())].into();
        let shown = format!("{:?}", Environment { variables, home: None });
        assert!(shown.contains("OSS_ACCESS_KEY_SECRET") && !shown.contains("s3cr3t"), "{shown}");
    }

    #[test]
    fn debug_shows_no_credentials() {
        let secret = |text: &str| Secret::new(text.into());
        let credentials = Credentials {
            key_id: secret("s3cr3t-id"),
            secret: secret("s3cr3t-key"),
            token: Some(secret("s3cr3t-token")),
            ends: None,
            origin: "test",
        };
        assert!(!format!("{credentials:?}").contains("s3cr3t"));
        assert_eq!(credentials.strike("s3cr3t-key s3cr3t-token"), "[redacted] [redacted]");
    }
}
