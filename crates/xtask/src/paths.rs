//! Where things are: the repository, the build's folder and the cache folder.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The repository's root, found from the place of this crate.
pub fn repository() -> PathBuf {
    let here = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    here.ancestors().nth(2).map_or(here.clone(), Path::to_path_buf)
}

/// Where cargo builds, below the repository or where the environment says.
pub fn target(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |own| root.join(own))
}

/// The folder that keeps fetched programs between runs. The test kit looks in the same place.
pub fn cache() -> Result<PathBuf> {
    if let Some(own) = env::var_os("ETCDPREFIX_CACHE") {
        return Ok(PathBuf::from(own));
    }
    let base = match env::var_os("XDG_CACHE_HOME") {
        Some(base) => PathBuf::from(base),
        None => {
            PathBuf::from(env::var_os("HOME").context("neither ETCDPREFIX_CACHE nor HOME is set")?)
                .join(".cache")
        }
    };
    Ok(base.join("etcdprefix"))
}
