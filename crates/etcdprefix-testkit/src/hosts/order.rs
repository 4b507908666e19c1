//! What a host's first process is told to do at the start.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::json;

use super::{HostsOptions, accounts, name};
use crate::Version;
use crate::provisioned::host_usr;

/// Writes `init.json` of the host's folder. `shared` is a folder of all hosts.
pub fn write(place: &Path, number: usize, options: HostsOptions, shared: &Path) -> Result<()> {
    let gone = options.runtime.strangers();
    let gone: Vec<&str> = ["rm", "-f"].into_iter().chain(gone.iter().map(String::as_str)).collect();
    let none: [PathBuf; 0] = [];
    let config = json!({
        "room": place.join("room"),
        "overlays": [
            ("/etc", [place.join("etc")], none),
            ("/usr", [place.join("usr")], [host_usr()?]),
        ],
        "binds": binds(place, options.etcd, shared)?,
        "commands": [vec!["hostname", &name(number)], vec!["chmod", "4755", "/usr/bin/sudo"], gone],
    });
    Ok(fs::write(place.join("init.json"), config.to_string())?)
}

/// Pairs of what is here and where the host has it, in their order.
fn binds(place: &Path, etcd: Option<Version>, shared: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
    let mut binds = vec![(shared.to_owned(), place.join("folders/var/lib/stand-ins/api"))];
    if let Some(version) = etcd {
        binds.push((version.etcd()?, "/usr/bin/etcd".into()));
        binds.push((version.etcdctl()?, "/usr/bin/etcdctl".into()));
    }
    let mut folders = accounts::FOLDERS;
    // The one that hides our own folder comes last.
    folders.sort_by_key(|folder| place.starts_with(Path::new("/").join(folder)));
    let own = folders.map(|it| (place.join("folders").join(it), Path::new("/").join(it)));
    binds.extend(own);
    Ok(binds)
}
