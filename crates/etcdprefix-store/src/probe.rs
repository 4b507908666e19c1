//! Whether a presigned URL works, asked as whoever gets it would.

use std::time::Duration;

use http::header::{CONTENT_RANGE, RANGE};
use reqwest::{Response, StatusCode};

use crate::client::{Clients, MAX_ERROR_BYTES, collect, explain, refusal_of_url};
use crate::error::Result;
use crate::secret::SecretUrl;

/// For one byte.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The first and last bytes came.
    Fetched {
        /// The object's size.
        bytes: u64,
    },
    /// From here the URL's host can't be reached; whoever gets the URL may be elsewhere. Why.
    Unreachable(String),
}

/// Fetches the first and the last byte, with no Referer and no credentials but the URL's own.
///
/// # Errors
/// [`Error::Refused`](crate::Error::Refused) if the store says no, with the cause: the URL has
/// expired, Referer protection, a policy, no such object. [`Error::Usage`](crate::Error::Usage) or
/// [`Error::File`](crate::Error::File) for `ca_file`.
pub async fn probe(url: &SecretUrl, ca_file: Option<&std::path::Path>) -> Result<Reach> {
    probe_with(&Clients::new(ca_file)?, url).await
}

pub(crate) async fn probe_with(clients: &Clients, url: &SecretUrl) -> Result<Reach> {
    let bytes = match fetch(clients, url, 0).await {
        Ok(answer) => size(&confirmed(url, answer).await?),
        Err(why) => return Ok(Reach::Unreachable(why)),
    };
    if bytes > 1 {
        match fetch(clients, url, bytes - 1).await {
            Ok(answer) => drop(confirmed(url, answer).await?),
            Err(why) => return Ok(Reach::Unreachable(why)),
        }
    }
    Ok(Reach::Fetched { bytes })
}

async fn fetch(clients: &Clients, url: &SecretUrl, at: u64) -> Result<Response, String> {
    let request = clients.proxied.get(url.expose()).header(RANGE, format!("bytes={at}-{at}"));
    let answer = request.timeout(TIMEOUT).send().await;
    answer.map_err(|error| explain(&error))
}

/// An empty object has no first byte, and says so.
async fn confirmed(url: &SecretUrl, answer: Response) -> Result<Response> {
    let status = answer.status();
    if status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE {
        return Ok(answer);
    }
    let headers = answer.headers().clone();
    let body = collect(answer, MAX_ERROR_BYTES).await.unwrap_or_default();
    Err(refusal_of_url(url.redacted(), status, &headers, &body).into())
}

/// `bytes 0-0/123`; a server that ignores ranges sends all, and says how much.
fn size(answer: &Response) -> u64 {
    let range = answer.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    let total = range.and_then(|range| range.rsplit('/').next()?.parse().ok());
    total.or(answer.content_length()).unwrap_or_default()
}
