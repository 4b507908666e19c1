//! Why something could not be done.
//!
//! No text here holds a secret: what a store answered is cut to its error code and one line, with
//! the credentials struck out, and URLs are shown without their query.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::location::ObjectLocation;

/// Why a call ends without its result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was asked for makes no sense: a location, a region that is missing, a lifetime.
    #[error("{0}")]
    Usage(String),
    /// No source has credentials.
    #[error("no credentials: {}", tried.join("; "))]
    NoCredentials {
        /// Each source that was asked, and what it said.
        tried: Vec<String>,
    },
    /// The credentials, fresh ones included, end before a URL should.
    #[error(
        "the credentials from {origin} end in {} s, before a URL for {} s would: allow a shorter \
         one or use credentials that last",
        left.as_secs(), wanted.as_secs()
    )]
    CredentialsEnd {
        /// Where they are from.
        origin: String,
        /// How long they last.
        left: Duration,
        /// How long the URL should.
        wanted: Duration,
    },
    /// A local file.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is not what it was when its upload began.
    #[error("{} changed while it was uploaded", path.display())]
    FileChanged {
        /// The file.
        path: PathBuf,
    },
    /// The object was replaced while it was downloaded.
    #[error("{location} was replaced while it was downloaded")]
    ObjectChanged {
        /// The object.
        location: ObjectLocation,
    },
    /// What was downloaded could not be passed on.
    #[error("cannot write what was downloaded: {0}")]
    Write(io::Error),
    /// What was to be encrypted could not be read, or what came of it not be written.
    #[error("cannot {action}: {source}")]
    Encryption {
        /// What could not be done.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The object is encrypted, and no identity was given.
    #[error("the object is encrypted with age: an identity is needed to decrypt it")]
    Encrypted,
    /// The object is encrypted to others than these identities.
    #[error("the object is encrypted with age, and none of the identities can decrypt it")]
    NoIdentity,
    /// What is encrypted was damaged or cut off.
    #[error("what is encrypted is damaged or cut off: it can't be decrypted")]
    Undecryptable,
    /// The object is not the whole snapshot that it should be.
    #[error("{location}: {what}")]
    Unsound {
        /// The object.
        location: ObjectLocation,
        /// What speaks against it.
        what: String,
    },
    /// The store said no.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// The store could not be reached, or the connection broke, on every try.
    #[error("{host}: {why}")]
    Unreachable {
        /// Which host.
        host: String,
        /// Why, without any URL.
        why: String,
    },
    /// There is an object already.
    #[error("{0} exists already")]
    Exists(ObjectLocation),
    /// The store has other bytes than were sent, or sent other bytes than it has.
    #[error("{location}: {what}")]
    Differs {
        /// The object.
        location: ObjectLocation,
        /// What differs.
        what: String,
    },
    /// The object was written but a HEAD could not prove it.
    #[error("{location} was written but could not be proved: {why}")]
    Unproved {
        /// The object.
        location: ObjectLocation,
        /// What kept it.
        #[source]
        why: Box<Error>,
    },
    /// A write failed without the store's saying so: it was interrupted, or the answer was lost.
    #[error("{why}; {location} may have been written all the same")]
    MaybeWritten {
        /// The object.
        location: ObjectLocation,
        /// Why it is not known.
        #[source]
        why: Box<Error>,
    },
    /// An upload failed, and its parts could not be removed: they cost money until they are.
    #[error(
        "{why}; its parts stay in the bucket as upload {upload_id} of {location}, because they \
         could not be removed ({abort}): remove them, or have a lifecycle rule that aborts \
         incomplete multipart uploads"
    )]
    PartsLeft {
        /// The object that was to be.
        location: ObjectLocation,
        /// The upload's id.
        upload_id: String,
        /// Why the upload failed.
        #[source]
        why: Box<Error>,
        /// Why its parts stay.
        abort: Box<Error>,
    },
    /// Asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// Shorthand.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A store's answer that is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What was asked for, such as `PutObject`.
    pub operation: &'static str,
    /// Of which object, bucket or URL (without its query).
    pub place: String,
    /// The HTTP status.
    pub status: u16,
    /// The store's error code; empty if it gave none, as with a HEAD.
    pub code: String,
    /// The store's message: one line, cut, credentials struck out.
    pub message: String,
    /// By which the store's support finds the request.
    pub request_id: String,
    /// What it means.
    pub cause: Cause,
}

/// What a refusal means, as far as its code tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The secret key does not fit the key id.
    WrongSecret,
    /// The store knows no such key id.
    UnknownKey,
    /// The temporary credentials have ended or are damaged.
    BadToken,
    /// This machine's clock and the store's are apart; the store's time if it told.
    ClockSkew(Option<SystemTime>),
    /// Signed for, or sent to, the wrong region; the right one if the store told.
    WrongRegion(Option<String>),
    /// OSS does not serve this account's buckets at a public endpoint, only at domains of its own.
    EndpointForbidden,
    /// A presigned URL is past its time.
    Expired,
    /// The bucket's Referer protection turns away requests without one.
    Referer,
    /// A policy forbids it, or nothing allows it.
    Denied,
    /// There is no such bucket.
    NoBucket,
    /// There is no such object.
    NoObject,
    /// There is no such multipart upload; it was completed or aborted.
    NoUpload,
    /// The object exists, or changed, against a condition of the request.
    Condition,
    /// What was sent arrived with another checksum.
    Damaged,
    /// The store is overloaded or broken; it may work later.
    Passing,
    /// Anything else.
    Other,
}

impl Cause {
    /// In words, to follow what was asked for.
    fn words(&self) -> Option<String> {
        let words = match self {
            Self::WrongSecret => "the secret key is wrong",
            Self::UnknownKey => "the store does not know the access key id",
            Self::BadToken => "the temporary credentials have ended or are damaged",
            Self::ClockSkew(Some(theirs)) => return Some(skew(*theirs)),
            Self::ClockSkew(None) => "this machine's clock is off",
            Self::EndpointForbidden => {
                "the store does not serve this account's buckets at its public endpoint"
            }
            Self::WrongRegion(Some(region)) => {
                return Some(format!("the bucket is in another region: {region}"));
            }
            Self::WrongRegion(None) => "the region is wrong",
            Self::Expired => "the URL has expired",
            Self::Referer => "the bucket's Referer protection turns away requests without one",
            Self::Denied => "access is denied",
            Self::NoBucket => "there is no such bucket",
            Self::NoObject => "there is no such object",
            Self::NoUpload => "there is no such multipart upload",
            Self::Condition => "the object exists or changed",
            Self::Damaged => "what was sent arrived damaged",
            Self::Passing => "the store is not able to now",
            Self::Other => return None,
        };
        Some(words.to_owned())
    }
}

fn skew(theirs: SystemTime) -> String {
    let side = if theirs > SystemTime::now() { "behind" } else { "ahead of" };
    format!("this machine's clock is {} s {side} the store's", distance(theirs).as_secs())
}

/// From now, in either direction.
pub(crate) fn distance(time: SystemTime) -> Duration {
    let now = SystemTime::now();
    time.duration_since(now).unwrap_or_else(|earlier| earlier.duration())
}

impl Refusal {
    /// Whether the same request may succeed later.
    pub fn is_passing(&self) -> bool {
        matches!(self.cause, Cause::Passing | Cause::Damaged)
    }

    /// Whether other credentials of the same origin may do.
    pub(crate) fn is_about_credentials(&self) -> bool {
        matches!(self.cause, Cause::BadToken | Cause::UnknownKey | Cause::WrongSecret)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.operation, self.place)?;
        if let Some(words) = self.cause.words() {
            write!(f, "{words} ")?;
        }
        write!(f, "(HTTP {}", self.status)?;
        for (name, value) in [("", &self.code), ("", &self.message), ("request ", &self.request_id)]
        {
            if !value.is_empty() {
                write!(f, ", {name}{value}")?;
            }
        }
        f.write_str(")")
    }
}

impl Error {
    /// The store's answer, if it is one.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// Why the store refused, if it did.
    pub fn cause(&self) -> Option<&Cause> {
        self.refusal().map(|refusal| &refusal.cause)
    }

    /// What a sink failed of. One of this crate carries an error of this kind in one of I/O.
    pub(crate) fn of_sink(error: io::Error) -> Self {
        error.downcast::<Self>().unwrap_or_else(Self::Write)
    }

    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}
