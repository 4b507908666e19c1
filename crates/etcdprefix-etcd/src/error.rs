//! Why something could not be done.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::endpoint::Endpoint;

/// Why a call ends without its result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was asked for makes no sense: a pin, a key without its certificate.
    #[error("{0}")]
    Usage(String),
    /// An endpoint is none.
    #[error("endpoint {text:?} {why}")]
    Endpoint {
        /// As it was given.
        text: String,
        /// What it lacks, to follow its text.
        why: String,
    },
    /// A certificate or key can't be used.
    #[error("cannot use {}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// One member did not do what it was asked for.
    #[error("{endpoint}: {failure}")]
    Member {
        /// Which.
        endpoint: Endpoint,
        /// Why not.
        #[source]
        failure: Failure,
    },
    /// None of the members can serve.
    #[error("no member can serve: {}", reasons.join("; "))]
    NoMember {
        /// For each endpoint, why not.
        reasons: Vec<String>,
        /// What kept the first of them from answering.
        failure: Option<Failure>,
        /// Whether some may serve a moment later: one that did not answer, or sees no leader.
        passing: bool,
    },
    /// The endpoints are members of different clusters.
    #[error("{one} and {other} are members of different clusters")]
    TwoClusters {
        /// An endpoint.
        one: Endpoint,
        /// An endpoint of another cluster.
        other: Endpoint,
    },
    /// A member has compacted the revision asked for, or has not come to it.
    #[error("{endpoint} has no HashKV at revision {revision}: {why}")]
    NoRevision {
        /// Which.
        endpoint: Endpoint,
        /// The revision asked for.
        revision: i64,
        /// Why not.
        why: String,
    },
    /// Members, or a member and the saved file, hold different data.
    #[error("{0}")]
    Differs(String),
    /// What a member sent is damaged.
    #[error("{endpoint} sent a damaged snapshot: {first}{}", more(*errors))]
    Unsound {
        /// Which.
        endpoint: Endpoint,
        /// How many errors a check finds.
        errors: u64,
        /// The first of them.
        first: String,
    },
    /// A sound snapshot that lacks what a member had before it was asked for.
    #[error(
        "{endpoint} lags behind: its snapshot ends at revision {revision}, but {seen} was there before"
    )]
    Lagging {
        /// Who sent it.
        endpoint: Endpoint,
        /// Where it ends.
        revision: i64,
        /// What there was.
        seen: i64,
    },
    /// A member can't tell its HashKV at that revision any more.
    #[error("{endpoint} has compacted revision {revision} meanwhile, so HashKV can't be compared")]
    Overtaken {
        /// Which.
        endpoint: Endpoint,
        /// The revision.
        revision: i64,
    },
    /// The total time is over.
    #[error("not done within {0:?}")]
    OutOfTime(Duration),
    /// A watch has not seen everything that happened.
    #[error("the watch saw all up to revision {seen} only and did not catch up within {limit:?}{}",
        failure.as_ref().map(|why| format!("; the last trouble: {why}")).unwrap_or_default())]
    WatchBehind {
        /// Up to where it has.
        seen: i64,
        /// How long it was waited for.
        limit: Duration,
        /// What kept it, if that is known.
        failure: Option<Failure>,
    },
    /// A local file, or the content of a snapshot.
    #[error(transparent)]
    Core(#[from] etcdprefix_core::Error),
    /// Asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// Shorthand.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a member did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nobody answers there.
    #[error("cannot connect: {0}")]
    Unreachable(String),
    /// TLS failed: what the certificate lacks, or what the member refuses.
    #[error("TLS: {0}")]
    Tls(String),
    /// The member does not accept our certificate, or that there is none.
    #[error("TLS: the member does not accept {0}")]
    NotAccepted(String),
    /// The member's certificate has run out, or begins later.
    #[error("TLS: the member's certificate {0}")]
    Dated(String),
    /// The member's certificate is not a pinned one: the SHA-256 of what came.
    #[error("TLS: the certificate is not a pinned one; its SHA-256 is {0}")]
    NotPinned(String),
    /// The member's certificate has a common name only, which is no longer a name to go by.
    #[error("TLS: the certificate has no subject alternative name, only the common name {0:?}")]
    CommonNameOnly(String),
    /// It did not answer in time.
    #[error("no answer within {0:?}")]
    Silent(Duration),
    /// A stream stopped without ending.
    #[error("the stream stalled: nothing came for {idle:?} after {received_bytes} bytes")]
    Stalled {
        /// How long nothing came.
        idle: Duration,
        /// What had come until then.
        received_bytes: u64,
    },
    /// All came, but it is not what the member sent.
    #[error(
        "the snapshot came damaged: its SHA-256 trailer is {found}, but its content hashes to \
         {computed}"
    )]
    Damaged {
        /// The trailer, in hexadecimal.
        found: String,
        /// The digest of the pages, in hexadecimal.
        computed: String,
    },
    /// A stream or connection ended in the middle.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// User and password are missing or wrong.
    #[error("{0}")]
    Unauthenticated(String),
    /// The user lacks the role.
    #[error("{0}")]
    Denied(String),
    /// It is a learner that does not serve this (3.4).
    #[error("{0}")]
    Learner(String),
    /// It answered with an error.
    #[error("{0}")]
    Server(String),
}

fn more(errors: u64) -> String {
    match errors.saturating_sub(1) {
        0 => String::new(),
        more => format!(", and {more} more"),
    }
}

impl Failure {
    /// About `endpoint`.
    pub fn at(self, endpoint: &Endpoint) -> Error {
        Error::Member { endpoint: endpoint.clone(), failure: self }
    }

    /// Whether the member was reached and wants nothing to do with us, or we with it.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Tls(_)
                | Self::NotAccepted(_)
                | Self::Dated(_)
                | Self::NotPinned(_)
                | Self::CommonNameOnly(_)
                | Self::Unauthenticated(_)
                | Self::Denied(_)
        )
    }

    /// Whether another member, or the same one later, may do better.
    pub fn is_passing(&self) -> bool {
        !(self.is_refusal() || matches!(self, Self::Learner(_)))
    }
}

impl Error {
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, why: source.to_string() }
    }
}
