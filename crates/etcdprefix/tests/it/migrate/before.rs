//! What hosts are before a migration, to be compared with what they are after it.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use etcdprefix_testkit::hosts::Hosts;

/// All that is in the folders of Kubernetes, by path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Before(Vec<BTreeMap<PathBuf, Entry>>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    mode: u32,
    owner: (u32, u32),
    /// Of a folder these change with what is in it.
    file: Option<File>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct File {
    modified: (i64, i64),
    links: u64,
    bytes: Vec<u8>,
}

impl Before {
    pub fn of(hosts: &Hosts) -> Result<Self> {
        let all = hosts.all().iter().map(|host| {
            let mut found = BTreeMap::new();
            take(&host.path("/etc/kubernetes"), &mut found)?;
            Ok(found)
        });
        Ok(Self(all.collect::<Result<_>>()?))
    }

    /// An error that names what is not as it was.
    pub fn check(&self, hosts: &Hosts) -> Result<()> {
        let now = Self::of(hosts)?;
        for (host, (before, now)) in hosts.all().iter().zip(self.0.iter().zip(&now.0)) {
            let gone = before.iter().filter(|(path, entry)| now.get(*path) != Some(entry));
            let new = now.keys().filter(|path| !before.contains_key(*path));
            let odd: Vec<&PathBuf> = gone.map(|(path, _)| path).chain(new).collect();
            ensure!(odd.is_empty(), "{} is not as before: {odd:?}", host.name());
        }
        Ok(())
    }
}

fn take(path: &Path, found: &mut BTreeMap<PathBuf, Entry>) -> Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            take(&entry?.path(), found)?;
        }
    }
    found.insert(path.to_owned(), entry(path, &metadata)?);
    Ok(())
}

fn entry(path: &Path, metadata: &Metadata) -> Result<Entry> {
    let file = match metadata.is_file() {
        false => None,
        true => Some(File {
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            links: metadata.nlink(),
            bytes: fs::read(path)?,
        }),
    };
    Ok(Entry { mode: metadata.mode(), owner: (metadata.uid(), metadata.gid()), file })
}
