//! HTTP: one request, signed, sent as often as it takes, and its answer.

mod answer;
mod body;
mod request;
mod retry;
mod sign;
mod tls;

use std::error::Error as _;
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::error::{Error, Result};

pub(crate) use answer::{Answer, Denial, MAX_BODY_BYTES, MAX_ERROR_BYTES, date, refusal_of_url};
pub(crate) use body::{Meter, Payload};
pub(crate) use request::Request;
pub use retry::Retry;
pub(crate) use retry::Trouble;
pub(crate) use sign::Signer;

/// Before a host that does not answer is given up; the metadata of an instance that is none is asked
/// for, too.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// One that goes through the environment's proxy and one that never does.
#[derive(Clone)]
pub(crate) struct Clients {
    pub proxied: reqwest::Client,
    pub direct: reqwest::Client,
}

impl Clients {
    /// Trusts the system's authorities, and those in `ca_file` too.
    pub fn new(ca_file: Option<&Path>) -> Result<Self> {
        let tls = tls::config(ca_file)?;
        Ok(Self {
            proxied: build(reqwest::Client::builder(), tls.clone())?,
            direct: build(reqwest::Client::builder().no_proxy(), tls)?,
        })
    }
}

fn build(builder: reqwest::ClientBuilder, tls: rustls::ClientConfig) -> Result<reqwest::Client> {
    builder
        .tls_backend_preconfigured(tls)
        // A signature holds for one host only, and a Referer would tell the URL.
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .user_agent(concat!("etcdprefix/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| Error::Usage(format!("no HTTP client: {}", explain(&error))))
}

/// Why there is no answer, without the URL that reqwest's own text has.
pub(crate) fn explain(error: &reqwest::Error) -> String {
    let mut cause: Option<&dyn std::error::Error> = error.source();
    let mut innermost = None;
    while let Some(next) = cause {
        innermost = Some(next.to_string());
        cause = next.source();
    }
    let what = match error {
        error if error.is_connect() => "cannot connect",
        error if error.is_timeout() => "no answer in time",
        error if error.is_body() || error.is_decode() => "the connection broke",
        _ => "the request failed",
    };
    match innermost {
        Some(why) => format!("{what}: {}", crate::secret::redacted_line(&why)),
        None => what.to_owned(),
    }
}

/// A short body.
pub(crate) async fn collect(mut answer: reqwest::Response, limit: usize) -> Result<Bytes, String> {
    let mut body = BytesMut::new();
    while let Some(piece) = answer.chunk().await.map_err(|error| explain(&error))? {
        if body.len() + piece.len() > limit {
            return Err(format!("the answer is longer than {limit} bytes"));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}
