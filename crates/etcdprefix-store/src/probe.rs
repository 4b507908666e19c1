//! Whether a presigned URL works, asked as whoever gets it would.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{CONTENT_RANGE, RANGE};
use reqwest::{Response, StatusCode};

use crate::client::{Clients, MAX_ERROR_BYTES, Retry, collect, date, explain, refusal_of_url};
use crate::dialect::Kind;
use crate::error::{Cause, Error, Refusal, Result, distance};
use crate::metadata::Metadata;
use crate::secret::SecretUrl;

/// For one byte.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How often a store that is not able to now is asked again.
const RETRY: Retry = Retry {
    times: 3,
    first_pause: Duration::from_millis(300),
    longest_pause: Duration::from_secs(2),
};
/// A clock that is off by less is right, and what it is said to be off by needs some time to come.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(2);

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The first and last bytes came.
    Fetched {
        /// The object's size.
        bytes: u64,
        /// Whether its metadata says that it is encrypted: whoever fetches it needs the key.
        encrypted: bool,
    },
    /// From here the URL's host can't be reached, or is not able to answer now; whoever gets the URL
    /// may be elsewhere. Why.
    Unreachable(String),
}

/// Why a byte did not come.
enum Failed {
    Unreachable(String),
    Refused(Refused),
}

/// With the store's time.
type Refused = (Box<Refusal>, Option<SystemTime>);

/// Fetches the first and the last byte, with no Referer and no credentials but the URL's own.
///
/// # Errors
/// [`Error::Refused`] if the store says no, with the cause: the URL has
/// expired, Referer protection, a policy, no such object. [`Error::Usage`] or
/// [`Error::File`] for `ca_file`.
pub async fn probe(url: &SecretUrl, ca_file: Option<&std::path::Path>) -> Result<Reach> {
    reach(ends(&Clients::new(ca_file)?, url).await).map_err(|(refusal, _)| Error::Refused(refusal))
}

/// Of a URL that was just signed: if its time is not now, one of the clocks is off.
pub(crate) async fn probe_fresh(clients: &Clients, url: &SecretUrl) -> Result<Reach> {
    reach(ends(clients, url).await).map_err(|(mut refusal, theirs)| {
        let is_off = theirs.is_none_or(|theirs| distance(theirs) > CLOCK_TOLERANCE);
        if is_about_time(&refusal) && is_off {
            refusal.cause = Cause::ClockSkew(theirs);
        }
        Error::Refused(refusal)
    })
}

fn is_about_time(refusal: &Refusal) -> bool {
    let message = refusal.message.to_lowercase();
    let early = ["not yet valid", "not valid yet"].iter().any(|words| message.contains(words));
    early || refusal.cause == Cause::Expired
}

fn reach(found: Result<Reach, Failed>) -> Result<Reach, Refused> {
    match found {
        Ok(reach) => Ok(reach),
        Err(Failed::Unreachable(why)) => Ok(Reach::Unreachable(why)),
        Err(Failed::Refused((refusal, _))) if refusal.is_passing() => {
            Ok(Reach::Unreachable(refusal.to_string()))
        }
        Err(Failed::Refused(refused)) => Err(refused),
    }
}

async fn ends(clients: &Clients, url: &SecretUrl) -> Result<Reach, Failed> {
    let first = byte(clients, url, 0).await?;
    let bytes = size(&first);
    if bytes > 1 {
        byte(clients, url, bytes - 1).await?;
    }
    Ok(Reach::Fetched { bytes, encrypted: is_encrypted(first.headers()) })
}

async fn byte(clients: &Clients, url: &SecretUrl, at: u64) -> Result<Response, Failed> {
    let mut tries = 1;
    loop {
        let answer = fetch(clients, url, at).await.map_err(Failed::Unreachable)?;
        match confirmed(url, answer).await {
            Err((refusal, _)) if refusal.is_passing() && tries <= RETRY.times => {
                tokio::time::sleep(RETRY.pause(tries)).await;
                tries += 1;
            }
            confirmed => return confirmed.map_err(Failed::Refused),
        }
    }
}

async fn fetch(clients: &Clients, url: &SecretUrl, at: u64) -> Result<Response, String> {
    let request = clients.proxied.get(url.expose()).header(RANGE, format!("bytes={at}-{at}"));
    let answer = request.timeout(TIMEOUT).send().await;
    answer.map_err(|error| explain(&error))
}

fn is_encrypted(headers: &HeaderMap) -> bool {
    [Kind::Oss, Kind::S3]
        .iter()
        .any(|kind| Metadata::read(*kind, headers).get("encryption").is_some())
}

/// An empty object has no first byte, and says so.
async fn confirmed(url: &SecretUrl, answer: Response) -> Result<Response, Refused> {
    let status = answer.status();
    if status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE {
        return Ok(answer);
    }
    let headers = answer.headers().clone();
    let body = collect(answer, MAX_ERROR_BYTES).await.unwrap_or_default();
    let refusal = refusal_of_url(url.redacted(), status, &headers, &body);
    Err((Box::new(refusal), date(&headers)))
}

/// `bytes 0-0/123`; a server that ignores ranges sends all, and says how much.
fn size(answer: &Response) -> u64 {
    let range = answer.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    let total = range.and_then(|range| range.rsplit('/').next()?.parse().ok());
    total.or(answer.content_length()).unwrap_or_default()
}
