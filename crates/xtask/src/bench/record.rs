//! What a reader needs to judge the figures, and where a run is kept. It names no machine, user
//! or folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, bail};

use super::measure::Runs;
use super::snapshot::Source;
use super::{contenders, phases};
use crate::{paths, process, provision};

/// The file under benches/runs/ for today's run of that name.
pub fn free_place(root: &Path, name: &str) -> Result<PathBuf> {
    let folder = root.join("benches/runs");
    fs::create_dir_all(&folder)?;
    let place = folder.join(format!("{}-{name}.md", today()?));
    if place.exists() {
        bail!("there is a record of today already: move {} away", place.display());
    }
    Ok(place)
}

/// Prints a result, and keeps it if it has a place.
pub fn publish(root: &Path, text: &str, place: Option<&Path>) -> Result<()> {
    println!("\n{text}");
    if let Some(place) = place {
        fs::write(place, text)?;
        println!("written to {}", place.strip_prefix(root).unwrap_or(place).display());
    }
    Ok(())
}

/// Around the figures.
pub struct Facts<'a> {
    pub root: &'a Path,
    pub source: &'a Source,
    pub results: &'a [Runs<'a>],
    pub rounds: u64,
    /// Of the minute before the first run.
    pub load: String,
    /// Which took part, with their versions.
    pub programs: Vec<String>,
}

impl Facts<'_> {
    /// As a list in markdown.
    pub fn text(&self) -> Result<String> {
        let mut lines = vec![
            format!("date: {}; rounds: {}, interleaved", today()?, self.rounds),
            format!("snapshot: {}", self.snapshot()),
            format!("machine: {}; load average before: {}", machine(self.root)?, self.load),
            format!("programs: {}", self.programs.join("; ")),
            format!("commit: {}", commit(self.root)),
        ];
        let phases = phases::lines(self.results)?.into_iter();
        lines.extend(phases.map(|line| format!("phases in median seconds of {line}")));
        Ok(lines.iter().map(|line| format!("- {line}\n")).collect())
    }

    fn snapshot(&self) -> String {
        let outputs = self.results.iter().flat_map(|runs| &runs.samples);
        let report = outputs.map(|sample| &sample.stdout).find_map(|text| phases::report(text));
        let Source { name, bytes, origin, .. } = self.source;
        let holds = report.map_or(String::new(), |report| {
            format!("{} records, {} live keys, ", report["records"], report["live_keys"])
        });
        format!("{name}, {bytes} bytes, {holds}{origin}")
    }
}

/// A busy machine widens every spread; a reader should see that it was one.
pub fn load_average() -> Result<String> {
    let loads = fs::read_to_string("/proc/loadavg")?;
    Ok(loads.split_whitespace().next().unwrap_or_default().to_owned())
}

fn today() -> Result<String> {
    Ok(process::capture(Command::new("date").args(["--utc", "+%F"]))?.trim().to_owned())
}

fn machine(root: &Path) -> Result<String> {
    let processor = fs::read_to_string("/proc/cpuinfo")?;
    let memory = fs::read_to_string("/proc/meminfo")?;
    let kib: u64 = field(&memory, "MemTotal")
        .and_then(|total| total.strip_suffix(" kB")?.parse().ok())
        .context("/proc/meminfo tells no total")?;
    let model = field(&processor, "model name").unwrap_or("processor of unknown model");
    let flags = field(&processor, "flags").or(field(&processor, "Features")).unwrap_or_default();
    let hashes = flags.split(' ').any(|flag| flag == "sha_ni" || flag == "sha2");
    let cores = thread::available_parallelism()?;
    let folder = paths::target(root);
    let disk = process::capture(Command::new("df").arg("--output=fstype").arg(folder))?;
    Ok(format!(
        "{model} ({} SHA-256 instructions), {cores} cores, {:.1} GiB, {}, outputs on {}",
        if hashes { "with" } else { "without" },
        kib as f64 / f64::from(1 << 20),
        kernel()?,
        disk.lines().last().unwrap_or_default()
    ))
}

/// What follows the number is often the builder's own mark.
fn kernel() -> Result<String> {
    let full = process::capture(Command::new("uname").arg("-sr"))?;
    Ok(full.trim().split('-').next().unwrap_or_default().to_owned())
}

/// The value after `name   :` in the files of `/proc`.
fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, value) = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(found, _)| found.trim() == name)?;
    Some(value.trim())
}

/// Those that change or look at snapshots.
pub fn programs(root: &Path) -> Result<Vec<String>> {
    let mut all = vec![
        ours(root)?,
        first_line(Path::new("openssl"), "version")?,
        first_line(Path::new("cp"), "--version")?,
    ];
    let etcd = provision::status_programs()?.into_iter();
    all.extend(etcd.map(|program| format!("{} {}", program.name, program.version)));
    Ok(all)
}

/// The program that is measured, and by what it was built.
pub fn ours(root: &Path) -> Result<String> {
    let compiler = first_line(Path::new("rustc"), "--version")?;
    Ok(format!("{} by {compiler}", first_line(&contenders::program(root), "--version")?))
}

fn first_line(program: &Path, argument: &str) -> Result<String> {
    let said = process::capture(Command::new(program).arg(argument))?;
    Ok(said.lines().next().unwrap_or_default().trim().to_owned())
}

/// A tree without its history can be measured too.
fn commit(root: &Path) -> String {
    let git = |arguments: &[&str]| {
        process::capture(Command::new("git").args(arguments).current_dir(root)).ok()
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return "unknown".into();
    };
    let clean = git(&["status", "--porcelain"]).is_some_and(|changes| changes.trim().is_empty());
    format!("{}{}", commit.trim(), if clean { "" } else { ", with changes not committed" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "processor\t: 0\nmodel\t\t: 2\nmodel name\t: Fast One\nMemTotal:       8 kB\n";
        assert_eq!(field(text, "model name"), Some("Fast One"));
        assert_eq!(field(text, "MemTotal"), Some("8 kB"));
        assert_eq!(field(text, "flags"), None);
    }
}
