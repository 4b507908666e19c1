//! Programs from Debian packages of another suite than the machine's, unpacked, not installed.
//!
//! The mirror and its key ring are read from the machine's own apt sources and only the suite's
//! name is replaced, so it works wherever `apt-get` works and no host is written down here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// Suites of Debian's main archive; other archives on the machine use other names.
const SUITES: &[&str] = &[
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "sid",
    "oldstable",
    "stable",
    "testing",
    "unstable",
];

/// One apt source, as far as it is needed to write another one like it.
#[derive(Debug, PartialEq, Eq)]
struct Source {
    uri: String,
    signed_by: Option<String>,
}

/// Downloads the packages in that version and returns the folder that holds their files.
pub fn unpack(scratch: &Path, suite: &str, packages: &[&str], version: &str) -> Result<PathBuf> {
    let apt = Apt::new(scratch, suite, Wanted::Packages)?;
    for package in packages {
        apt.download(package, version)?;
    }
    apt.unpack()
}

/// Whether the suite's source packages are wanted too: their index is as long as the packages'.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Packages,
    PackagesAndSources,
}

/// apt with lists and caches of its own; the machine's proxy and certificate settings still hold.
pub struct Apt {
    folder: PathBuf,
    /// Where packages are unpacked to.
    root: PathBuf,
    options: Vec<String>,
}

impl Apt {
    /// Fetches the suite's indexes.
    pub fn new(scratch: &Path, suite: &str, wanted: Wanted) -> Result<Self> {
        let folder = scratch.join("apt");
        fs::create_dir_all(folder.join("lists/partial"))?;
        fs::create_dir_all(folder.join("cache/archives/partial"))?;
        fs::write(folder.join("status"), "")?;
        let list = folder.join("sources.list");
        fs::write(&list, source_lines(&machine_source()?, suite, wanted))?;
        let place = |name: &str| folder.join(name).display().to_string();
        let options = vec![
            format!("Dir::Etc::sourcelist={}", list.display()),
            "Dir::Etc::sourceparts=/dev/null".into(),
            format!("Dir::State::lists={}", place("lists")),
            format!("Dir::State::status={}", place("status")),
            format!("Dir::Cache={}", place("cache")),
            "Acquire::Languages=none".into(),
            // The folder is private, so apt's own unprivileged user could not write to it.
            "APT::Sandbox::User=root".into(),
        ];
        let apt = Self { folder, root: scratch.join("root"), options };
        process::capture(apt.command("apt-get").args(["--quiet=2", "update"]))?;
        Ok(apt)
    }

    /// Downloads a package; apt holds it against the signed index.
    pub fn download(&self, package: &str, version: &str) -> Result<()> {
        let wanted = format!("{package}={}", self.full_version(package, version)?);
        process::capture(self.command("apt-get").args(["--quiet=2", "download", &wanted]))?;
        Ok(())
    }

    /// Unpacks what was downloaded and returns the folder that holds the files.
    pub fn unpack(&self) -> Result<PathBuf> {
        for package in self.files(".deb")? {
            process::run(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&self.root))?;
        }
        Ok(self.root.clone())
    }

    /// Downloads a source package and returns upstream's archive, without Debian's patches.
    pub fn upstream_source(&self, package: &str, version: &str) -> Result<PathBuf> {
        let wanted = format!("{package}={}", self.full_version(package, version)?);
        let source = ["--quiet=2", "source", "--download-only", &wanted];
        process::capture(self.command("apt-get").args(source))?;
        let archive = self.files(".orig.tar.gz")?.pop();
        archive.with_context(|| format!("the source of {package} holds no upstream archive"))
    }

    fn files(&self, ending: &str) -> Result<Vec<PathBuf>> {
        let entries = fs::read_dir(&self.folder)?.map(|entry| Ok(entry?.path()));
        let mut paths = entries.collect::<Result<Vec<_>>>()?;
        paths.retain(|path| path.to_string_lossy().ends_with(ending));
        Ok(paths)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).env("LC_ALL", "C");
        for option in &self.options {
            command.arg("-o").arg(option);
        }
        command
    }

    /// `3.4.23` to the package's full version, such as `3.4.23-4+b4`.
    fn full_version(&self, package: &str, version: &str) -> Result<String> {
        let table = process::capture(self.command("apt-cache").args(["madison", package]))?;
        let offered: Vec<&str> =
            table.lines().filter_map(|line| line.split('|').nth(1)).map(str::trim).collect();
        let found = offered.iter().find(|full| full.starts_with(&format!("{version}-")));
        match found {
            Some(full) => Ok((*full).to_owned()),
            None => bail!("the suite offers {package} in {offered:?}, not in {version}"),
        }
    }
}

fn source_lines(source: &Source, suite: &str, wanted: Wanted) -> String {
    let signed = source.signed_by.as_ref().map(|ring| format!("[signed-by={ring}] "));
    let rest = format!("{}{} {suite} main", signed.unwrap_or_default(), source.uri);
    match wanted {
        Wanted::Packages => format!("deb {rest}\n"),
        Wanted::PackagesAndSources => format!("deb {rest}\ndeb-src {rest}\n"),
    }
}

/// The first source of Debian's main archive on this machine.
fn machine_source() -> Result<Source> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(folder) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(folder.flatten().map(|entry| entry.path()));
    }
    files.sort();
    files
        .iter()
        .filter_map(|file| Some((file, fs::read_to_string(file).ok()?)))
        .find_map(|(file, text)| match file.extension().and_then(|name| name.to_str()) {
            Some("sources") => from_stanzas(&text),
            _ => from_lines(&text),
        })
        .context("no source of Debian's main archive in /etc/apt: the servers come from there")
}

/// The format of `*.sources`: stanzas of `Field: value`, comments anywhere.
fn from_stanzas(text: &str) -> Option<Source> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    lines.split(|line| line.trim().is_empty()).find_map(|stanza| {
        let field = |name: &str| {
            let prefix = format!("{name}:");
            stanza.iter().find_map(|line| line.strip_prefix(prefix.as_str())).map(str::trim)
        };
        let debian = field("Types")?.split_whitespace().any(|kind| kind == "deb")
            && field("Suites")?.split_whitespace().any(|suite| SUITES.contains(&suite));
        debian.then_some(Source {
            uri: field("URIs")?.split_whitespace().next()?.to_owned(),
            signed_by: field("Signed-By").filter(|ring| ring.starts_with('/')).map(str::to_owned),
        })
    })
}

/// The one-line format: `deb [options] uri suite components`.
fn from_lines(text: &str) -> Option<Source> {
    text.lines().find_map(|line| {
        let rest = line.trim().strip_prefix("deb ")?.trim();
        let (options, rest) = match rest.strip_prefix('[') {
            Some(inner) => inner.split_once(']')?,
            None => ("", rest),
        };
        let mut words = rest.split_whitespace();
        let (uri, suite) = (words.next()?, words.next()?);
        let ring = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
        SUITES
            .contains(&suite)
            .then(|| Source { uri: uri.to_owned(), signed_by: ring.map(str::to_owned) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_archives_are_passed_over() {
        let text = "deb [signed-by=/a.gpg] https://tools.invalid/apt tools main\n\
                    deb [arch=amd64 signed-by=/k.gpg] http://mirror.invalid/debian bookworm main\n";
        let source = from_lines(text).expect("the second line is Debian's");
        assert_eq!(
            source_lines(&source, "trixie", Wanted::Packages),
            "deb [signed-by=/k.gpg] http://mirror.invalid/debian trixie main\n"
        );
        let both = source_lines(&source, "trixie", Wanted::PackagesAndSources);
        assert!(
            both.ends_with(
                "\ndeb-src [signed-by=/k.gpg] http://mirror.invalid/debian trixie main\n"
            )
        );
    }

    #[test]
    fn stanzas_may_hold_comments_and_several_suites() {
        let text = "Types: deb\nURIs: http://tools.invalid\nSuites: nodistro\n\n\
                    Types: deb deb-src\n# an old mirror\nURIs: http://mirror.invalid/debian\n\
                    Suites: bookworm bookworm-updates\nSigned-By: /k.gpg\n";
        let source = from_stanzas(text).expect("the second stanza is Debian's");
        assert_eq!(source.uri, "http://mirror.invalid/debian");
        assert_eq!(source.signed_by.as_deref(), Some("/k.gpg"));
    }
}
