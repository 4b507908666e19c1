//! The kube-apiserver's process: on loopback, a free port, a private folder, ended on drop.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::{Credentials, Kubectl, Provider};
use crate::process::{LOOPBACK, PORT_TRIES, Process, free_ports, last_lines};
use crate::{EtcdServer, provisioned};

/// A healthy start takes about five seconds on two idle cores.
const START_LIMIT: Duration = Duration::from_secs(120);

/// An address for documentation: the apiserver publishes it, nobody connects to it, and without
/// one it would look for a network that a test machine may not have.
const ADVERTISED: &str = "192.0.2.1";

/// How a server is started.
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a> {
    /// `--etcd-prefix`.
    pub prefix: &'a str,
    /// How Secrets are written.
    pub secrets: Provider,
    /// More flags.
    pub flags: &'a [&'a str],
}

/// What a start waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Await {
    /// `/readyz`: every informer has read its objects.
    Ready,
    /// All that `/readyz` asks for but informers.
    ReadyWithoutInformers,
}

impl Await {
    fn path(self) -> &'static str {
        match self {
            Self::Ready => "/readyz",
            Self::ReadyWithoutInformers => "/readyz?exclude=informer-sync",
        }
    }
}

/// A running kube-apiserver. It can't outlive its etcd.
pub struct Apiserver<'etcd> {
    // Dropped before the folder that it writes to.
    process: Process,
    kubectl: Kubectl,
    folder: TempDir,
    _etcd: &'etcd EtcdServer,
}

impl<'etcd> Apiserver<'etcd> {
    /// Starts a server on `etcd` and waits for it.
    pub fn start(
        etcd: &'etcd EtcdServer,
        credentials: &Credentials,
        setup: Setup<'_>,
        awaited: Await,
    ) -> Result<Self> {
        for _ in 0..PORT_TRIES {
            let server = Self::spawn(etcd, credentials, setup)?;
            if let Some(server) = server.settled(awaited)? {
                return Ok(server);
            }
        }
        bail!("no free port in {PORT_TRIES} tries")
    }

    fn spawn(etcd: &'etcd EtcdServer, credentials: &Credentials, setup: Setup<'_>) -> Result<Self> {
        let port = free_ports(LOOPBACK, 1)?[0];
        let folder = TempDir::new()?;
        let log = File::create(folder.path().join("log"))?;
        let encryption = folder.path().join("encryption.json");
        fs::write(&encryption, setup.secrets.configuration())?;
        let mut command = Command::new(provisioned::kubernetes("kube-apiserver")?);
        let paths = [
            ("--cert-dir", credentials.certificates()),
            ("--token-auth-file", &credentials.tokens()),
            ("--service-account-signing-key-file", &credentials.key()),
            ("--service-account-key-file", &credentials.key()),
            ("--encryption-provider-config", &encryption),
        ];
        for (flag, path) in paths {
            command.arg(flag).arg(path);
        }
        for (flag, value) in [
            ("--etcd-servers", etcd.url()),
            ("--etcd-prefix", setup.prefix),
            ("--bind-address", "127.0.0.1"),
            ("--secure-port", &port.to_string()),
            ("--advertise-address", ADVERTISED),
            ("--service-cluster-ip-range", "10.96.0.0/16"),
            ("--service-account-issuer", "https://kubernetes.default.svc"),
            ("--authorization-mode", "RBAC"),
            // It waits for tokens that only the controller manager makes.
            ("--disable-admission-plugins", "ServiceAccount"),
        ] {
            command.args([flag, value]);
        }
        command.args(setup.flags).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().context("cannot start kube-apiserver")?;
        let kubectl = Kubectl::new(port, credentials)?;
        Ok(Self { process: Process(child), kubectl, folder, _etcd: etcd })
    }

    /// `None` if another process took the port.
    fn settled(mut self, awaited: Await) -> Result<Option<Self>> {
        let path = awaited.path();
        let start = Instant::now();
        while start.elapsed() < START_LIMIT {
            if let Some(status) = self.process.0.try_wait()? {
                let log = self.log();
                if log.contains("address already in use") {
                    return Ok(None);
                }
                bail!("kube-apiserver ended with {status}:\n{log}");
            }
            if self.kubectl.answers(path)? {
                return Ok(Some(self));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        bail!("kube-apiserver's {path} is not ok after {START_LIMIT:?}:\n{}", self.log())
    }

    /// The client of this server.
    pub fn kubectl(&self) -> &Kubectl {
        &self.kubectl
    }

    /// The end of the server's log, for a failure's message.
    pub fn log(&self) -> String {
        last_lines(&self.folder.path().join("log"))
    }
}
