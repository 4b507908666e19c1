//! What the signing libraries may use to find credentials: files, HTTP, the environment.
//!
//! Their errors repeat what servers answered, which may hold tokens. So what goes wrong is noted
//! here in words of our own, and of their errors only the kind is shown.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use reqsign_core::{Context, Error, FileRead, HttpSend, Result, StaticEnv};

use super::Environment;
use crate::client::{Clients, collect, explain};

/// No file or answer with credentials is longer.
const MAX_BYTES: usize = 1 << 20;
/// For one answer. The instance's metadata is near; where there is none, nobody answers.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What went wrong, free of secrets.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    pub fn clear(&self) {
        self.lines().clear();
    }

    fn push(&self, line: String) {
        self.lines().push(line);
    }

    /// In words: what was noted, or the kind of the error.
    pub fn explain(&self, error: Error) -> String {
        let lines = self.lines();
        if lines.is_empty() { error.kind().to_string() } else { lines.join(", ") }
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn context(environment: &Environment, clients: &Clients, notes: &Notes) -> Context {
    let envs = environment.variables.clone();
    Context::new()
        .with_env(StaticEnv { home_dir: environment.home.clone(), envs })
        .with_file_read(Files { notes: notes.clone() })
        .with_http_send(Http { clients: clients.clone(), notes: notes.clone() })
}

#[derive(Debug)]
struct Files {
    notes: Notes,
}

impl FileRead for Files {
    async fn file_read(&self, path: &str) -> Result<Vec<u8>> {
        let read = tokio::fs::metadata(path).await;
        let read = match read {
            Ok(found) if found.len() > MAX_BYTES as u64 => {
                Err(std::io::ErrorKind::FileTooLarge.into())
            }
            Ok(_) => tokio::fs::read(path).await,
            Err(error) => Err(error),
        };
        read.map_err(|error| {
            self.notes.push(format!("cannot read {path}: {error}"));
            Error::from(error)
        })
    }
}

struct Http {
    clients: Clients,
    notes: Notes,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Http")
    }
}

impl HttpSend for Http {
    async fn http_send(&self, request: Request<Bytes>) -> Result<Response<Bytes>> {
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let sent = tokio::time::timeout(TIMEOUT, self.send(request)).await;
        let sent = sent.unwrap_or_else(|_| Err(format!("no answer within {TIMEOUT:?}")));
        match sent {
            Ok(answer) => {
                if !answer.status().is_success() {
                    self.notes.push(format!("{host} answered {}", answer.status().as_u16()));
                }
                Ok(answer)
            }
            Err(why) => {
                self.notes.push(format!("{host}: {why}"));
                Err(Error::unexpected("no answer"))
            }
        }
    }
}

impl Http {
    async fn send(&self, request: Request<Bytes>) -> std::result::Result<Response<Bytes>, String> {
        // Metadata is plain HTTP to the machine itself, which no proxy can reach.
        let near = request.uri().scheme_str() == Some("http");
        let client = if near { &self.clients.direct } else { &self.clients.proxied };
        let request = reqwest::Request::try_from(request).map_err(|_| "no request".to_owned())?;
        let answer = client.execute(request).await.map_err(|error| explain(&error))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = collect(answer, MAX_BYTES).await?;
        let mut response = Response::new(body);
        (*response.status_mut(), *response.headers_mut()) = (status, headers);
        Ok(response)
    }
}
