//! The private folder in which a component is made.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Locked as long as its owner lives, so that others can tell a leftover from work under way.
const LOCK: &str = "lock";

/// A folder in the cache (the same file system, so that rename works), removed on drop.
pub struct Scratch {
    path: PathBuf,
    _lock: File,
}

impl Scratch {
    /// Also removes what killed runs left behind: sources and build files are gigabytes.
    pub fn new(cache: &Path, name: &str) -> Result<Self> {
        sweep(cache, name)?;
        let path = cache.join(format!(".{name}-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        let lock = File::create(path.join(LOCK))?;
        lock.try_lock().with_context(|| format!("{} is in use", path.display()))?;
        Ok(Self { path, _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn sweep(cache: &Path, name: &str) -> Result<()> {
    let start = format!(".{name}-");
    for entry in fs::read_dir(cache)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&start) && ended(&entry.path()) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Without a lock file it is left alone: its owner may be about to make one.
fn ended(scratch: &Path) -> bool {
    File::open(scratch.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_go_and_work_under_way_stays() {
        let cache = std::env::temp_dir().join(format!("xtask-scratch-{}", std::process::id()));
        let (left, busy) = (cache.join(".tool-1"), cache.join(".tool-2"));
        for folder in [&left, &busy] {
            fs::create_dir_all(folder).unwrap();
            fs::write(folder.join(LOCK), "").unwrap();
        }
        let owner = File::open(busy.join(LOCK)).unwrap();
        owner.lock().unwrap();
        let ours = Scratch::new(&cache, "tool").unwrap();
        assert!(!left.exists() && busy.exists() && ours.path().exists());
        drop(ours);
        assert_eq!(fs::read_dir(&cache).unwrap().count(), 1);
        fs::remove_dir_all(cache).unwrap();
    }
}
