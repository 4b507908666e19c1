//! Credentials and HTTP for the vendor's other APIs, found and made as for OSS.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::client::{Clients, collect, explain};
use crate::credentials::{CredentialOptions, Credentials, Environment, Keychain, Lack};
use crate::dialect::Kind;
use crate::error::Result;

/// Who asks Alibaba Cloud, and over what. Clones share the credentials at hand.
#[derive(Clone)]
pub struct Account {
    clients: Clients,
    keychain: Arc<Keychain>,
}

impl Account {
    /// Nothing is sent yet, and no credentials are looked for.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File) and [`Error::Usage`](crate::Error::Usage) for `ca_file`, whose authorities
    /// are trusted besides the system's.
    pub fn open(
        options: &CredentialOptions,
        ca_file: Option<&Path>,
        environment: &Environment,
    ) -> Result<Self> {
        let clients = Clients::new(ca_file)?;
        let keychain = Arc::new(Keychain::new(Kind::Oss, options, environment, &clients));
        Ok(Self { clients, keychain })
    }

    /// For one request.
    ///
    /// # Errors
    /// [`Lack`] if no source has any.
    pub async fn credentials(&self) -> Result<Credentials, Lack> {
        self.keychain.get().await
    }

    /// Fresh ones after `stale` were refused; `None` if their source has none but these.
    ///
    /// # Errors
    /// [`Lack`] if no source has any now.
    pub async fn after(&self, stale: &Credentials) -> Result<Option<Credentials>, Lack> {
        self.keychain.after(stale).await
    }

    /// Without redirects, through the environment's proxy.
    pub fn http(&self) -> &reqwest::Client {
        &self.clients.proxied
    }

    /// Why there is no answer, without the request's URL.
    pub fn explain(error: &reqwest::Error) -> String {
        explain(error)
    }

    /// A body of at most so many bytes.
    ///
    /// # Errors
    /// In words, if it is longer or the connection breaks.
    pub async fn collect(answer: reqwest::Response, limit: usize) -> Result<Bytes, String> {
        collect(answer, limit).await
    }
}
