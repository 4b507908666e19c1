//! A real etcd server of our own: on loopback, free ports, a private folder, ended on drop.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use etcd_client::{Client, ConnectOptions};
use tempfile::TempDir;

use crate::process::{PORT_TRIES, Process, free_ports, last_lines};
use crate::tools::{self, RestoreOptions};
use crate::{Version, block_on};

/// Long enough for a loaded two-core machine; a healthy start takes about a second.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A running server.
pub struct EtcdServer {
    version: Version,
    // Dropped before the folder that it writes to.
    process: Process,
    url: String,
    folder: TempDir,
}

enum Attempt {
    Serving(EtcdServer),
    PortTaken(TempDir),
}

impl EtcdServer {
    /// Starts an empty server.
    pub fn start(version: Version, arguments: &[&str]) -> Result<Self> {
        Self::launch(version, TempDir::new()?, arguments)
    }

    /// Restores the snapshot with the tool of the same version, checking its hash, and serves it.
    pub fn restored(version: Version, snapshot: &Path) -> Result<Self> {
        Self::restored_with(version, snapshot, RestoreOptions::default())
    }

    /// As `restored`, with options for the restore.
    pub fn restored_with(
        version: Version,
        snapshot: &Path,
        options: RestoreOptions,
    ) -> Result<Self> {
        let folder = TempDir::new()?;
        tools::restore(version, snapshot, &folder.path().join("data"), options)?;
        Self::launch(version, folder, &[])
    }

    fn launch(version: Version, folder: TempDir, arguments: &[&str]) -> Result<Self> {
        let mut folder = folder;
        for _ in 1..PORT_TRIES {
            match Self::attempt(version, folder, arguments)? {
                Attempt::Serving(server) => return Ok(server),
                Attempt::PortTaken(back) => folder = back,
            }
        }
        match Self::attempt(version, folder, arguments)? {
            Attempt::Serving(server) => Ok(server),
            Attempt::PortTaken(_) => bail!("no free port in {PORT_TRIES} tries"),
        }
    }

    fn attempt(version: Version, folder: TempDir, arguments: &[&str]) -> Result<Attempt> {
        let (client, peer) = free_ports()?;
        let url = format!("http://127.0.0.1:{client}");
        let peer_url = format!("http://127.0.0.1:{peer}");
        let log = File::create(folder.path().join("log"))?;
        let mut command = Command::new(version.etcd()?);
        command.arg("--data-dir").arg(folder.path().join("data"));
        for (flag, value) in [
            ("--listen-client-urls", url.as_str()),
            ("--advertise-client-urls", &url),
            ("--listen-peer-urls", &peer_url),
            ("--initial-advertise-peer-urls", &peer_url),
            ("--initial-cluster", &format!("default={peer_url}")),
            // One member needs no patience to elect itself.
            ("--heartbeat-interval", "50"),
            ("--election-timeout", "500"),
            ("--logger", "zap"),
        ] {
            command.args([flag, value]);
        }
        if version > Version::V3_4_23 {
            command.arg("--unsafe-no-fsync");
        }
        command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("cannot start etcd {version}"))?;
        Self { version, process: Process(child), url, folder }.healthy()
    }

    fn healthy(mut self) -> Result<Attempt> {
        let start = Instant::now();
        while start.elapsed() < START_LIMIT {
            if let Some(status) = self.process.0.try_wait()? {
                let log = self.log();
                if log.contains("address already in use") {
                    return Ok(Attempt::PortTaken(self.folder));
                }
                bail!("etcd {} ended with {status}:\n{log}", self.version);
            }
            if block_on(self.serves()) {
                return Ok(Attempt::Serving(self));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("etcd {} is not healthy after {START_LIMIT:?}:\n{}", self.version, self.log())
    }

    async fn serves(&self) -> bool {
        let Ok(mut client) = self.client().await else {
            return false;
        };
        let limit = Duration::from_secs(2);
        let status = tokio::time::timeout(limit, client.status()).await;
        matches!(status, Ok(Ok(status)) if status.leader() != 0)
    }

    /// A client of this server. Requests are bounded in time; streams are not, so bound their
    /// messages with [`crate::within`].
    pub async fn client(&self) -> Result<Client> {
        Ok(Client::connect([&self.url], Some(bounded())).await?)
    }

    /// A client that has authenticated as `user`.
    pub async fn client_as(&self, user: &str, password: &str) -> Result<Client> {
        let options = bounded().with_user(user, password);
        Ok(Client::connect([&self.url], Some(options)).await?)
    }

    /// Where clients reach it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The database file that the server works on and holds a lock of.
    pub fn database(&self) -> PathBuf {
        self.folder.path().join("data/member/snap/db")
    }

    /// Ends the process, as a power failure would, and gives its folder; the database is at
    /// `data/member/snap/db`.
    pub fn kill(self) -> TempDir {
        let Self { process, folder, .. } = self;
        drop(process);
        folder
    }

    /// The version that serves.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The end of the server's log, for a failure's message.
    pub fn log(&self) -> String {
        last_lines(&self.folder.path().join("log"))
    }
}

fn bounded() -> ConnectOptions {
    ConnectOptions::new()
        .with_connect_timeout(Duration::from_secs(5))
        .with_timeout(Duration::from_secs(60))
}
