//! The private folder in which a component is made.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Result;

/// A folder in the cache (the same file system, so that rename works), removed on drop.
pub struct Scratch {
    path: PathBuf,
    /// Of the folder itself: others can tell a leftover from work under way, even a leftover that
    /// is half removed.
    _lock: File,
}

impl Scratch {
    /// Also removes what killed runs left behind: sources and build files are gigabytes.
    pub fn new(cache: &Path, name: &str) -> Result<Self> {
        sweep(cache, name)?;
        let path = cache.join(format!(".{name}-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        let lock = File::open(&path)?;
        // Where the file system has no such locks, leftovers stay.
        let _ = lock.try_lock();
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
            // Another run may be removing it too.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

fn ended(scratch: &Path) -> bool {
    File::open(scratch).is_ok_and(|lock| lock.try_lock().is_ok())
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
            fs::write(folder.join("half-made"), "").unwrap();
        }
        let owner = File::open(&busy).unwrap();
        owner.lock().unwrap();
        let ours = Scratch::new(&cache, "tool").unwrap();
        assert!(!left.exists() && busy.exists() && ours.path().exists());
        drop(ours);
        assert_eq!(fs::read_dir(&cache).unwrap().count(), 1);
        fs::remove_dir_all(cache).unwrap();
    }
}
