//! One call: signed, watched, and sent as often as it takes.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use etcdprefix_store::{Account, CredentialOptions, Credentials, Environment, Retry};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::acs3;
use super::answer::{Trouble, trouble};
use super::endpoint::Endpoint;
use super::error::ApiError;
use crate::error::{Error, Result};

/// For one try, from connecting to the last byte.
const TRY_LIMIT: Duration = Duration::from_secs(30);
/// For all tries of a call with the pauses between them.
const LIMIT: Duration = Duration::from_secs(120);
/// The longest answer: a hundred instances with all that the cloud tells of them.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// Where the API is, and who asks.
#[derive(Clone, Debug, Default)]
pub struct ApiOptions {
    /// Such as `cn-hangzhou`.
    pub region: String,
    /// Host or URL; `None` for `ecs.<region>.aliyuncs.com`.
    pub ecs_endpoint: Option<String>,
    /// Host or URL; `None` for `oos.<region>.aliyuncs.com`.
    pub oos_endpoint: Option<String>,
    /// PEM of authorities to trust besides the system's.
    pub cacert: Option<PathBuf>,
    /// The profile to take credentials from, and then nowhere else is looked.
    pub profile: Option<String>,
    /// A folder with the files of credentials, and then nowhere else is looked.
    pub credentials: Option<PathBuf>,
}

/// The API of one region. Clones share their credentials and connections.
#[derive(Clone)]
pub struct Api {
    region: String,
    ecs: Endpoint,
    oos: Endpoint,
    account: Account,
    retry: Retry,
    limit: Duration,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("region", &self.region).finish_non_exhaustive()
    }
}

/// Which of the cloud's services.
#[derive(Clone, Copy)]
pub(super) enum Service {
    Ecs,
    Oos,
}

impl Service {
    fn version(self) -> &'static str {
        match self {
            Self::Ecs => "2014-05-26",
            Self::Oos => "2019-06-01",
        }
    }
}

/// What is asked for. Its parameters may hold commands and tokens.
pub(super) struct Call {
    pub service: Service,
    pub action: &'static str,
    pub parameters: Vec<(String, String)>,
    /// Whether doing it twice is as doing it once.
    pub is_repeatable: bool,
}

impl Call {
    pub fn new(service: Service, action: &'static str) -> Self {
        Self { service, action, parameters: Vec::new(), is_repeatable: true }
    }

    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.parameters.push((name.into(), value.into()));
        self
    }

    /// `text` without the commands, templates and parameters that were sent.
    pub fn strike(&self, text: &str) -> String {
        let sent = self.parameters.iter().filter(|(name, value)| {
            !value.is_empty()
                && ["CommandContent", "Content", "Parameters"].contains(&name.as_str())
        });
        sent.fold(text.to_owned(), |text, (_, value)| text.replace(value, "[redacted]"))
    }

    /// What was lost on the way back must not be done again unseen.
    pub fn once(self) -> Self {
        Self { is_repeatable: false, ..self }
    }
}

impl Api {
    /// Nothing is sent yet, and no credentials are looked for.
    ///
    /// # Errors
    /// [`Error::Usage`] for a region or endpoint that is none, or a file of authorities that can't be used.
    pub fn open(options: &ApiOptions, environment: &Environment) -> Result<Self> {
        let region = &options.region;
        let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if region.is_empty() || !region.chars().all(is_part) {
            return Err(Error::Usage(format!("{region:?} is no region: such as cn-hangzhou")));
        }
        let endpoint = |given: &Option<String>, service: &str| match given {
            Some(given) => Endpoint::parse(given),
            None => Endpoint::parse(&format!("{service}.{region}.aliyuncs.com")),
        };
        let credentials = CredentialOptions {
            folder: options.credentials.clone(),
            profile: options.profile.clone(),
        };
        let account = Account::open(&credentials, options.cacert.as_deref(), environment);
        Ok(Self {
            region: region.clone(),
            ecs: endpoint(&options.ecs_endpoint, "ecs")?,
            oos: endpoint(&options.oos_endpoint, "oos")?,
            account: account.map_err(|error| Error::Usage(error.to_string()))?,
            retry: Retry::default(),
            limit: LIMIT,
        })
    }

    /// The region's id.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The same with other patience.
    #[must_use]
    pub fn with_retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// The same for calls that are over within `limit` (120 s otherwise), tries and pauses and the
    /// looking for credentials together: for whoever asks again anyway. What is cut off ends as
    /// [`ApiError::Unreachable`], or as the last try did.
    #[must_use]
    pub fn within(&self, limit: Duration) -> Self {
        Self { limit, ..self.clone() }
    }

    /// The answer's JSON.
    pub(super) async fn call(&self, call: &Call) -> Result<Value, ApiError> {
        let last = Mutex::new(None);
        let done = timeout(self.limit, self.tries(call, &last)).await;
        done.unwrap_or_else(|_| {
            let last = last.into_inner().unwrap_or_else(PoisonError::into_inner);
            Err(last.unwrap_or_else(|| self.silence(call, self.limit)))
        })
    }

    fn silence(&self, call: &Call, limit: Duration) -> ApiError {
        let (action, place) = (call.action, self.place(call));
        ApiError::Unreachable(format!("{action}: {place}: no answer within {limit:?}"))
    }

    /// While it pauses, `last` is what the last try ended with.
    async fn tries(&self, call: &Call, last: &Mutex<Option<ApiError>>) -> Result<Value, ApiError> {
        let (mut failed, mut is_renewed, mut unseen) = (0, false, None);
        loop {
            let credentials = self.account.credentials().await;
            let tried = match &credentials {
                Ok(credentials) => self.try_once(call, credentials).await,
                Err(lack) if lack.is_passing => Err(Trouble::Passing(ApiError::lack(lack))),
                Err(lack) => Err(Trouble::Refused(ApiError::lack(lack))),
            };
            let error = match tried {
                Ok(answer) => return Ok(answer),
                Err(Trouble::Refused(error)) => {
                    let stale = credentials.ok().filter(|_| !is_renewed && error.is_about_token());
                    is_renewed = true;
                    if self.renew(stale).await {
                        continue;
                    }
                    return Err(error);
                }
                Err(Trouble::Unseen(error)) if !call.is_repeatable => return Err(error),
                // A later try that did nothing tells nothing of what an earlier one did.
                Err(Trouble::Passing(error)) => unseen.clone().unwrap_or(error),
                Err(Trouble::Unseen(error)) => unseen.insert(error).clone(),
            };
            failed += 1;
            if failed > self.retry.times {
                return Err(error);
            }
            keep(last, Some(error));
            sleep(self.retry.pause(failed)).await;
            keep(last, None);
        }
    }

    /// Whether there are others than those that were refused.
    async fn renew(&self, stale: Option<Credentials>) -> bool {
        let Some(stale) = stale else { return false };
        matches!(self.account.after(&stale).await, Ok(Some(_)))
    }

    async fn try_once(&self, call: &Call, credentials: &Credentials) -> Result<Value, Trouble> {
        let place = self.place(call);
        let lost = |why: String| {
            Trouble::Unseen(ApiError::Unreachable(format!("{}: {place}: {why}", call.action)))
        };
        let request = self.request(call, credentials).map_err(Trouble::Refused)?;
        let exchange = async {
            let answer = self.account.http().execute(request).await;
            let answer = answer.map_err(|error| Account::explain(&error))?;
            let status = answer.status().as_u16();
            Ok::<_, String>((status, Account::collect(answer, MAX_ANSWER_BYTES).await?))
        };
        let exchanged = timeout(TRY_LIMIT, exchange).await;
        let exchanged =
            exchanged.unwrap_or_else(|_| Err(format!("no answer within {TRY_LIMIT:?}")));
        let (status, body) = exchanged.map_err(lost)?;
        let answer = serde_json::from_slice::<Value>(&body);
        match answer {
            Ok(answer) if (200..300).contains(&status) => Ok(answer),
            Ok(answer) => Err(trouble(call, status, &answer, credentials)),
            Err(_) if (400..500).contains(&status) => {
                Err(trouble(call, status, &Value::Null, credentials))
            }
            Err(_) => Err(lost(format!("HTTP {status} without JSON"))),
        }
    }

    fn place(&self, call: &Call) -> &str {
        &self.endpoint(call).host
    }

    fn endpoint(&self, call: &Call) -> &Endpoint {
        match call.service {
            Service::Ecs => &self.ecs,
            Service::Oos => &self.oos,
        }
    }

    /// Its parameters are a form, not a query: proxies and servers write queries to their logs.
    fn request(
        &self,
        call: &Call,
        credentials: &Credentials,
    ) -> Result<reqwest::Request, ApiError> {
        let endpoint = self.endpoint(call);
        let mut parameters = vec![("RegionId".to_owned(), self.region.clone())];
        parameters.extend(call.parameters.iter().cloned());
        let body = acs3::form(&parameters);
        let payload_hash = &acs3::hash(body.as_bytes());
        let headers = &headers(call, &endpoint.host, payload_hash, credentials)[..];
        let signing =
            acs3::Request { method: "POST", path: "/", query: &[], headers, payload_hash };
        let (key_id, secret) = (credentials.key_id.expose(), credentials.secret.expose());
        let authorization = signing.authorization(key_id, secret);
        let mut request = self.account.http().post(endpoint.url());
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.header("authorization", authorization).body(body).build();
        request.map_err(|_| ApiError::Usage(format!("no request to {} can be made", endpoint.host)))
    }
}

fn keep(last: &Mutex<Option<ApiError>>, error: Option<ApiError>) {
    *last.lock().unwrap_or_else(PoisonError::into_inner) = error;
}

fn headers(
    call: &Call,
    host: &str,
    payload_hash: &str,
    credentials: &Credentials,
) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        ("accept", "application/json".to_owned()),
        ("content-type", "application/x-www-form-urlencoded".to_owned()),
        ("host", host.to_owned()),
        ("x-acs-action", call.action.to_owned()),
        ("x-acs-content-sha256", payload_hash.to_owned()),
        ("x-acs-date", jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        ("x-acs-signature-nonce", random_hex()),
        ("x-acs-version", call.service.version().to_owned()),
    ];
    if let Some(token) = &credentials.token {
        headers.push(("x-acs-accesskey-id", credentials.key_id.expose().to_owned()));
        headers.push(("x-acs-security-token", token.expose().to_owned()));
    }
    headers
}

/// By which the cloud knows a call again: up to 64 characters, and no two alike.
pub fn client_token() -> String {
    random_hex()
}

/// 128 bits; the standard library's hash keys are random enough for what must only differ.
fn random_hex() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_names() {
        for region in ["", "cn hangzhou", "cn-hangzhou.evil.example/", "CN"] {
            let options = ApiOptions { region: region.into(), ..ApiOptions::default() };
            assert!(Api::open(&options, &Environment::default()).is_err(), "{region}");
        }
    }

    #[test]
    fn nonces_differ() {
        let nonces: std::collections::HashSet<_> = (0..1000).map(|_| random_hex()).collect();
        assert_eq!(nonces.len(), 1000);
        assert!(nonces.iter().all(|nonce| nonce.len() == 32));
    }
}
