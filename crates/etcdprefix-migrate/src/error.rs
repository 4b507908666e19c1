//! Why a migration or one of its steps ends without its result.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The result of what the orchestrator does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the orchestrator ends. No message holds a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Wrong flags, configuration or order of commands.
    #[error("{0}")]
    Usage(String),
    /// A file of the orchestrator's own: configuration, journal, bundle.
    #[error("cannot {doing} {}: {source}", path.display())]
    File {
        /// What failed.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A host can't be reached, or its executor doesn't let us in.
    #[error("{host}: {why}")]
    Unreachable {
        /// Which.
        host: String,
        /// Why.
        why: String,
    },
    /// A step failed on a host.
    #[error("{host}: {error}")]
    Step {
        /// Which.
        host: String,
        /// Why.
        error: NodeError,
    },
    /// Checks speak against the migration.
    #[error("{} of the checks speak against it: {}", failed.len(), failed.join("; "))]
    NotReady {
        /// What each found.
        failed: Vec<String>,
    },
    /// There is no rehearsal, or it is too old or of another configuration.
    #[error("{0}")]
    NotRehearsed(String),
    /// Somebody wrote after the snapshot.
    #[error("{0}")]
    Written(String),
    /// Another orchestrator is at work.
    #[error("{0}")]
    Busy(String),
    /// The bundle is handed out: nothing may wake any more.
    #[error("{0}")]
    HandedOut(String),
    /// Hosts that could not be woken, or not as they were.
    #[error("not all hosts are awake as before: {0}")]
    NotAwake(String),
    /// It failed, and putting things back failed too.
    #[error("{why}; and then: {rollback}")]
    NotRolledBack {
        /// What failed first.
        why: Box<Error>,
        /// What is not as before.
        rollback: String,
    },
    /// It failed, and everything is as before.
    #[error("{0}; every host is awake again, as before")]
    RolledBack(Box<Error>),
    /// It failed, and the hosts are left as they are, as asked for.
    #[error("{0}; the hosts are left as they are")]
    LeftAsIs(Box<Error>),
    /// The Kubernetes API.
    #[error("{0}")]
    Kubernetes(String),
    /// The cloud's API: it can't be reached, refuses, or there are no credentials for it.
    #[error("{0}")]
    Cloud(String),
    /// An execution of another engine ended without its result.
    #[error("{0}")]
    Engine(String),
    /// A hosted cluster is not what it would have to be.
    #[error("{0}")]
    NotFit(String),
    /// It failed, and the hosted cluster is as before.
    #[error("{0}; the hosted cluster is as before")]
    PutBack(Box<Error>),
    /// The hosted cluster is not as before.
    #[error("{}the hosted cluster is not as before: {left}", behind(why.as_deref()))]
    NotPutBack {
        /// What failed first, if it was not the putting back alone.
        why: Option<Box<Error>>,
        /// What is not as before.
        left: String,
    },
    /// Asked to stop.
    #[error("interrupted")]
    Interrupted,
}

fn behind(why: Option<&Error>) -> String {
    why.map(|why| format!("{why}; and then: ")).unwrap_or_default()
}

impl Error {
    /// For `map_err` on I/O.
    pub fn file(doing: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::File { doing, path, source }
    }

    /// What it was at first, before anything was put back.
    pub fn first(&self) -> &Self {
        match self {
            Self::NotRolledBack { why, .. } | Self::RolledBack(why) | Self::LeftAsIs(why) => {
                why.first()
            }
            Self::PutBack(why) | Self::NotPutBack { why: Some(why), .. } => why.first(),
            error => error,
        }
    }
}

/// Why a step on a host failed; travels as JSON. No message holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct NodeError {
    /// What kind of failure.
    pub kind: NodeErrorKind,
    /// One line: what, where.
    pub message: String,
    /// What to try.
    pub hint: Option<String>,
}

/// Kinds of failures on a host, each with an exit code of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeErrorKind {
    /// Wrong request.
    Usage,
    /// Files of the host.
    Io,
    /// Another migration, or another step, holds the host.
    Locked,
    /// Another step is at work on the host, and does not end.
    Busy,
    /// The bundle was handed out: wake refuses.
    Fenced,
    /// The control plane is no set of static pods, or what is found is not as recorded.
    NotAsExpected,
    /// A file would be overwritten that differs.
    Differs,
    /// The components did not stop in time; they were put back.
    StillRunning,
    /// The step was ended at its time limit.
    OutOfTime,
    /// The host's timer has woken it.
    Awake,
    /// This host's member is no longer the leader.
    NotLeader,
    /// Somebody wrote.
    Written,
    /// etcd can't be asked or refuses. With [`NodeError::message`] of the live side.
    Etcd,
    /// The rewrite refuses or fails.
    Rewrite,
    /// The store refuses, or can't be reached.
    Store,
    /// No credentials for the store, or they end too early.
    Credentials,
    /// Asked to stop.
    Interrupted,
    /// Anything else.
    Failed,
}

impl NodeError {
    /// Without advice.
    pub fn new(kind: NodeErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    /// The same with what to try.
    #[must_use]
    pub fn try_(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// For `map_err` on I/O of the host's files.
    pub fn io(doing: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| {
            let message = format!("cannot {doing} {}: {source}", path.display());
            Self::new(NodeErrorKind::Io, message)
        }
    }
}
