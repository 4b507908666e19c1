//! The files that a run writes: tried before anything sleeps, and known by the run's id afterwards.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Files, Setup};
use crate::error::{Error, Result};
use crate::journal::stage_private;

/// Where all of it goes.
pub struct Targets {
    /// The fragment.
    pub output: PathBuf,
    /// The Secrets.
    pub secrets: PathBuf,
}

impl Targets {
    pub fn new(setup: &Setup, files: &Files) -> Self {
        let file = |given: &Option<PathBuf>, name| {
            given.clone().unwrap_or_else(|| setup.folder.join(name))
        };
        Self {
            output: file(&files.output, "etcd.yaml"),
            secrets: file(&files.secrets, "encryption-keys.yaml"),
        }
    }

    /// What may be removed when the run comes to nothing; absolute, for whoever comes later.
    pub fn own(&self) -> Vec<PathBuf> {
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        [&self.output, &self.secrets].map(absolute).into()
    }

    /// That they are different files, and that each can be written.
    ///
    /// # Errors
    /// [`Error::Usage`], [`Error::File`].
    pub fn attempt(&self, into: Option<&PathBuf>) -> Result<()> {
        let all: Vec<&PathBuf> = [&self.output, &self.secrets].into_iter().chain(into).collect();
        for (index, path) in all.iter().enumerate() {
            // Gone again when it is dropped.
            stage_private(path).map_err(Error::file("write beside", path))?;
            if path.is_dir() {
                return Err(Error::Usage(format!("{} is a folder", path.display())));
            }
            if all[..index].iter().any(|other| place(other) == place(path)) {
                let path = path.display();
                return Err(Error::Usage(format!(
                    "{path} would be written twice; try: different files for --output, --secrets \
                     and --into"
                )));
            }
        }
        Ok(())
    }
}

/// The same for all ways to write a path; a link's own, for it is what gets replaced.
fn place(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.into());
    let folder = absolute.parent().and_then(|folder| folder.canonicalize().ok());
    match (folder, absolute.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => absolute,
    }
}

/// The first line of a file of ours.
pub fn headline(run: &str, rest: &str) -> String {
    format!("# etcdprefix, run {run}{rest}\n")
}

/// Removes those of these that this run has written: the URL in them is dead.
pub fn remove(files: &[PathBuf], run: &str) {
    let begin = headline(run, "");
    let begin = begin.trim_end();
    for file in files {
        if fs::read_to_string(file).is_ok_and(|text| text.starts_with(begin)) {
            // What can't be removed is no reason to leave a cluster as it is.
            let _ = fs::remove_file(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_tried_told_apart_and_removed_only_by_their_own_run() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let targets = Targets { output: file("a"), secrets: file("b") };
        targets.attempt(Some(&file("c"))).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let twice = folder.path().join("./b");
        assert!(matches!(targets.attempt(Some(&twice)), Err(Error::Usage(_))));
        let nowhere = Targets { output: file("no/a"), secrets: file("b") };
        assert!(matches!(nowhere.attempt(None), Err(Error::File { .. })));
        fs::write(file("a"), headline("r1", ", of mine")).unwrap();
        remove(&targets.own(), "r2");
        assert!(file("a").exists());
        remove(&targets.own(), "r1");
        assert!(!file("a").exists());
    }
}
