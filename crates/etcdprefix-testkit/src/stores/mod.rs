//! Object stores on loopback: SeaweedFS for S3, our stand-in for OSS, the official SDKs that read
//! what is in them, and the metadata of instances that may.

mod front;
mod metadata;
mod oss;
mod s3;
mod sdk;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

pub use front::{Act, Front, Rule};
pub use metadata::Metadata;
pub use oss::OssServer;
pub use s3::S3Server;
pub use sdk::Sdk;

use crate::process::{Process, last_lines};

/// SeaweedFS elects itself first; on a loaded machine that takes its time.
const START_LIMIT: Duration = Duration::from_secs(120);

/// The bucket that every server has.
pub const BUCKET: &str = "bucket";

/// A key pair, as servers know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The access key's id.
    pub id: String,
    /// The secret key.
    pub secret: String,
    /// The token, if it is a temporary one.
    pub token: Option<String>,
}

impl Key {
    /// One that lasts.
    pub fn new(id: &str, secret: &str) -> Self {
        Self { id: id.into(), secret: secret.into(), token: None }
    }

    /// The same with a token.
    pub fn with_token(self, token: &str) -> Self {
        Self { token: Some(token.into()), ..self }
    }
}

/// Waits for `ready` as long as the process runs.
pub(crate) fn settle<T>(
    process: &mut Process,
    log: &Path,
    mut ready: impl FnMut(&str) -> Option<T>,
) -> Result<T> {
    let start = Instant::now();
    while start.elapsed() < START_LIMIT {
        if let Some(ready) = ready(&fs::read_to_string(log).unwrap_or_default()) {
            return Ok(ready);
        }
        if let Some(status) = process.0.try_wait()? {
            bail!("the server ended with {status}:\n{}", last_lines(log));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("the server does not serve after {START_LIMIT:?}:\n{}", last_lines(log))
}
