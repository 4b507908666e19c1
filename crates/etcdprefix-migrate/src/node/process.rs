//! Processes of the host, and programs that are asked with a time limit.

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::node::shell;

/// A process's name is cut after so many bytes by the kernel.
const COMM_BYTES: usize = 15;
const INTERPRETERS: [&str; 8] =
    ["sh", "bash", "dash", "ash", "python", "perl", "busybox", "hyperkube"];
const OUTPUT_LIMIT_BYTES: u64 = 16 << 20;

/// Where processes and programs are looked for.
#[derive(Clone, Debug)]
pub struct Machine {
    /// `/proc`.
    pub proc: PathBuf,
    /// Folders with programs.
    pub programs: Vec<PathBuf>,
    /// In front of the paths of sockets and of the kubelet's files; `/`.
    pub root: PathBuf,
}

impl Default for Machine {
    /// As this process sees it. Logins without a terminal often miss half of the folders.
    fn default() -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let usual =
            ["/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/opt/bin"];
        let programs = std::env::split_paths(&path).chain(usual.map(PathBuf::from)).collect();
        Self { proc: "/proc".into(), programs, root: "/".into() }
    }
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) comm: String,
    pub(crate) words: Vec<String>,
}

impl Process {
    /// Whether it is this program: by its name, or a script's.
    pub(crate) fn is(&self, program: &str) -> bool {
        let name = program.get(..COMM_BYTES).unwrap_or(program);
        let word = |at: usize| self.words.get(at).map(|word| shell::basename(word));
        let is_interpreter = |word: &str| {
            let plain = word.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
            INTERPRETERS.contains(&plain)
        };
        // A kernel name that was cut says nothing of what follows; the first word does.
        let by_name =
            self.comm == name && (name == program || word(0).is_none_or(|w| w == program));
        let by_script = word(0).is_some_and(is_interpreter) && word(1) == Some(program);
        by_name || word(0) == Some(program) || by_script
    }

    /// The last value of `--name=value` or `--name value`.
    pub(crate) fn flag(&self, name: &str) -> Option<&str> {
        let flag = format!("--{name}");
        let mut values = self.words.iter().enumerate().filter_map(|(at, word)| {
            let value = word.strip_prefix(&flag)?;
            match value.is_empty() {
                true => self.words.get(at + 1).map(String::as_str),
                false => value.strip_prefix('='),
            }
        });
        values.next_back()
    }
}

impl Machine {
    /// All processes that live; what ends meanwhile is left out.
    pub(crate) fn processes(&self) -> std::io::Result<Vec<Process>> {
        let entries = fs::read_dir(&self.proc)?;
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        Ok(pids.filter_map(|pid| self.process(pid)).collect())
    }

    fn process(&self, pid: u32) -> Option<Process> {
        let folder = self.proc.join(pid.to_string());
        let comm = fs::read(folder.join("comm")).ok()?;
        let comm = String::from_utf8_lossy(&comm).trim_end_matches('\n').to_owned();
        if is_dead(&folder) {
            return None;
        }
        let cmdline = fs::read(folder.join("cmdline")).unwrap_or_default();
        let words = cmdline.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word));
        let mut words: Vec<String> = words.map(|word| word.into_owned()).collect();
        // Every word ends with a zero, so that the last piece is none.
        words.pop();
        Some(Process { pid, comm, words })
    }

    /// The service of systemd's that a process belongs to, unless that runs containers.
    pub(crate) fn service_of(&self, process: &Process) -> Option<String> {
        let file = self.proc.join(process.pid.to_string()).join("cgroup");
        let groups = fs::read_to_string(file).ok()?;
        let is_container = ["kubepods", "docker", "containerd", "crio", "libpod", "kubelet"];
        if is_container.iter().any(|word| groups.contains(word)) {
            return None;
        }
        let parts = groups.lines().flat_map(|line| line.rsplit('/'));
        parts.map(str::to_owned).find(|part| part.ends_with(".service"))
    }

    pub(crate) fn program(&self, name: &str) -> Option<PathBuf> {
        self.programs.iter().map(|folder| folder.join(name)).find(|path| path.is_file())
    }

    pub(crate) fn path(&self, absolute: &Path) -> PathBuf {
        self.root.join(absolute.strip_prefix("/").unwrap_or(absolute))
    }
}

/// It ended, and its parent hasn't noticed: `12 (name) Z …`, where the name may hold anything.
fn is_dead(folder: &Path) -> bool {
    let stat = fs::read(folder.join("stat")).unwrap_or_default();
    let stat = String::from_utf8_lossy(&stat);
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    matches!(state, Some('Z' | 'X' | 'x'))
}

/// What programs on a host need of our environment. All else stays here: it may hold credentials.
const KEPT_VARIABLES: [&str; 16] = [
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "CONTAINER_RUNTIME_ENDPOINT",
    "IMAGE_SERVICE_ENDPOINT",
    "CRI_CONFIG_FILE",
    "CONTAINERD_ADDRESS",
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_CONFIG",
    "DOCKER_CERT_PATH",
    "DOCKER_TLS_VERIFY",
];

/// The variables that a program we start is given, and no others.
pub(crate) fn kept_variables() -> impl Iterator<Item = (&'static str, OsString)> {
    KEPT_VARIABLES.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)))
}

/// What a step needs beside to reach the store with the host's own credentials; none is a secret.
const STORE_VARIABLES: [&str; 21] = [
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "ALIBABA_CLOUD_CONFIG_FILE",
    "ALIBABA_CLOUD_CREDENTIALS_FILE",
    "ALIBABA_CLOUD_PROFILE",
    "OSS_CREDENTIAL_PROFILES_FILE",
    "OSS_PROFILE",
    "OSS_ENDPOINT",
    "OSS_REGION",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_PROFILE",
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
];

/// For a process of our own that does a step: the credentials of its call are in the call.
pub(crate) fn step_variables() -> impl Iterator<Item = (&'static str, OsString)> {
    let names = KEPT_VARIABLES.into_iter().chain(STORE_VARIABLES);
    names.filter_map(|name| Some((name, std::env::var_os(name)?)))
}

/// What a program printed; the end of its complaint if it failed, or took too long.
pub(crate) fn ask(program: &Path, args: &[&str], limit: Duration) -> Result<String, String> {
    let mut command = Command::new(program);
    command.env_clear().envs(kept_variables());
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let name = program.display();
    let mut child = command.spawn().map_err(|error| format!("cannot run {name}: {error}"))?;
    let begun = Instant::now();
    let (out, err) = streams(&mut child);
    let left = || limit.saturating_sub(begun.elapsed());
    let Some(ended) = wait(&mut child, limit) else {
        // What waits for a disk or a device dies when that answers, which nobody waits for.
        thread::spawn(move || child.wait());
        return Err(format!("{name} has not answered within {} s", limit.as_secs()));
    };
    let out = out.and_then(|out| out.recv_timeout(left().max(MOMENT)));
    match ended && out.is_ok() {
        true => Ok(out.unwrap_or_default()),
        false => {
            let err = err.and_then(|err| err.recv_timeout(MOMENT)).unwrap_or_default();
            Err(format!("{name} failed: {}", last_line(&err)))
        }
    }
}

/// For what an ended program has left in its pipes.
const MOMENT: Duration = Duration::from_secs(1);

type Text = Result<Receiver<String>, RecvTimeoutError>;

fn streams(child: &mut Child) -> (Text, Text) {
    let out = child.stdout.take().map(|out: ChildStdout| collect(out));
    let err = child.stderr.take().map(|err: ChildStderr| collect(err));
    let none = RecvTimeoutError::Disconnected;
    (out.ok_or(none), err.ok_or(none))
}

/// In a thread of its own: a program's child may hold the pipe open when it is long gone.
pub(crate) fn collect(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.take(OUTPUT_LIMIT_BYTES).read_to_end(&mut bytes);
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

/// Whether it ended well; `None` if it had to be killed.
fn wait(child: &mut Child, limit: Duration) -> Option<bool> {
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status.success()),
            Err(_) => return Some(false),
            Ok(None) if begun.elapsed() >= limit => break,
            Ok(None) => thread::sleep(Duration::from_millis(10)),
        }
    }
    let _ = child.kill();
    None
}

fn last_line(text: &str) -> &str {
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no word of why");
    let cut = line.char_indices().nth(300).map_or(line.len(), |(at, _)| at);
    &line[..cut]
}
