//! A real etcd server of our own: on loopback, free ports, a private folder, ended on drop.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use etcd_client::Client;
use tempfile::TempDir;

use crate::Version;
use crate::member::{Launch, Member, Started};
use crate::process::{LOOPBACK, PORT_TRIES, free_ports};
use crate::tools::{self, RestoreOptions};

/// A running server.
pub struct EtcdServer {
    member: Member,
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
        for _ in 0..PORT_TRIES {
            let mut member = Self::spawn(version, folder, arguments)?;
            match member.settle(|_| true)? {
                Started::Serving => return Ok(Self { member }),
                Started::PortTaken => folder = member.folder,
            }
        }
        bail!("no free port in {PORT_TRIES} tries")
    }

    fn spawn(version: Version, folder: TempDir, arguments: &[&str]) -> Result<Member> {
        let ports = free_ports(LOOPBACK, 2)?;
        let url = format!("http://{LOOPBACK}:{}", ports[0]);
        let peer = format!("http://{LOOPBACK}:{}", ports[1]);
        // One member needs no patience to elect itself.
        let patience = ["--heartbeat-interval", "50", "--election-timeout", "500"];
        let launch = Launch {
            version,
            // As `snapshot restore` names it.
            name: "default",
            plain: &url,
            advertised: &url,
            peer: &peer,
            initial: &format!("default={peer}"),
            flags: patience.iter().chain(arguments).map(|&flag| flag.to_owned()).collect(),
        };
        Member::spawn(folder, &launch)
    }

    /// A client of this server. Requests are bounded in time; streams are not, so bound their
    /// messages with [`crate::within`].
    pub async fn client(&self) -> Result<Client> {
        self.member.client(None).await
    }

    /// A client that has authenticated as `user`.
    pub async fn client_as(&self, user: &str, password: &str) -> Result<Client> {
        self.member.client(Some((user, password))).await
    }

    /// Where clients reach it.
    pub fn url(&self) -> &str {
        &self.member.plain
    }

    /// The database file that the server works on and holds a lock of.
    pub fn database(&self) -> PathBuf {
        self.member.database()
    }

    /// Ends the process, as a power failure would, and gives its folder; the database is at
    /// `data/member/snap/db`.
    pub fn kill(self) -> TempDir {
        let Member { process, folder, .. } = self.member;
        drop(process);
        folder
    }

    /// The version that serves.
    pub fn version(&self) -> Version {
        self.member.version
    }

    /// The end of the server's log, for a failure's message.
    pub fn log(&self) -> String {
        self.member.log()
    }
}
