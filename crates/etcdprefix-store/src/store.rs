//! One bucket: where it is, who asks, and how requests are sent to it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, StatusCode};
use reqsign_aliyun_oss as oss;
use reqsign_aws_v4 as aws;
use reqwest::Response;
use tokio::time::sleep;

use crate::client::{
    Answer, Clients, Denial, MAX_BODY_BYTES, MAX_ERROR_BYTES, Request, Retry, Signer, Trouble,
    collect, explain,
};
use crate::credentials::{CredentialOptions, Credentials, Environment, Keychain};
use crate::dialect::Kind;
use crate::endpoint::{Addressing, Endpoint};
use crate::error::{Cause, Error, Refusal, Result};
use crate::location::ObjectLocation;
use crate::region;
use crate::xml;

/// A store that takes longer than this to put parts together has other troubles.
const SLOW_FACTOR: u32 = 10;
/// Hosts that were never reached are tried less often: the name may be wrong.
const UNREACHED_TIMES: u32 = 2;

/// How requests are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signature {
    /// Version 4; needs the region.
    #[default]
    V4,
    /// OSS's version 1, which it refuses for new accounts and buckets.
    V1,
}

/// How to reach a bucket.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Host or URL; `None` for what the environment says (`OSS_ENDPOINT`; `AWS_ENDPOINT_URL_S3`,
    /// `AWS_ENDPOINT_URL`), or the region's own.
    pub endpoint: Option<String>,
    /// The host of presigned URLs, where whoever fetches them reaches the store by another name.
    pub presign_endpoint: Option<String>,
    /// `None` for what the endpoint's name tells, or the environment (`OSS_REGION`; `AWS_REGION`,
    /// `AWS_DEFAULT_REGION`, then the profile in `~/.aws/config` or `AWS_CONFIG_FILE`). S3 stores
    /// other than AWS's are taken to be in `us-east-1`.
    pub region: Option<String>,
    /// OSS: the region's endpoint inside Alibaba Cloud's network, if `endpoint` names none; whatever
    /// the environment names.
    pub internal: bool,
    /// Where in URLs the bucket stands; `None` for what is usual at the endpoint.
    pub addressing: Option<Addressing>,
    /// PEM of authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// How requests are signed.
    pub signature: Signature,
    /// Where to look for credentials.
    pub credentials: CredentialOptions,
    /// How often a request is repeated.
    pub retry: Retry,
    /// The longest time in which nothing is sent or received; ten times that for the answer to an
    /// object or part of which all was sent.
    pub idle_timeout: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            endpoint: None,
            presign_endpoint: None,
            region: None,
            internal: false,
            addressing: None,
            ca_file: None,
            signature: Signature::V4,
            credentials: CredentialOptions::default(),
            retry: Retry::default(),
            idle_timeout: Duration::from_secs(30),
        }
    }
}

/// A bucket to talk to.
pub struct Store {
    pub(crate) kind: Kind,
    pub(crate) bucket: String,
    pub(crate) endpoint: Endpoint,
    pub(crate) presign_endpoint: Endpoint,
    pub(crate) signer: Signer,
    pub(crate) clients: Clients,
    pub(crate) keychain: Keychain,
    pub(crate) idle_timeout: Duration,
    retry: Retry,
    /// Whether anything ever answered.
    was_reached: AtomicBool,
}

impl Store {
    /// The bucket of a location. Nothing is sent yet, and no credentials are looked for.
    ///
    /// # Errors
    /// [`Error::Usage`] if no endpoint or region can be told; [`Error::File`] for `ca_file`.
    pub fn open(
        location: &ObjectLocation,
        options: &StoreOptions,
        environment: &Environment,
    ) -> Result<Self> {
        let (kind, bucket) = (location.kind, location.bucket.clone());
        if options.idle_timeout.is_zero() {
            return Err(Error::Usage("without any time to wait, nothing can be sent".into()));
        }
        let placed = |endpoint: Endpoint| match options.addressing {
            Some(_) => endpoint,
            None => endpoint.for_bucket(&bucket),
        };
        let endpoint = placed(endpoint(kind, options, environment)?);
        let presign_endpoint = match &options.presign_endpoint {
            Some(text) => placed(Endpoint::parse(kind, text, options.addressing)?),
            None => endpoint.clone(),
        };
        let clients = Clients::new(options.ca_file.as_deref())?;
        Ok(Self {
            kind,
            signer: signer(
                kind,
                &bucket,
                options,
                region::of(kind, options, environment, &endpoint),
            )?,
            keychain: Keychain::new(kind, &options.credentials, environment, &clients),
            idle_timeout: options.idle_timeout,
            retry: options.retry,
            was_reached: AtomicBool::new(false),
            bucket,
            endpoint,
            presign_endpoint,
            clients,
        })
    }

    /// The protocol.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// A key of the bucket, to be named.
    pub fn location(&self, key: &str) -> ObjectLocation {
        ObjectLocation { kind: self.kind, bucket: self.bucket.clone(), key: key.to_owned() }
    }

    /// Where requests go.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The credentials that the next request will be signed with.
    ///
    /// # Errors
    /// [`Error::NoCredentials`].
    pub async fn credentials(&self) -> Result<Credentials> {
        Ok(self.keychain.get().await?)
    }

    pub(crate) async fn send(&self, request: &Request) -> Result<Answer> {
        self.send_counting(request).await.answer
    }

    /// The whole answer, and how often it was asked for. An error after several tries may be due to
    /// an earlier one that went through unseen.
    pub(crate) async fn send_counting(&self, request: &Request) -> Sending {
        let mut tries = Tries::default();
        loop {
            let tried = self.try_whole(request, &mut tries).await;
            match self.judge(tried, &mut tries).await {
                Some(answer) => {
                    return Sending { tries: tries.made, is_unseen: tries.is_unseen, answer };
                }
                None => continue,
            }
        }
    }

    /// The beginning of an answer whose body is still to come.
    pub(crate) async fn open_stream(&self, request: &Request) -> Result<Response> {
        let mut tries = Tries::default();
        loop {
            let tried = self.try_once(request, &mut tries).await;
            if let Some(result) = self.judge(tried, &mut tries).await {
                return result;
            }
        }
    }

    /// What is final; `None` after a pause if it is worth another try.
    async fn judge<T>(&self, tried: Result<T, Trouble>, tries: &mut Tries) -> Option<Result<T>> {
        let trouble = match tried {
            Ok(answer) => return Some(Ok(answer)),
            Err(trouble) => trouble,
        };
        tries.is_unseen |= trouble.is_unseen();
        let (failed, limit) = match &trouble {
            Trouble::Passing(_) => (&mut tries.passing, self.retry.times),
            Trouble::Unreached(_) => (&mut tries.unreached, self.unreached_times()),
            Trouble::Final(_) => return self.with_fresh_credentials(trouble.error(), tries).await,
        };
        *failed += 1;
        if *failed > limit {
            return Some(Err(trouble.error()));
        }
        sleep(self.retry.pause(*failed)).await;
        None
    }

    fn unreached_times(&self) -> u32 {
        match self.was_reached.load(Ordering::Relaxed) {
            true => self.retry.times,
            false => self.retry.times.min(UNREACHED_TIMES),
        }
    }

    /// Once only: credentials that were replaced meanwhile, or ended early.
    async fn with_fresh_credentials<T>(
        &self,
        error: Error,
        tries: &mut Tries,
    ) -> Option<Result<T>> {
        let stale = tries.credentials.take();
        let Some(stale) = stale.filter(|_| !tries.renewed && is_about_credentials(&error)) else {
            return Some(Err(error));
        };
        tries.renewed = true;
        match self.keychain.after(&stale).await {
            Ok(Some(_)) => None,
            Ok(None) | Err(_) => Some(Err(error)),
        }
    }

    async fn try_whole(&self, request: &Request, tries: &mut Tries) -> Result<Answer, Trouble> {
        let response = self.try_once(request, tries).await?;
        let headers = response.headers().clone();
        let body = self.collect(response).await.map_err(Trouble::Passing)?;
        let answer = Answer { headers, body };
        match self.late_refusal(request, &answer) {
            Some(refusal) => Err(self.trouble(refusal, tries)),
            None => Ok(answer),
        }
    }

    async fn try_once(&self, request: &Request, tries: &mut Tries) -> Result<Response, Trouble> {
        tries.made += 1;
        let credentials = self.keychain.get().await.map_err(|lack| match lack.is_passing {
            true => Trouble::Passing(lack.into()),
            false => Trouble::Final(lack.into()),
        })?;
        tries.credentials = Some(credentials.clone());
        let call = self.call(request, &credentials).await.map_err(Trouble::Final)?;
        let sent = self.clients.proxied.execute(call);
        let response = self.watched(request, sent).await?;
        self.was_reached.store(true, Ordering::Relaxed);
        if response.status().is_success() {
            return Ok(response);
        }
        let refusal = self.refusal(request, response).await;
        Err(self.trouble(refusal, tries))
    }

    fn trouble(&self, mut refusal: Refusal, tries: &Tries) -> Trouble {
        if let Some(credentials) = &tries.credentials {
            refusal.message = credentials.strike(&refusal.message);
        }
        match refusal.is_passing() {
            true => Trouble::Passing(refusal.into()),
            false => Trouble::Final(refusal.into()),
        }
    }

    async fn call(&self, request: &Request, credentials: &Credentials) -> Result<reqwest::Request> {
        let mut parts = request.parts(&self.endpoint, &self.bucket)?;
        self.signer.sign(&mut parts, credentials, None).await?;
        // After the signature, which need not cover it; else a streamed body would have no length.
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(request.payload.len()));
        let call = http::Request::from_parts(parts, request.payload.body());
        reqwest::Request::try_from(call).map_err(|_| Error::Usage("no request can be made".into()))
    }

    /// Waits for the answer's head as long as something is sent. Once all was, the store has much to
    /// do, and buffers on the way hold some of it yet.
    async fn watched(
        &self,
        request: &Request,
        sent: impl Future<Output = reqwest::Result<Response>>,
    ) -> Result<Response, Trouble> {
        tokio::pin!(sent);
        let (length, begin) = (request.payload.len(), request.payload.sent());
        let mut before = begin;
        loop {
            let is_all_sent = length > 0 && before - begin >= length;
            let patience = match request.is_slow || is_all_sent {
                true => self.idle_timeout * SLOW_FACTOR,
                false => self.idle_timeout,
            };
            match tokio::time::timeout(patience, &mut sent).await {
                Ok(answer) => return answer.map_err(|error| self.unreached(&error)),
                Err(_) if request.payload.sent() == before => {
                    let why = format!("nothing was sent or received for {patience:?}");
                    return Err(Trouble::Passing(self.unreachable(why)));
                }
                Err(_) => before = request.payload.sent(),
            }
        }
    }

    fn unreached(&self, error: &reqwest::Error) -> Trouble {
        let unreachable = self.unreachable(explain(error));
        match error.is_connect() {
            true => Trouble::Unreached(unreachable),
            false => Trouble::Passing(unreachable),
        }
    }

    pub(crate) fn unreachable(&self, why: String) -> Error {
        Error::Unreachable { host: self.endpoint.to_string(), why }
    }

    async fn collect(&self, response: Response) -> Result<bytes::Bytes> {
        let collected = collect(response, MAX_BODY_BYTES);
        match tokio::time::timeout(self.idle_timeout * SLOW_FACTOR, collected).await {
            Ok(body) => body.map_err(|why| self.unreachable(why)),
            Err(_) => Err(self.unreachable("the answer did not end".into())),
        }
    }

    async fn refusal(&self, request: &Request, response: Response) -> Refusal {
        let (status, headers) = (response.status(), response.headers().clone());
        let body = collect(response, MAX_ERROR_BYTES);
        // Without its body, the status still tells something.
        let body = tokio::time::timeout(self.idle_timeout, body).await;
        let body = body.ok().and_then(Result::ok).unwrap_or_default();
        self.denial(request, status, &headers, &body)
    }

    /// S3 begins to answer while it puts parts together, and may say no after a status of 200.
    fn late_refusal(&self, request: &Request, answer: &Answer) -> Option<Refusal> {
        let may = request.is_slow && xml::root(&answer.text()).as_deref() == Some("Error");
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        may.then(|| self.denial(request, status, &answer.headers, &answer.body))
    }

    fn denial(
        &self,
        request: &Request,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Refusal {
        let place = self.location(&request.key).to_string();
        let (kind, operation) = (self.kind, request.operation);
        Denial { kind, operation, place, status, headers, body }.refusal()
    }
}

/// What came of a request and its repetitions.
pub(crate) struct Sending {
    pub tries: u32,
    /// Whether one of them may have gone through without the store's saying so.
    pub is_unseen: bool,
    pub answer: Result<Answer>,
}

/// Of one request.
#[derive(Default)]
struct Tries {
    made: u32,
    /// Those that failed, by the kind of trouble.
    passing: u32,
    unreached: u32,
    is_unseen: bool,
    renewed: bool,
    /// Of the last try.
    credentials: Option<Credentials>,
}

fn is_about_credentials(error: &Error) -> bool {
    // A HEAD has no body that could tell a token that ended from a right that is missing.
    let bare = |refusal: &Refusal| refusal.code.is_empty() && refusal.cause == Cause::Denied;
    error.refusal().is_some_and(|refusal| refusal.is_about_credentials() || bare(refusal))
}

fn endpoint(kind: Kind, options: &StoreOptions, environment: &Environment) -> Result<Endpoint> {
    let names: &[&str] = match kind {
        Kind::Oss => &["OSS_ENDPOINT"],
        Kind::S3 => &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"],
    };
    let parse = |text: &str| Endpoint::parse(kind, text, options.addressing);
    let usual = environment.first(names);
    if let Some(text) = options.endpoint.as_deref().or(usual.filter(|_| !options.internal)) {
        return parse(text);
    }
    let of_usual = || usual.and_then(|text| parse(text).ok()?.region().map(str::to_owned));
    match region::told(kind, options, environment).or_else(of_usual) {
        Some(region) => Endpoint::of_region(kind, &region, options.internal, options.addressing),
        None => Err(Error::Usage(format!(
            "neither endpoint nor region of the bucket is known ({})",
            kind.endpoint_variables()
        ))),
    }
}

fn signer(
    kind: Kind,
    bucket: &str,
    options: &StoreOptions,
    region: Option<String>,
) -> Result<Signer> {
    let missing = || Error::Usage("the endpoint does not tell the region: give it".into());
    match (kind, options.signature) {
        (Kind::Oss, Signature::V1) => Ok(Signer::Oss(oss::RequestSigner::new(bucket))),
        (Kind::Oss, Signature::V4) => {
            let signer = oss::RequestSigner::new(bucket).with_region(region.ok_or_else(missing)?);
            Ok(Signer::Oss(signer.with_signing_version(oss::SigningVersion::V4)))
        }
        (Kind::S3, Signature::V4) => {
            let signer = aws::RequestSigner::new("s3", &region.ok_or_else(missing)?);
            Ok(Signer::S3(signer.with_standard_session_token()))
        }
        (Kind::S3, Signature::V1) => Err(Error::Usage("version 1 is a signature of OSS".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(options: &StoreOptions) -> Result<Store> {
        let (bucket, key) = ("bucket".to_owned(), String::new());
        let location = ObjectLocation { kind: Kind::S3, bucket, key };
        let region = Some("eu-west-1".to_owned());
        let options = StoreOptions { region, ..options.clone() };
        Store::open(&location, &options, &Environment::default())
    }

    #[test]
    fn a_store_that_was_reached_once_is_tried_as_often_as_any() {
        let store = open(&StoreOptions::default()).unwrap();
        assert_eq!(store.unreached_times(), UNREACHED_TIMES);
        store.was_reached.store(true, Ordering::Relaxed);
        assert_eq!(store.unreached_times(), Retry::default().times);
    }

    fn url(bucket: &str, options: &StoreOptions, variables: &[(&str, &str)]) -> String {
        let variables = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        let environment = Environment { variables: variables.collect(), home: None };
        let (bucket, key) = (bucket.to_owned(), String::new());
        let kind = if options.internal { Kind::Oss } else { Kind::S3 };
        let location = ObjectLocation { kind, bucket, key };
        let store = Store::open(&location, options, &environment).unwrap();
        store.endpoint.url(&store.bucket, "k")
    }

    #[test]
    fn what_was_asked_for_goes_before_what_is_usual() {
        let region = |region: &str| Some(region.to_owned());
        let dotted = StoreOptions { region: region("eu-west-1"), ..StoreOptions::default() };
        let path = "https://s3.eu-west-1.amazonaws.com/my.bucket/k";
        assert_eq!(url("my.bucket", &dotted, &[]), path);
        let named = StoreOptions { addressing: Some(Addressing::VirtualHost), ..dotted };
        let host = "https://my.bucket.s3.eu-west-1.amazonaws.com/k";
        assert_eq!(url("my.bucket", &named, &[]), host);

        let public = ("OSS_ENDPOINT", "oss-cn-beijing.aliyuncs.com");
        let inside = |region| StoreOptions { region, internal: true, ..StoreOptions::default() };
        for (asked, expected) in [
            (None, "cn-beijing"),
            (region("cn-hangzhou"), "cn-hangzhou"),
            (region("oss-cn-hangzhou"), "cn-hangzhou"),
        ] {
            let expected = format!("https://bucket.oss-{expected}-internal.aliyuncs.com/k");
            assert_eq!(url("bucket", &inside(asked), &[public]), expected);
        }
    }

    #[test]
    fn no_time_at_all_is_refused() {
        let options = StoreOptions { idle_timeout: Duration::ZERO, ..StoreOptions::default() };
        assert!(matches!(open(&options), Err(Error::Usage(_))));
    }
}
