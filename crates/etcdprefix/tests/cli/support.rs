//! A fresh folder with one snapshot, and runs of the program in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_etcdprefix");

/// The workspace's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A folder with `snap.db` in it, removed at the end.
pub struct Folder(TempDir);

/// What a run left.
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Folder {
    /// With a copy of that file of testdata/snapshots.
    pub fn with(snapshot: &str) -> Self {
        let path = root().join("testdata/snapshots").join(snapshot);
        Self::of(&fs::read(path).unwrap())
    }

    /// With these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let folder = Self(TempDir::new().unwrap());
        fs::write(folder.path("snap.db"), bytes).unwrap();
        folder
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// The names in the folder, sorted.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    /// The program in this folder, by its path or by the name of a link here; `line` is split at
    /// spaces.
    pub fn command(&self, line: &str) -> Command {
        let mut words = line.split_whitespace();
        let name = words.next().unwrap();
        let program = if name == "etcdprefix" { PROGRAM.into() } else { self.path(name) };
        let mut command = Command::new(program);
        command.args(words).current_dir(self.0.path());
        // A help text's width is that of the terminal.
        command.stdin(Stdio::null()).env_remove("COLUMNS");
        command
    }

    pub fn run(&self, line: &str) -> Run {
        let Output { status, stdout, stderr } = self.command(line).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Run { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }
}

impl Run {
    /// It failed with that code and one line on stderr, which is returned.
    #[track_caller]
    pub fn failed(&self, code: i32) -> &str {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        assert_eq!(self.stdout, "");
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
        let line = self.stderr.trim_end().strip_prefix("etcdprefix: ");
        line.unwrap_or_else(|| panic!("{}", self.stderr))
    }

    /// It succeeded with nothing on stderr; what it said is returned.
    #[track_caller]
    pub fn succeeded(&self) -> &str {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""));
        &self.stdout
    }
}
