//! Puts snapshots into object stores and hands out URLs to fetch them: Alibaba Cloud OSS and S3.
//!
//! ```text
//! location: oss://, s3://, file://
//!     -> store: endpoint + credentials + signatures of one bucket, over one HTTP client
//!         -> upload: one request or parts, checked by CRC, proved by a HEAD
//!         -> find, download, list
//!         -> presign: a URL for one GET, probed before it is given out
//!         -> verify: an object against its trailer
//!         -> check: what the credentials may do
//! describe: what is known of a snapshot, as metadata
//! crypt: encrypted before it leaves, decrypted while it comes
//! policy: what to grant
//! ```
//!
//! Both stores speak nearly the same protocol; what differs is in [`dialect`](Kind).
//!
//! Nothing here prints. What an error or a `Debug` shows holds neither secret keys, nor tokens, nor
//! the query of a URL: a presigned URL is a key to its object.

mod account;
mod check;
mod checksum;
mod client;
mod credentials;
mod crypt;
mod describe;
mod dialect;
mod download;
mod endpoint;
mod error;
mod list;
mod location;
mod metadata;
mod multipart;
mod object;
mod policy;
mod presence;
mod presign;
mod probe;
mod region;
mod secret;
mod source;
mod store;
mod upload;
mod verify;
mod xml;

use std::sync::Arc;
use std::time::Duration;

use etcdprefix_core::progress::Progress;

pub use account::Account;
pub use check::{CheckOptions, Checked, Step, StepOutcome, check};
pub use checksum::Checksum;
pub use client::Retry;
pub use credentials::{CredentialOptions, Credentials, Environment, Lack};
pub use crypt::{Identities, Plaintext, Recipients, encrypt};
pub use describe::Description;
pub use dialect::Kind;
pub use download::{Downloaded, download};
pub use endpoint::{Addressing, Endpoint};
pub use error::{Cause, Error, Refusal, Result};
pub use list::{Listed, list, list_described};
pub use location::{Location, ObjectLocation};
pub use metadata::Metadata;
pub use object::{Head, delete, head};
pub use policy::{Policy, Purpose, policy};
pub use presence::{Presence, find};
pub use presign::{MAX_LIFETIME, PresignOptions, Presigned, presign};
pub use probe::{Reach, probe};
pub use secret::{Secret, SecretUrl, redacted_line};
pub use source::Source;
pub use store::{Signature, Store, StoreOptions};
pub use upload::{Agreed, UploadOptions, Uploaded, upload};
pub use verify::{Verified, verify};

/// Progress of work that goes on in several tasks.
pub type SharedProgress = Arc<dyn Progress + Send + Sync>;

/// Ends `work` soon after it is asked to stop.
async fn unless_interrupted<T>(
    progress: &(dyn Progress + Send + Sync),
    tick: Duration,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(tick) => {}
        }
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
    }
}
