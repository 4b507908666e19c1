//! A request as it is meant, before it has a URL and a signature.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};

use super::Payload;
use crate::endpoint::{Endpoint, encode};
use crate::error::{Error, Result};

/// What to ask of one bucket.
#[derive(Clone)]
pub(crate) struct Request {
    /// What the store calls it.
    pub operation: &'static str,
    pub method: Method,
    /// Empty for the bucket itself.
    pub key: String,
    pub query: Vec<(&'static str, String)>,
    pub headers: HeaderMap,
    pub payload: Payload,
    /// Whether the answer may take long after all was sent.
    pub is_slow: bool,
}

impl Request {
    pub fn new(operation: &'static str, method: Method, key: &str) -> Self {
        let (query, headers, payload) = (Vec::new(), HeaderMap::new(), Payload::none());
        Self { operation, method, key: key.to_owned(), query, headers, payload, is_slow: false }
    }

    pub fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// Both must be fit for a header, which everything of ours is.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }

    pub fn payload(mut self, payload: Payload) -> Self {
        self.payload = payload;
        self
    }

    /// As `http` has it, without a body.
    pub fn parts(&self, endpoint: &Endpoint, bucket: &str) -> Result<http::request::Parts> {
        let url = self.url(endpoint, bucket);
        let uri: Uri = url.parse().map_err(|_| Error::Usage("no URL can be made of it".into()))?;
        let mut parts = http::Request::new(()).into_parts().0;
        (parts.method, parts.uri) = (self.method.clone(), uri);
        parts.headers = self.headers.clone();
        Ok(parts)
    }

    fn url(&self, endpoint: &Endpoint, bucket: &str) -> String {
        let mut url = endpoint.url(bucket, &self.key);
        let pairs = self.query.iter().map(|(name, value)| match value.as_str() {
            "" => (*name).to_owned(),
            value => format!("{name}={}", encode(value)),
        });
        let query = pairs.collect::<Vec<_>>().join("&");
        if !query.is_empty() {
            url = format!("{url}?{query}");
        }
        url
    }
}
