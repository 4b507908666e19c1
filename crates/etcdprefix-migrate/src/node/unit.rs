//! The timer as a unit of systemd: started again if it is killed, and after a reboot of the host.
//!
//! The files are put into place by ourselves, so that a systemd that doesn't answer at the moment finds
//! them after a reboot, and whoever disarms the timer needs nobody to remove them.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::NodeError;
use crate::node::process::{Machine, ask};
use crate::node::state::{Kept, State};
use crate::node::{Launcher, STATE, disk};

const FOLDER: &str = "/etc/systemd/system";
const TARGET: &str = "multi-user.target";
/// For a word to systemd that nobody depends on.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// What lies in systemd's folder, in the order in which it goes.
#[derive(Serialize, Deserialize)]
struct Files {
    files: Vec<PathBuf>,
}

/// Whether it is what runs this host.
pub(crate) fn is_systemd(machine: &Machine) -> bool {
    machine.path(Path::new("/run/systemd/system")).is_dir()
}

/// Puts the unit into place, for this start of the host and the next, and tells its name.
pub(crate) fn install(
    state: &State,
    launcher: &Launcher,
    machine: &Machine,
) -> Result<String, String> {
    if !is_systemd(machine) {
        return Err("no systemd".into());
    }
    if !launcher.program.is_file() {
        return Err(format!("{} is gone", launcher.program.display()));
    }
    let name = name(state);
    let folder = machine.path(Path::new(FOLDER));
    let wants = folder.join(format!("{TARGET}.wants"));
    let (unit, link) = (folder.join(&name), wants.join(&name));
    let files = Files { files: vec![link.clone(), unit.clone()] };
    // Before the first of them is there.
    state.write(Kept::Unit, &files).map_err(|error| error.message)?;
    let text = text(&launcher.words("timer", state.dir()), state.dir());
    let failed = |error: io::Error| format!("{}: {error}", unit.display());
    DirBuilder::new().recursive(true).mode(0o755).create(&wants).map_err(failed)?;
    disk::write_whole(&unit, text.as_bytes()).map_err(failed)?;
    fs::set_permissions(&unit, Permissions::from_mode(0o644)).map_err(failed)?;
    if !disk::exists(&link).map_err(failed)? {
        symlink(Path::new("..").join(&name), &link).map_err(failed)?;
    }
    disk::sync_folder(&wants).map_err(failed)?;
    Ok(name)
}

/// Starts it, as far as systemd answers before `end`.
pub(crate) fn start(machine: &Machine, name: &str, end: Instant) -> Result<(), String> {
    let program = machine.program("systemctl").ok_or("no systemctl")?;
    let left = || end.saturating_duration_since(Instant::now());
    ask(&program, &["daemon-reload"], left())?;
    ask(&program, &["start", name], left()).map(|_| ())
}

/// One that can't be started must not be tried for ever.
pub(crate) fn stop(machine: &Machine, name: &str) {
    let program = machine.program("systemctl");
    let _ = program.map(|program| ask(&program, &["stop", name], STOP_LIMIT));
}

/// The process ends by itself when there is nothing left to wake. What can't be removed starts a process
/// that finds so, and ends.
pub(crate) fn remove(state: &State) -> Result<(), NodeError> {
    let Some(Files { files }) = state.read(Kept::Unit)? else { return Ok(()) };
    for file in &files {
        disk::remove(file).map_err(NodeError::io("remove", file))?;
    }
    state.remove(Kept::Unit).map(|_| ())
}

/// `etcdprefix-timer.service`, and another for a folder of one's own.
fn name(state: &State) -> String {
    let dir = state.dir().display().to_string();
    match dir == STATE {
        true => "etcdprefix-timer.service".into(),
        false => format!("etcdprefix-timer-{}.service", &disk::sha256(dir.as_bytes())[..8]),
    }
}

/// A signal that somebody sent is no reason to stay away; an end of its own is.
fn text(words: &[String], state: &Path) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    let state = quoted(&state.display().to_string());
    format!(
        "# Written by etcdprefix, which removes it.\n\
         [Unit]\n\
         Description=Wakes the control plane of this host if its migration is not heard of\n\
         RequiresMountsFor={state}\n\n\
         [Service]\n\
         ExecStart={}\n\
         Restart=on-failure\n\
         RestartSec=5\n\
         RestartForceExitStatus=SIGTERM SIGINT SIGHUP SIGPIPE\n\
         OOMScoreAdjust=-900\n\n\
         [Install]\n\
         WantedBy={TARGET}\n",
        words.join(" ")
    )
}

/// As systemd reads a word: `%` and `$` would stand for something else.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-=:,@+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    let mut quoted = String::from("\"");
    for letter in word.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '%' | '$' => quoted.extend([letter, letter]),
            '\n' => quoted.push_str("\\n"),
            letter => quoted.push(letter),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::fixture::{Fixture, context};

    #[test]
    fn words_are_quoted_as_systemd_reads_them() {
        assert_eq!(quoted("/opt/etcdprefix-1.0"), "/opt/etcdprefix-1.0");
        assert_eq!(quoted("a b\"c\\%d $e"), r#""a b\"c\\%%d $$e""#);
        assert_eq!(quoted(""), "\"\"");
    }

    #[test]
    fn what_was_put_into_place_goes_again() {
        let host = Fixture::with_control_plane();
        let context = context(&host);
        let install = || install(&host.state(), &context.launcher, &context.machine);
        assert!(install().unwrap_err().contains("no systemd"));
        fs::create_dir_all(host.path("/run/systemd/system")).unwrap();
        let name = install().unwrap();
        assert_eq!(install().unwrap(), name);
        let unit = host.path("/etc/systemd/system").join(&name);
        let link = host.path("/etc/systemd/system/multi-user.target.wants").join(&name);
        assert_eq!(link.canonicalize().unwrap(), unit.canonicalize().unwrap());
        let text = fs::read_to_string(&unit).unwrap();
        assert!(text.contains("ExecStart=/bin/false timer --state /"), "{text}");
        assert!(text.contains("Restart=on-failure"), "{text}");
        assert_eq!(fs::metadata(&unit).unwrap().permissions().mode() & 0o777, 0o644);
        remove(&host.state()).unwrap();
        remove(&host.state()).unwrap();
        assert!(!unit.exists() && fs::symlink_metadata(&link).is_err());
        assert!(!host.path("/state/unit.json").exists());
    }
}
