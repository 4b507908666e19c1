//! The objects that the API servers' stand-ins serve, and such a server where the test is.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use super::init::python;
use super::{pki, until};
use crate::certs::{Authority, Subject};
use crate::process::{LOOPBACK, Process, free_ports, last_lines};

/// Objects, one file for each list or single object.
#[derive(Clone, Debug)]
pub struct Api {
    folder: PathBuf,
}

impl Api {
    pub(super) fn new(folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        Ok(Self { folder })
    }

    /// What GET of a path such as `/api/v1/nodes` answers with; of a list, the items have paths of
    /// their own by their names.
    pub fn set(&self, path: &str, value: &Value) -> Result<()> {
        let file = self.file(path);
        fs::create_dir_all(file.parent().context("a path without a folder")?)?;
        let fresh = file.with_extension("fresh");
        fs::write(&fresh, value.to_string())?;
        Ok(fs::rename(fresh, file)?)
    }

    /// What there is now.
    pub fn get(&self, path: &str) -> Result<Value> {
        Ok(serde_json::from_slice(&fs::read(self.file(path))?)?)
    }

    /// Takes this token in the place of a client's certificate.
    pub fn set_token(&self, token: &str) -> Result<()> {
        Ok(fs::write(self.folder.join("token"), token)?)
    }

    /// The requests that changed something, as `DELETE /api/v1/nodes/m1`, in their order.
    pub fn requests(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.join("requests")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn file(&self, path: &str) -> PathBuf {
        self.folder.join(format!("{}.json", path.trim_start_matches('/')))
    }
}

/// A stand-in of an API server that is on no host, as a managed one is. Ended on drop.
pub struct ApiServer {
    _process: Process,
    api: Api,
    authority: Authority,
    url: String,
    folder: TempDir,
}

impl ApiServer {
    /// With an authority of its own, on loopback.
    pub fn start() -> Result<Self> {
        Self::start_at(LOOPBACK)
    }

    /// The same at an address of this machine, such as the one that test hosts reach.
    pub fn start_at(host: IpAddr) -> Result<Self> {
        let (folder, authority) = (TempDir::new()?, Authority::new()?);
        let api = Api::new(folder.path().join("api"))?;
        let names = [&host.to_string(), "kubernetes"];
        let server = authority.issue(Subject { names: &names, ..Subject::client("apiserver") })?;
        let address = SocketAddr::new(host, free_ports(host, 1)?[0]);
        let log = folder.path().join("log");
        let mut command = Command::new(python()?);
        command.args(["-B", concat!(env!("CARGO_MANIFEST_DIR"), "/tools/hosts/kube-apiserver.py")]);
        command
            .arg(format!("--bind-address={host}"))
            .arg(format!("--secure-port={}", address.port()));
        command.arg(flag("--tls-cert-file", server.certificate()));
        command.arg(flag("--tls-private-key-file", server.key()));
        command.arg(flag("--client-ca-file", authority.certificate()));
        command.env("STAND_IN_API", &api.folder).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(fs::File::create(&log)?);
        let mut process = Process(command.spawn().context("cannot start python")?);
        until("no API server", || {
            let ended = process.0.try_wait()?;
            ensure!(ended.is_none(), "the API server's stand-in ended:\n{}", last_lines(&log));
            Ok(TcpStream::connect(address).is_ok())
        })?;
        let url = format!("https://{address}");
        Ok(Self { _process: process, api, authority, url, folder })
    }

    /// `https://host:port`
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its objects.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// The authority of its certificate and of its clients'.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The file of somebody who may everything.
    pub fn kubeconfig(&self) -> Result<PathBuf> {
        let file = self.folder.path().join("kubeconfig");
        fs::write(&file, pki::kubeconfig(&self.authority, &self.url)?)?;
        Ok(file)
    }
}

fn flag(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}
