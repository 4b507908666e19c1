//! One etcd process: how it is started, when it serves, who may ask it.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use etcd_client::{Client, ConnectOptions, StatusResponse};
use tempfile::TempDir;

use crate::process::{Process, last_lines};
use crate::{Version, block_on};

/// Long enough for three on a loaded two-core machine; a healthy start takes about a second.
pub const START_LIMIT: Duration = Duration::from_secs(120);

/// A stopped process takes connections but never answers.
const STATUS_LIMIT: Duration = Duration::from_secs(2);

/// What a process is told that differs between members.
pub struct Launch<'a> {
    pub version: Version,
    pub name: &'a str,
    /// Where the fixtures' clients reach it, without TLS.
    pub plain: &'a str,
    /// Where the clients under test reach it; the same as `plain` in a cluster without TLS.
    pub advertised: &'a str,
    pub peer: &'a str,
    /// `--initial-cluster`.
    pub initial: &'a str,
    pub flags: Vec<String>,
}

/// A process and its folder.
pub struct Member {
    pub version: Version,
    // Dropped before the folder that it writes to.
    pub process: Process,
    /// Where the fixtures' clients reach it, without TLS.
    pub plain: String,
    pub folder: TempDir,
}

/// How a start ended.
pub enum Started {
    Serving,
    PortTaken,
}

impl Member {
    /// Starts the process on what the folder holds.
    pub fn spawn(folder: TempDir, launch: &Launch<'_>) -> Result<Self> {
        let version = launch.version;
        let log = File::create(folder.path().join("log"))?;
        let mut command = Command::new(version.etcd()?);
        command.arg("--data-dir").arg(folder.path().join("data")).args(launch.arguments());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("cannot start etcd {version}"))?;
        Ok(Self { version, process: Process(child), plain: launch.plain.into(), folder })
    }

    /// Waits until it has a leader and `ready` agrees.
    pub fn settle(&mut self, ready: impl Fn(&StatusResponse) -> bool) -> Result<Started> {
        let start = Instant::now();
        while start.elapsed() < START_LIMIT {
            if let Some(status) = self.process.0.try_wait()? {
                let log = self.log();
                if log.contains("address already in use") {
                    return Ok(Started::PortTaken);
                }
                bail!("etcd {} ended with {status}:\n{log}", self.version);
            }
            if block_on(self.status()).is_some_and(|it| it.leader() != 0 && ready(&it)) {
                return Ok(Started::Serving);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("etcd {} is not healthy after {START_LIMIT:?}:\n{}", self.version, self.log())
    }

    /// `None` if it doesn't answer soon.
    pub async fn status(&self) -> Option<StatusResponse> {
        let asked = async { self.client(None).await?.status().await.context("no status") };
        tokio::time::timeout(STATUS_LIMIT, asked).await.ok()?.ok()
    }

    /// A client, authenticated if a user and password are given.
    pub async fn client(&self, user: Option<(&str, &str)>) -> Result<Client> {
        connect(&self.plain, user).await
    }

    /// The database file that the server works on and holds a lock of.
    pub fn database(&self) -> PathBuf {
        self.folder.path().join("data/member/snap/db")
    }

    /// The end of the server's log, for a failure's message.
    pub fn log(&self) -> String {
        last_lines(&self.folder.path().join("log"))
    }
}

impl Launch<'_> {
    fn arguments(&self) -> Vec<String> {
        let mut listened = vec![self.advertised];
        if self.plain != self.advertised {
            listened.push(self.plain);
        }
        let mut arguments: Vec<String> = [
            ("--name", self.name),
            ("--listen-client-urls", &listened.join(",")),
            ("--advertise-client-urls", self.advertised),
            ("--listen-peer-urls", self.peer),
            ("--initial-advertise-peer-urls", self.peer),
            ("--initial-cluster", self.initial),
            ("--logger", "zap"),
        ]
        .into_iter()
        .flat_map(|(flag, value)| [flag.to_owned(), value.to_owned()])
        .collect();
        if self.version > Version::V3_4_23 {
            arguments.push("--unsafe-no-fsync".into());
        }
        arguments.extend(self.flags.iter().cloned());
        arguments
    }
}

/// A client of a server without TLS, authenticated if a user and password are given.
pub async fn connect(url: &str, user: Option<(&str, &str)>) -> Result<Client> {
    let mut options = ConnectOptions::new()
        .with_connect_timeout(Duration::from_secs(5))
        .with_timeout(Duration::from_secs(60));
    if let Some((name, password)) = user {
        options = options.with_user(name, password);
    }
    Ok(Client::connect([url], Some(options)).await?)
}
