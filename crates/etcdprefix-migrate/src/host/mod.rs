//! How steps get to a host.

pub mod assistant;
mod binary;
mod local;
mod pipe;
mod ssh;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use zeroize::Zeroizing;

use crate::config::{Config, HostConfig};
use crate::error::{Error, Result};

use assistant::{Assistant, AssistantHost};
pub use binary::Binaries;
pub use local::LocalHost;
pub use ssh::SshHost;

/// A host on which the binary can be run. Knows nothing of migrations.
///
/// Dropping a future ends the wait, not what runs on the host.
pub trait Host: Send + Sync {
    /// For people and the journal; no two hosts of a migration share it.
    fn name(&self) -> &str;

    /// Makes sure that the right binary is on the host, and runs.
    fn install(&self) -> BoxFuture<'_, Result<Installed, HostError>>;

    /// Whether anything may have been run there by this process: if not, there is nothing to end.
    fn was_used(&self) -> bool {
        true
    }

    /// How much longer than over a connection of its own an answer may take on its way.
    fn detour(&self) -> Duration {
        Duration::ZERO
    }

    /// Waits until what nobody waits for any more is ended, as far as it was begun to be: for the end.
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Runs the binary with these arguments, and gives it `stdin`.
    fn run<'a>(&'a self, work: &'a Work) -> BoxFuture<'a, Result<Output, HostError>>;
}

/// One run of the binary.
pub struct Work {
    /// After the program's name.
    pub args: Vec<String>,
    /// May hold secrets: not to be logged.
    pub stdin: Zeroizing<Vec<u8>>,
    /// The longest time, connecting included.
    pub limit: Duration,
}

/// What a run ended with. Its stdout may hold secrets.
pub struct Output {
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// All of stdout.
    pub stdout: Zeroizing<Vec<u8>>,
    /// The end of stderr.
    pub stderr: String,
}

/// The binary on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Where.
    pub path: String,
    /// The SHA-256 of its file.
    pub sha256: String,
    /// Whether it had to be copied.
    pub copied: bool,
}

/// Why a host did not do what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// No connection, or it broke: what was begun may go on there.
    #[error("{0}")]
    Unreachable(String),
    /// The host is there and doesn't let us: unknown host key, login, sudo.
    #[error("{0}")]
    Refused(String),
    /// The limit is over: what was begun may go on there.
    #[error("no answer within {} s", .0.as_secs())]
    OutOfTime(Duration),
    /// The cloud's API refuses, whichever the host.
    #[error("{0}")]
    Cloud(String),
    /// The binary can't be there, or doesn't run.
    #[error("{0}")]
    Binary(String),
}

/// The hosts of a configuration, in its order. Connects to none yet.
///
/// # Errors
/// [`Error::Usage`] for a binary that is missing, [`Error::File`] if there is no place for sockets,
/// [`Error::Cloud`] without credentials for the cloud's API.
pub fn open(config: &Config) -> Result<Vec<Arc<dyn Host>>> {
    let own = std::env::current_exe().map_err(Error::file("find", "this program"))?;
    let given = &config.ssh.binaries;
    if let Some((arch, path)) = given.iter().find(|(_, path)| !path.is_file()) {
        return Err(Error::Usage(format!("no binary for {arch} at {}", path.display())));
    }
    let binaries = Binaries::new(given.clone(), own.clone());
    // The path of a socket has 108 bytes at most: not the user's folder, which may be long.
    let sockets = tempfile::Builder::new().prefix("etcdprefix-").tempdir_in("/tmp");
    let sockets = Arc::new(sockets.map_err(Error::file("make a folder in", "/tmp"))?);
    let assistant = match config.assistant.as_ref().filter(|_| config.has_instances()) {
        Some(assistant) => Some(Arc::new(Assistant::open(assistant, &own)?)),
        None => None,
    };
    let host = |host: &HostConfig| -> Result<Arc<dyn Host>> {
        Ok(match host {
            HostConfig::Local => Arc::new(LocalHost::new(own.clone())),
            HostConfig::Ssh(destination) => {
                let (binaries, sockets) = (binaries.clone(), Arc::clone(&sockets));
                let ssh =
                    SshHost::new(destination, &config.ssh, binaries, &config.node_state, sockets);
                Arc::new(ssh)
            }
            HostConfig::Instance(id) => {
                let missing = || Error::Usage("ecs: hosts, and no section `assistant`".into());
                let assistant = assistant.clone().ok_or_else(missing)?;
                Arc::new(AssistantHost::new(id, assistant, &config.node_state))
            }
        })
    };
    config.hosts.iter().map(host).collect()
}
