//! The steps of a check, one after the other.

use std::time::Duration;

use bytes::Bytes;
use http::Method;

use super::{CheckOptions, Step, StepOutcome, Trial};
use crate::checksum::{Digest, Hasher};
use crate::client::{Payload, Request};
use crate::error::{Cause, Error, Result};
use crate::list::list;
use crate::metadata::Metadata;
use crate::multipart::Multipart;
use crate::object::{Writing, delete, is_there, put};
use crate::presence::{Presence, find};
use crate::presign::{PresignOptions, presign};
use crate::probe::Reach;
use crate::store::Store;
use crate::upload::{Expected, prove};

/// The probe's bytes, which tell whoever finds it what it is.
const CONTENT: &[u8] = b"etcdprefix tried here what its credentials may do. This can be removed.\n";

/// Somebody waits for the end.
const CLEAN_UP_LIMIT: Duration = Duration::from_secs(5);

pub(super) struct Run<'a> {
    store: &'a Store,
    prefix: &'a str,
    key: &'a str,
    options: &'a CheckOptions,
    digest: Digest,
    pub steps: Vec<Step>,
    pub warnings: Vec<String>,
    pub failure: Option<Error>,
    pub probe_left: bool,
    /// Why what was there before may not be read.
    unread: Option<Error>,
}

impl<'a> Run<'a> {
    pub fn new(store: &'a Store, prefix: &'a str, key: &'a str, options: &'a CheckOptions) -> Self {
        let mut hasher = Hasher::new(store.kind);
        hasher.update(CONTENT);
        let digest = hasher.finish(CONTENT.len() as u64);
        let (steps, warnings) = (Vec::new(), Vec::new());
        let (failure, unread) = (None, None);
        Self {
            store,
            prefix,
            key,
            options,
            digest,
            steps,
            warnings,
            failure,
            probe_left: false,
            unread,
        }
    }

    /// Errors are those that end the check.
    pub async fn all(&mut self) -> Result<()> {
        let placed = self.put().await;
        match self.done(Trial::Put, placed)? {
            StepOutcome::Allowed => self.with_probe().await,
            StepOutcome::Denied => self.without_probe().await,
            _ if matches!(self.failure, Some(Error::Exists(_))) => self.without_probe().await,
            // Where the store says no to everything, or nobody is there, no more is learnt.
            _ => {
                let rest = [Trial::Head, Trial::Get, Trial::Presign, Trial::Parts, Trial::List];
                rest.into_iter().chain([Trial::Delete]).for_each(|trial| self.skip(trial));
                Ok(())
            }
        }
    }

    /// After an interruption.
    pub async fn clean_up(&self) {
        if self.probe_left {
            tokio::time::timeout(CLEAN_UP_LIMIT, delete(self.store, self.key)).await.ok();
        }
    }

    async fn with_probe(&mut self) -> Result<()> {
        self.probe_left = true;
        let proved = self.head().await;
        self.done(Trial::Head, proved)?;
        let same = self.get().await;
        self.done(Trial::Get, same)?;
        let presigned = self.presign().await;
        self.done(Trial::Presign, presigned)?;
        self.parts().await?;
        let listed = list(self.store, self.prefix, 1).await.map(drop);
        self.done(Trial::List, listed)?;
        self.delete().await
    }

    async fn without_probe(&mut self) -> Result<()> {
        self.skip(Trial::Head);
        match self.unread.take() {
            Some(error) => self.done(Trial::Get, Err(error)).map(drop)?,
            None => self.skip(Trial::Get),
        }
        self.skip(Trial::Presign);
        self.skip(Trial::Parts);
        let listed = list(self.store, self.prefix, 1).await.map(drop);
        self.done(Trial::List, listed)?;
        self.skip(Trial::Delete);
        Ok(())
    }

    /// What is there already is replaced only if it is a probe.
    async fn put(&mut self) -> Result<()> {
        // Some stores and buckets ignore the condition of a write.
        if !matches!(find(self.store, self.key).await, Ok(Presence::There)) {
            match self.put_once(true).await {
                Err(error) if is_there(&error) => {}
                done => return done,
            }
        }
        match self.fetch().await {
            Ok(found) if found == CONTENT => return self.put_once(false).await,
            found => {
                self.unread = found.err().filter(|error| is_denied(error) || ends_check(error))
            }
        }
        Err(Error::Exists(self.store.location(self.key)))
    }

    async fn put_once(&self, if_absent: bool) -> Result<()> {
        let metadata = Metadata::default();
        let writing = Writing { key: self.key, metadata: &metadata, if_absent };
        let payload = Payload::Bytes(Bytes::from_static(CONTENT));
        put(self.store, &writing, payload, &self.digest).await.answer.map(drop)
    }

    async fn head(&self) -> Result<()> {
        let expected = Expected { whole: &self.digest, parts: &[], etag: None };
        // That the probe was written is told by the step before.
        prove(self.store, self.key, &expected).await.map(drop).map_err(|error| match error {
            Error::Unproved { why, .. } => *why,
            error => error,
        })
    }

    async fn get(&self) -> Result<()> {
        if self.fetch().await? == CONTENT {
            return Ok(());
        }
        let what = "other bytes came than were sent".to_owned();
        Err(Error::Differs { location: self.store.location(self.key), what })
    }

    /// One byte more than the probe has, however large the object is.
    async fn fetch(&self) -> Result<Bytes> {
        let range = format!("bytes=0-{}", CONTENT.len());
        let request = Request::new("GetObject", Method::GET, self.key).header("range", &range);
        self.store.send(&request).await.map(|answer| answer.body)
    }

    async fn presign(&mut self) -> Result<()> {
        let CheckOptions { lifetime, shorter_ok } = *self.options;
        let options = PresignOptions { lifetime, shorter_ok, probe: true };
        let signed = presign(self.store, self.key, &options).await?;
        if let Some(Reach::Unreachable(why)) = signed.reach {
            self.warnings.push(format!("a presigned URL could not be tried from here: {why}"));
        }
        if signed.is_shortened {
            let seconds = signed.lifetime.as_secs();
            self.warnings
                .push(format!("a presigned URL ends with the credentials, in {seconds} s"));
        }
        Ok(())
    }

    async fn parts(&mut self) -> Result<()> {
        let (store, metadata) = (self.store, Metadata::default());
        let writing = Writing { key: self.key, metadata: &metadata, if_absent: false };
        let multipart = match Multipart::begin(store, &writing).await {
            Ok(multipart) => multipart,
            // To begin one takes the permission to put.
            Err(error) => return self.note(Trial::Parts, Trial::Put, Err(error)).map(drop),
        };
        let aborted = multipart.abort().await.map(drop);
        if aborted.is_err() {
            let location = store.location(self.key);
            self.warnings.push(format!(
                "an upload that fails would leave its parts, which cost money: have a lifecycle \
                 rule that aborts incomplete multipart uploads. This check left upload {} of \
                 {location}, without parts",
                multipart.upload_id
            ));
        }
        self.done(Trial::Parts, aborted).map(drop)
    }

    async fn delete(&mut self) -> Result<()> {
        let deleted = delete(self.store, self.key).await;
        self.probe_left = deleted.is_err();
        if self.probe_left {
            let location = self.store.location(self.key);
            self.warnings.push(format!("the probe {location} is left, as it could not be removed"));
        }
        self.done(Trial::Delete, deleted).map(drop)
    }

    fn done(&mut self, trial: Trial, result: Result<()>) -> Result<StepOutcome> {
        self.note(trial, trial, result)
    }

    /// `asked` is the one whose permission it took.
    fn note(&mut self, trial: Trial, asked: Trial, result: Result<()>) -> Result<StepOutcome> {
        let outcome = match &result {
            Ok(()) => StepOutcome::Allowed,
            Err(error) if is_denied(error) => StepOutcome::Denied,
            Err(_) => StepOutcome::Failed,
        };
        let why = result.as_ref().err().map(ToString::to_string);
        self.push(trial, asked, outcome, why);
        match result {
            Err(error) if ends_check(&error) => return Err(error),
            Err(error) if trial.is_needed() && self.failure.is_none() => self.failure = Some(error),
            _ => {}
        }
        Ok(outcome)
    }

    fn skip(&mut self, trial: Trial) {
        self.push(trial, trial, StepOutcome::NotTried, Some("the probe was not put".into()));
    }

    fn push(&mut self, trial: Trial, asked: Trial, outcome: StepOutcome, why: Option<String>) {
        let permission = asked.permission(self.store.kind);
        let (name, needed) = (trial.name(), trial.is_needed());
        self.steps.push(Step { name, permission, needed, outcome, why });
    }
}

fn is_denied(error: &Error) -> bool {
    match error {
        Error::Unproved { why, .. } => is_denied(why),
        error => error.cause() == Some(&Cause::Denied),
    }
}

fn ends_check(error: &Error) -> bool {
    match error {
        Error::Unproved { why, .. } => ends_check(why),
        error => {
            matches!(error, Error::Usage(_) | Error::NoCredentials { .. } | Error::Interrupted)
        }
    }
}
