//! Hosts by the system's OpenSSH: its agent, its configuration, its known hosts.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use openssh::{ControlPersist, KnownHosts, Session, SessionBuilder, Stdio};
use tempfile::{NamedTempFile, TempDir};
use tokio::sync::{Mutex, OnceCell};

use super::binary::{Binaries, sha256_of};
use super::pipe::exchange;
use super::{Host, HostError, Installed, Output, Work};
use crate::config::SshConfig;

/// Until a host is given up that doesn't answer.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);
/// How often a silent connection is asked whether it lives; three times without an answer end it.
const ALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// After the orchestrator's death its connections end by themselves.
const IDLE_SECONDS: NonZeroUsize = NonZeroUsize::new(60).unwrap();
/// Copying a binary over a slow line.
const INSTALL_LIMIT: Duration = Duration::from_secs(240);

/// Puts stdin at `$1/$2` if its SHA-256 is `$3`, in one rename.
const PLACE: &str = r#"set -e
umask 077
mkdir -p "$1"
tmp="$1/.$2.$$"
trap 'rm -f "$tmp"' EXIT
cat > "$tmp"
found=$(sha256sum "$tmp" | cut -d' ' -f1)
[ "$found" = "$3" ] || { echo "arrived with SHA-256 $found" >&2; exit 3; }
chmod 700 "$tmp"
mv -f "$tmp" "$1/$2"
"#;

/// Tells the kind of machine, and the SHA-256 of `$1/$2` for every name that follows, if it is there.
const LOOK: &str = r#"uname -m
dir="$1"; shift
for name in "$@"; do sha256sum "$dir/$name" 2>/dev/null || true; done
"#;

/// A host and the connection to it, which is made anew if it broke.
pub struct SshHost {
    destination: String,
    options: SshConfig,
    binaries: Binaries,
    folder: PathBuf,
    sockets: Arc<TempDir>,
    session: Mutex<Option<Arc<Session>>>,
    installed: OnceCell<Installed>,
}

impl SshHost {
    /// Connects to nothing yet. The binary goes to `bin` in `node_state`; control sockets lie in
    /// `sockets`.
    pub fn new(
        destination: &str,
        options: &SshConfig,
        binaries: Binaries,
        node_state: &Path,
        sockets: Arc<TempDir>,
    ) -> Self {
        Self {
            destination: destination.into(),
            options: options.clone(),
            binaries,
            folder: node_state.join("bin"),
            sockets,
            session: Mutex::new(None),
            installed: OnceCell::new(),
        }
    }

    /// The connection, and whether it is an old one.
    async fn session(&self) -> Result<(Arc<Session>, bool), HostError> {
        let mut session = self.session.lock().await;
        if let Some(session) = session.as_ref() {
            return Ok((Arc::clone(session), true));
        }
        let connected =
            self.builder()?.connect(&self.destination).await.map_err(|e| of_connect(&e));
        let connected = Arc::new(connected?);
        *session = Some(Arc::clone(&connected));
        Ok((connected, false))
    }

    fn builder(&self) -> Result<SessionBuilder, HostError> {
        let mut builder = SessionBuilder::default();
        builder
            .known_hosts_check(KnownHosts::Strict)
            .connect_timeout(CONNECT_LIMIT)
            .server_alive_interval(ALIVE_INTERVAL)
            .control_directory(self.sockets.path())
            .control_persist(ControlPersist::IdleFor(IDLE_SECONDS));
        builder.config_file(self.configuration()?);
        if let Some(identity) = &self.options.identity {
            builder.keyfile(identity);
        }
        if !self.options.jump.is_empty() {
            builder.jump_hosts(&self.options.jump);
        }
        Ok(builder)
    }

    /// The user's configuration with two settings before it, which so hold for every host that is jumped
    /// over as well: ssh passes no other way on to them.
    fn configuration(&self) -> Result<PathBuf, HostError> {
        let home = std::env::home_dir().unwrap_or_default().join(".ssh/config");
        let system = Path::new("/etc/ssh/ssh_config");
        let theirs = self.options.config.as_deref().map_or(vec![&*home, system], |own| vec![own]);
        let path = self.sockets.path().join("config");
        let mut text = String::from("Host *\n  StrictHostKeyChecking yes\n  BatchMode yes\n");
        for file in theirs {
            // Relative to where it was said, as ssh -F has it.
            let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
            text.push_str(&format!("Include \"{}\"\n", file.display()));
        }
        // In one rename: another host's connection may read it just now.
        let written = NamedTempFile::new_in(self.sockets.path()).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            Ok(file.persist(&path)?)
        });
        let why = |error| HostError::Binary(format!("cannot write {}: {error}", path.display()));
        written.map_err(why)?;
        Ok(path)
    }

    /// Runs a program there, as root if that is asked for. What is asked for may be asked for twice, so
    /// a connection that has ended while nobody used it is made anew.
    async fn remote(&self, words: &[&str], input: &[u8]) -> Result<Output, HostError> {
        let (session, is_old) = self.session().await?;
        match self.remote_over(&session, words, input).await {
            Err(HostError::Unreachable(_)) if is_old && self.session.lock().await.is_none() => {
                let (session, _) = self.session().await?;
                self.remote_over(&session, words, input).await
            }
            outcome => outcome,
        }
    }

    async fn remote_over(
        &self,
        session: &Session,
        words: &[&str],
        input: &[u8],
    ) -> Result<Output, HostError> {
        let sudo: &[&str] = if self.options.becomes_root { &["sudo", "-n", "--"] } else { &[] };
        let mut words = sudo.iter().chain(words);
        let mut command = session.command(*words.next().unwrap_or(&"true"));
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = match command.spawn().await {
            Ok(child) => child,
            Err(error) => return Err(self.broken(session, &error, "").await),
        };
        let (stdin, stdout, stderr) =
            (child.stdin().take(), child.stdout().take(), child.stderr().take());
        let (stdout, stderr) = exchange(stdin, stdout, stderr, input).await?;
        match child.wait().await {
            // Of ssh itself: what a signal ends on the host has a code here.
            Ok(status) if status.code().is_none() => {
                Err(HostError::Unreachable(format!("ssh was ended by a signal: {stderr}")))
            }
            Ok(status) => self.judged(Output { code: status.code(), stdout, stderr }),
            Err(error) => Err(self.broken(session, &error, &stderr).await),
        }
    }

    fn judged(&self, output: Output) -> Result<Output, HostError> {
        let no_sudo = self.options.becomes_root
            && output.code == Some(1)
            && ["password is required", "not allowed", "not in the sudoers"]
                .iter()
                .any(|refusal| output.stderr.contains(refusal));
        if no_sudo {
            let why = format!("sudo -n does not let us: {}", output.stderr);
            return Err(HostError::Refused(why));
        }
        Ok(output)
    }

    /// A connection that is gone is made anew next time.
    async fn broken(&self, session: &Session, error: &openssh::Error, stderr: &str) -> HostError {
        if let openssh::Error::Remote(_) = error {
            return HostError::Binary(format!("{error}: {stderr}"));
        }
        let gone = session.check().await.is_err();
        if gone {
            self.session.lock().await.take();
        }
        let why = if stderr.is_empty() { error.to_string() } else { format!("{error}: {stderr}") };
        HostError::Unreachable(why)
    }

    async fn place(&self) -> Result<Installed, HostError> {
        let folder = self.folder.display().to_string();
        let own = std::env::consts::ARCH;
        let guess = self.binaries.for_arch(own).ok().map(sha256_of).transpose()?;
        let name = |sha256: &str| format!("etcdprefix-{}", &sha256[..16]);
        let guessed = guess.as_deref().map(name).unwrap_or_default();
        let look = ["sh", "-c", LOOK, "sh", &folder, &guessed];
        let seen = text(self.remote(&look, b"").await?)?;
        let arch = seen.lines().next().unwrap_or_default().trim().to_owned();
        let binary = self.binaries.for_arch(&arch)?.to_owned();
        let sha256 = match guess {
            Some(sha256) if arch == own => sha256,
            _ => sha256_of(&binary)?,
        };
        let (path, name) = (format!("{folder}/{}", name(&sha256)), name(&sha256));
        let copied = !seen.contains(&sha256);
        if copied {
            let bytes = tokio::fs::read(&binary).await;
            let bytes = bytes.map_err(|error| {
                HostError::Binary(format!("cannot read {}: {error}", binary.display()))
            })?;
            text(self.remote(&["sh", "-c", PLACE, "sh", &folder, &name, &sha256], &bytes).await?)?;
        }
        let ran = self.remote(&[&path, "--version"], b"").await?;
        if ran.code != Some(0) {
            let why = format!("{path} does not run there: {}; try: a static binary", ran.stderr);
            return Err(HostError::Binary(why));
        }
        Ok(Installed { path, sha256, copied })
    }

    async fn installed(&self) -> Result<&Installed, HostError> {
        self.installed.get_or_try_init(|| self.place()).await
    }
}

impl Host for SshHost {
    fn name(&self) -> &str {
        &self.destination
    }

    fn install(&self) -> BoxFuture<'_, Result<Installed, HostError>> {
        async move {
            let placed = tokio::time::timeout(INSTALL_LIMIT, self.installed()).await;
            placed.unwrap_or(Err(HostError::OutOfTime(INSTALL_LIMIT))).cloned()
        }
        .boxed()
    }

    fn run<'a>(&'a self, work: &'a Work) -> BoxFuture<'a, Result<Output, HostError>> {
        async move {
            let path = self.install().await?.path;
            let words = [path.as_str()].into_iter().chain(work.args.iter().map(String::as_str));
            let words: Vec<&str> = words.collect();
            let ended = tokio::time::timeout(work.limit, self.remote(&words, &work.stdin)).await;
            ended.unwrap_or(Err(HostError::OutOfTime(work.limit)))
        }
        .boxed()
    }
}

/// The text of a script that must have ended well.
fn text(output: Output) -> Result<String, HostError> {
    match output.code {
        Some(0) => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        _ => Err(HostError::Binary(format!("cannot put the binary there: {}", output.stderr))),
    }
}

/// Of a connection that was never there. Names and keys are wrong until somebody mends them.
fn of_connect(error: &openssh::Error) -> HostError {
    let why = with_sources(error);
    let refusals = ["Host key verification failed", "Permission denied", "REMOTE HOST"];
    if refusals.iter().any(|refusal| why.contains(refusal)) {
        return HostError::Refused(why);
    }
    HostError::Unreachable(why)
}

fn with_sources(error: &openssh::Error) -> String {
    let mut why = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        why.push_str(&format!(": {error}"));
        source = error.source();
    }
    why
}
