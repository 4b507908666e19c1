//! A URL by which anybody can fetch one object for a while.

use std::time::{Duration, SystemTime};

use http::Method;

use crate::client::Request;
use crate::credentials::Credentials;
use crate::error::{Error, Result};
use crate::probe::{Reach, probe_fresh};
use crate::secret::SecretUrl;
use crate::store::Store;

/// The longest life of a URL with a signature of version 4.
pub const MAX_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// A URL that lives shorter is of no use to anybody.
const MIN_LIFETIME: Duration = Duration::from_secs(1);

/// How to presign.
#[derive(Clone, Copy, Debug, Default)]
pub struct PresignOptions {
    /// How long the URL is to live; `None` for the store's usual
    /// ([`Kind::presign_lifetime`](crate::Kind::presign_lifetime)).
    pub lifetime: Option<Duration>,
    /// With temporary credentials that end earlier, fresh ones included, sign for what is left of
    /// them rather than fail.
    pub shorter_ok: bool,
    /// Fetch the object's first and last byte by the URL before it is given out.
    pub probe: bool,
}

/// A URL for one GET.
#[derive(Clone, Debug)]
pub struct Presigned {
    /// The URL: a secret.
    pub url: SecretUrl,
    /// When it ends, the end of its credentials included.
    pub ends: SystemTime,
    /// Whether its credentials are temporary and do not say when they end: the URL may end with them
    /// before `ends`.
    pub end_unknown: bool,
    /// How long it lives.
    pub lifetime: Duration,
    /// Whether that is shorter than what was asked for.
    pub is_shortened: bool,
    /// What became of the probe, if there was one.
    pub reach: Option<Reach>,
}

/// Signs a URL to fetch an object. Whether there is one is not asked, unless it is probed.
///
/// # Errors
/// [`Error::Usage`] for a lifetime of nothing or of more than seven days; [`Error::CredentialsEnd`];
/// [`Error::Refused`] if the probe is refused, with the cause.
pub async fn presign(store: &Store, key: &str, options: &PresignOptions) -> Result<Presigned> {
    store.location(key).object_key()?;
    let wanted = options.lifetime.unwrap_or(store.kind.presign_lifetime());
    check_lifetime(wanted)?;
    let credentials = store.keychain.lasting(wanted).await?;
    let lifetime = lifetime(&credentials, wanted, options.shorter_ok)?;
    let url = sign(store, key, &credentials, lifetime).await?;
    let ends = SystemTime::now() + lifetime;
    let reach = match options.probe {
        true => {
            let reach = probe_fresh(&store.clients, &url).await;
            Some(reach.map_err(|error| struck(error, &credentials))?)
        }
        false => None,
    };
    let end_unknown = credentials.token.is_some() && credentials.ends.is_none();
    Ok(Presigned { url, ends, end_unknown, lifetime, is_shortened: lifetime < wanted, reach })
}

/// What stands before a store may repeat what it was sent.
fn struck(error: Error, credentials: &Credentials) -> Error {
    match error {
        Error::Refused(mut refusal) => {
            refusal.message = credentials.strike(&refusal.message);
            Error::Refused(refusal)
        }
        error => error,
    }
}

pub(crate) fn check_lifetime(lifetime: Duration) -> Result<()> {
    if lifetime < MIN_LIFETIME || lifetime > MAX_LIFETIME {
        return Err(Error::Usage("a URL lives from one second to seven days".into()));
    }
    Ok(())
}

/// In whole seconds, as signatures have it.
fn lifetime(credentials: &Credentials, wanted: Duration, shorter_ok: bool) -> Result<Duration> {
    let wanted = Duration::from_secs(wanted.as_secs());
    let Some(left) = credentials.left().filter(|left| *left < wanted) else { return Ok(wanted) };
    let whole = Duration::from_secs(left.as_secs());
    if shorter_ok && whole >= MIN_LIFETIME {
        return Ok(whole);
    }
    Err(Error::CredentialsEnd { origin: credentials.origin.into(), left: whole, wanted })
}

async fn sign(
    store: &Store,
    key: &str,
    credentials: &Credentials,
    lifetime: Duration,
) -> Result<SecretUrl> {
    let request = Request::new("GetObject", Method::GET, key);
    let mut parts = request.parts(&store.presign_endpoint, &store.bucket)?;
    store.signer.sign(&mut parts, credentials, Some(lifetime)).await?;
    Ok(SecretUrl::new(parts.uri.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn credentials(left: Option<u64>) -> Credentials {
        let secret = || Secret::new("s".into());
        // Half a second more, so that what the test itself takes does not count.
        let end = |left| SystemTime::now() + Duration::from_millis(left * 1000 + 500);
        let ends = left.map(end);
        Credentials { key_id: secret(), secret: secret(), token: None, ends, origin: "test" }
    }

    #[test]
    fn the_shorter_life_wins_only_if_it_may() {
        let wanted = Duration::from_secs(2400);
        for (left, shorter_ok, expected) in [
            (None, false, Some(2400)),
            (Some(9000), false, Some(2400)),
            (Some(1200), true, Some(1200)),
            (Some(1200), false, None),
            (Some(0), true, None),
        ] {
            let got = lifetime(&credentials(left), wanted, shorter_ok);
            assert_eq!(got.ok().map(|got| got.as_secs()), expected, "{left:?} {shorter_ok}");
        }
    }
}
