//! What the credentials may do in a bucket, found out by doing it to a small object.
//!
//! ```text
//! put -> head -> get -> presign: what a snapshot needs
//!     -> parts -> list -> delete: what is of use besides
//! ```

mod run;

use std::time::Duration;

use serde::Serialize;

use crate::SharedProgress;
use crate::dialect::Kind;
use crate::error::{Error, Result};
use crate::location::ObjectLocation;
use crate::presign::check_lifetime;
use crate::store::Store;

use run::Run;

/// What follows the prefix in the probe's key.
const PROBE_NAME: &str = "etcdprefix-probe";
/// How often an interruption is looked for.
const TICK: Duration = Duration::from_millis(50);

/// How to check.
#[derive(Clone, Copy, Debug, Default)]
pub struct CheckOptions {
    /// How long the presigned URL would live; `None` for the store's usual.
    pub lifetime: Option<Duration>,
    /// Whether the URL may end earlier, with its credentials.
    pub shorter_ok: bool,
}

/// What the credentials may do.
#[derive(Debug, Serialize)]
pub struct Checked {
    /// The object that it was tried on.
    pub probe: ObjectLocation,
    /// Whether it is still there.
    pub probe_left: bool,
    /// What was tried, in order; every step is there.
    pub steps: Vec<Step>,
    /// What else is to be known.
    pub warnings: Vec<String>,
    /// What the first needed step failed of.
    #[serde(skip)]
    pub failure: Option<Error>,
}

/// One thing that was tried.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// `put`, `head`, `get`, `presign`, `parts`, `list` or `delete`.
    pub name: &'static str,
    /// The permission that it takes, such as `oss:PutObject`.
    pub permission: &'static str,
    /// Whether uploading and presigning a snapshot takes it.
    pub needed: bool,
    /// What came of it.
    pub outcome: StepOutcome,
    /// Why not, if it was not allowed.
    pub why: Option<String>,
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepOutcome {
    /// It went well.
    Allowed,
    /// The permission is missing.
    Denied,
    /// It went wrong otherwise.
    Failed,
    /// An earlier step left nothing to try it on.
    NotTried,
}

impl Checked {
    /// Permissions that were denied: needed ones first, each once.
    pub fn missing(&self) -> Vec<&'static str> {
        let denied = self.steps.iter().filter(|step| step.outcome == StepOutcome::Denied);
        let (needed, other): (Vec<&Step>, Vec<&Step>) = denied.partition(|step| step.needed);
        let mut missing = Vec::new();
        for step in needed.into_iter().chain(other) {
            if !missing.contains(&step.permission) {
                missing.push(step.permission);
            }
        }
        missing
    }
}

/// Tries what uploading and presigning take, on an object `<prefix>etcdprefix-probe` of a few bytes,
/// and removes it again if that is allowed. An object of somebody else's under that key is left as it
/// is.
///
/// # Errors
/// [`Error::Usage`] for a prefix or a lifetime that can't be, [`Error::NoCredentials`],
/// [`Error::Interrupted`], after which the probe may still be there. All else is told by the steps.
pub async fn check(
    store: &Store,
    prefix: &str,
    options: &CheckOptions,
    progress: SharedProgress,
) -> Result<Checked> {
    let probe = store.location("").with_key(&format!("{prefix}{PROBE_NAME}"))?;
    check_lifetime(options.lifetime.unwrap_or(store.kind.presign_lifetime()))?;
    let mut run = Run::new(store, prefix, &probe.key, options);
    let all = async {
        store.credentials().await?;
        run.all().await
    };
    if let Err(error) = crate::unless_interrupted(progress.as_ref(), TICK, all).await {
        run.clean_up().await;
        return Err(error);
    }
    let Run { steps, warnings, failure, probe_left, .. } = run;
    Ok(Checked { probe, probe_left, steps, warnings, failure })
}

/// What there is to try.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trial {
    Put,
    Head,
    Get,
    Presign,
    Parts,
    List,
    Delete,
}

impl Trial {
    fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Head => "head",
            Self::Get => "get",
            Self::Presign => "presign",
            Self::Parts => "parts",
            Self::List => "list",
            Self::Delete => "delete",
        }
    }

    fn is_needed(self) -> bool {
        matches!(self, Self::Put | Self::Head | Self::Get | Self::Presign)
    }

    fn permission(self, kind: Kind) -> &'static str {
        match (self, kind) {
            (Self::Put, Kind::Oss) => "oss:PutObject",
            (Self::Put, Kind::S3) => "s3:PutObject",
            (Self::Head | Self::Get | Self::Presign, Kind::Oss) => "oss:GetObject",
            (Self::Head | Self::Get | Self::Presign, Kind::S3) => "s3:GetObject",
            (Self::Parts, Kind::Oss) => "oss:AbortMultipartUpload",
            (Self::Parts, Kind::S3) => "s3:AbortMultipartUpload",
            (Self::List, Kind::Oss) => "oss:ListObjects",
            (Self::List, Kind::S3) => "s3:ListBucket",
            (Self::Delete, Kind::Oss) => "oss:DeleteObject",
            (Self::Delete, Kind::S3) => "s3:DeleteObject",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(trial: Trial, outcome: StepOutcome) -> Step {
        Step {
            name: trial.name(),
            permission: trial.permission(Kind::Oss),
            needed: trial.is_needed(),
            outcome,
            why: None,
        }
    }

    #[test]
    fn what_is_missing_is_told_once_and_the_needed_first() {
        use StepOutcome::{Allowed, Denied, Failed, NotTried};
        let steps = vec![
            step(Trial::Parts, Denied),
            step(Trial::Put, Allowed),
            step(Trial::Head, Denied),
            step(Trial::Get, Denied),
            step(Trial::List, Failed),
            step(Trial::Delete, NotTried),
        ];
        let probe = ObjectLocation { kind: Kind::Oss, bucket: "b".into(), key: "k".into() };
        let (warnings, failure) = (Vec::new(), None);
        let checked = Checked { probe, probe_left: false, steps, warnings, failure };
        assert_eq!(checked.missing(), ["oss:GetObject", "oss:AbortMultipartUpload"]);
        let text = serde_json::to_string(&checked).unwrap();
        assert!(text.contains(r#""outcome":"not_tried""#) && !text.contains("failure"), "{text}");
    }
}
