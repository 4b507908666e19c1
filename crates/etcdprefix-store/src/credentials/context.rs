//! What the signing libraries may use to find credentials: files, HTTP, the environment.
//!
//! Their errors repeat what servers answered, which may hold tokens. So what goes wrong is noted
//! here in words of our own, and of their errors only the kind is shown.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use reqsign_core::{Context, Error, FileRead, HttpSend, Result, StaticEnv};

use super::Environment;
use crate::client::{Clients, collect, explain};

/// No file or answer with credentials is longer.
const MAX_BYTES: usize = 1 << 20;
/// For one answer. The instance's metadata is near; where there is none, nobody answers.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Variables that the libraries put before the profile that they are told.
const PROFILE_VARIABLES: [&str; 3] = ["OSS_PROFILE", "ALIBABA_CLOUD_PROFILE", "AWS_PROFILE"];

/// What went wrong, free of secrets.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes(Arc<Mutex<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    lines: Vec<String>,
    /// Each with its line.
    unread: Vec<(String, String)>,
    is_silent: bool,
    is_overloaded: bool,
}

impl Notes {
    pub fn clear(&self) {
        *self.noted() = Noted::default();
    }

    fn push(&self, line: String) {
        self.noted().lines.push(line);
    }

    /// In words: what was noted, or the kind of the error.
    pub fn explain(&self, error: Error) -> String {
        let lines = &self.noted().lines;
        if lines.is_empty() { error.kind().to_string() } else { lines.join(", ") }
    }

    /// Why a file could not be read, if it was tried.
    pub fn unread(&self, path: &str) -> Option<String> {
        let noted = self.noted();
        let mut unread = noted.unread.iter().filter(|(unread, _)| unread == path);
        unread.next().map(|(_, line)| line.clone())
    }

    /// Whether it may go well later. Where nobody answers, that is only so if somebody should.
    pub fn is_passing(&self, is_expected: bool) -> bool {
        let noted = self.noted();
        noted.is_overloaded || (noted.is_silent && is_expected)
    }

    fn noted(&self) -> std::sync::MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Variables that are empty are not set; with a profile of its own it does not know those that name
/// another.
pub(super) fn context(
    environment: &Environment,
    has_profile: bool,
    clients: &Clients,
    notes: &Notes,
) -> Context {
    let mut envs = environment.variables.clone();
    envs.retain(|_, value| !value.is_empty());
    if has_profile {
        PROFILE_VARIABLES.iter().for_each(|name| drop(envs.remove(*name)));
    }
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
            let line = format!("cannot read {path}: {error}");
            self.notes.noted().unread.push((path.to_owned(), line.clone()));
            self.notes.push(line);
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
                let status = answer.status();
                if !status.is_success() {
                    self.notes.push(format!("{host} answered {}", status.as_u16()));
                }
                if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
                    self.notes.noted().is_overloaded = true;
                }
                Ok(answer)
            }
            Err(why) => {
                self.notes.push(format!("{host}: {why}"));
                self.notes.noted().is_silent = true;
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
