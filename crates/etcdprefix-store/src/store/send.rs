//! How a request is sent: signed, watched, and as often as it takes.

use std::sync::atomic::Ordering;

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, StatusCode};
use reqwest::Response;
use tokio::time::sleep;

use super::Store;
use crate::client::{
    Answer, Denial, MAX_BODY_BYTES, MAX_ERROR_BYTES, Request, Trouble, collect, explain,
};
use crate::credentials::Credentials;
use crate::error::{Error, Refusal, Result};
use crate::xml;

/// A store that takes longer than this to put parts together has other troubles.
const SLOW_FACTOR: u32 = 10;
/// Hosts that were never reached are tried less often: the name may be wrong.
pub(super) const UNREACHED_TIMES: u32 = 2;

impl Store {
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

    pub(super) fn unreached_times(&self) -> u32 {
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
    error.refusal().is_some_and(Refusal::is_about_credentials)
}
