//! Credentials of a mounted secret: one file for each part.

use std::path::{Path, PathBuf};

use reqsign_core::{Context, Error, Result};

use super::Credentials;
use crate::secret::Secret;

/// Reads the folder's files. Editors and `kubectl create secret --from-file` leave a line feed.
pub(super) async fn load(context: &Context, folder: PathBuf) -> Result<Option<Credentials>> {
    let key_id = read(context, &folder, "access-key-id").await?;
    let secret = read(context, &folder, "access-key-secret").await?;
    let token = match folder.join("security-token").exists() {
        true => Some(read(context, &folder, "security-token").await?),
        false => None,
    };
    Ok(Some(Credentials { key_id, secret, token, ends: None, origin: "the folder" }))
}

async fn read(context: &Context, folder: &Path, name: &str) -> Result<Secret> {
    let path = folder.join(name);
    let bytes = context.file_read(&path.to_string_lossy()).await?;
    let text = String::from_utf8(bytes).map_err(|_| Error::config_invalid("not UTF-8"))?;
    let value = Secret::new(text).expose().trim().to_owned();
    if value.is_empty() {
        return Err(Error::config_invalid("empty"));
    }
    Ok(Secret::new(value))
}
