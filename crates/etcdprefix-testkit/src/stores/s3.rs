//! SeaweedFS: a real S3 server, which checks signatures, checksums and rights.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Key, Sdk, settle};
use crate::certs::Identity;
use crate::process::{LOOPBACK, PORT_TRIES, Process, free_ports};
use crate::provisioned::seaweedfs;

/// A running server; ended on drop.
pub struct S3Server {
    // Ends before the folder goes.
    _process: Process,
    address: String,
    tls_address: String,
    key: Key,
    _folder: TempDir,
    /// Outside the folder.
    sockets: Vec<PathBuf>,
}

impl S3Server {
    /// The region that it takes itself to be in.
    pub const REGION: &str = "us-east-1";

    /// With an empty bucket, a key that may do everything, and further keys with rights as SeaweedFS
    /// names them, such as `Write:bucket`.
    pub fn start(others: &[(Key, &[&str])]) -> Result<Self> {
        Self::start_with(others, None)
    }

    /// The same, with this certificate at [`S3Server::tls_address`] too.
    pub fn start_with(others: &[(Key, &[&str])], tls: Option<&Identity>) -> Result<Self> {
        Self::start_at(LOOPBACK, others, tls)
    }

    /// The same at an address of this machine, such as the one that test hosts reach.
    pub fn start_at(
        host: IpAddr,
        others: &[(Key, &[&str])],
        tls: Option<&Identity>,
    ) -> Result<Self> {
        let mut error = None;
        for _ in 0..PORT_TRIES {
            match Self::launch(host, others, tls) {
                Ok(server) => return Ok(server),
                Err(why) => error = Some(why),
            }
        }
        Err(error.context("never tried")?)
    }

    fn launch(host: IpAddr, others: &[(Key, &[&str])], tls: Option<&Identity>) -> Result<Self> {
        let (folder, key) = (TempDir::new()?, Key::new("AKIAFULL", "full-s3cr3t-full"));
        let all: &[&str] = &["Admin", "Read", "Write", "List"];
        let users = others.iter().map(|(key, rights)| (key, *rights)).chain([(&key, all)]);
        let users: Vec<Value> = users.map(|(key, rights)| identity(key, rights)).collect();
        let config = folder.path().join("s3.json");
        fs::write(&config, json!({"identities": users}).to_string())?;
        let ports = free_ports(host, 9)?;
        let log = folder.path().join("log");
        let mut command = command(&folder, host, &ports)?;
        if let Some(tls) = tls {
            command.arg(format!("-s3.port.https={}", ports[8]));
            command.arg(format!("-s3.cert.file={}", tls.certificate().display()));
            command.arg(format!("-s3.key.file={}", tls.key().display()));
        }
        let mut process = Process(command.spawn().context("cannot start weed")?);
        let sockets = sockets(&ports);
        let [address, tls_address] =
            [6, 8].map(|port| SocketAddr::new(host, ports[port]).to_string());
        settle(&mut process, &log, |_| answers(&address).then_some(()))?;
        let this = Self { _process: process, address, tls_address, key, _folder: folder, sockets };
        this.sdk().run("make", &[])?;
        Ok(this)
    }

    /// `host:port`, without TLS.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// `host:port` with TLS, if it was started with a certificate.
    pub fn tls_address(&self) -> &str {
        &self.tls_address
    }

    /// The key that may do everything.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The official SDK with the key that may do everything.
    pub fn sdk(&self) -> Sdk {
        Sdk::new("s3", &format!("http://{}", self.address), Self::REGION, &self.key)
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        // Some there are only while it runs.
        self.sockets.iter().for_each(|socket| drop(fs::remove_file(socket)));
    }
}

/// Where SeaweedFS puts sockets whatever it is told, named by its ports for gRPC.
fn sockets(ports: &[u16]) -> Vec<PathBuf> {
    let named = ["master", "volume", "filer", "s3"].iter().zip(ports.chunks(2));
    named
        .map(|(name, pair)| format!("/tmp/seaweedfs-{name}-grpc-{}.sock", pair[1]).into())
        .collect()
}

fn identity(key: &Key, rights: &[&str]) -> Value {
    let credentials = json!([{"accessKey": key.id, "secretKey": key.secret}]);
    json!({"name": key.id, "credentials": credentials, "actions": rights})
}

/// Every port and folder is ours; by default it would also listen on fixed ports, leave sockets in
/// the system's folder for them, and report to its makers.
fn command(folder: &TempDir, host: IpAddr, ports: &[u16]) -> Result<Command> {
    let log = File::create(folder.path().join("log"))?;
    let data = folder.path().join("data");
    fs::create_dir(&data)?;
    let mut command = Command::new(seaweedfs()?);
    command.arg("server").arg(format!("-ip={host}")).arg(format!("-ip.bind={host}"));
    command.arg("-master.telemetry=false");
    command.args(["-filer", "-s3", "-s3.port.iceberg=0", "-s3.port.lance=0"]);
    command.args(["-master.volumeSizeLimitMB=1024", "-s3.autoCreateBucket=false"]);
    let names = ["master.port", "volume.port", "filer.port", "s3.port"];
    for (name, pair) in names.iter().zip(ports.chunks(2)) {
        command.arg(format!("-{name}={}", pair[0])).arg(format!("-{name}.grpc={}", pair[1]));
    }
    for name in ["filer.localSocket", "s3.localSocket"] {
        command.arg(format!("-{name}={}", folder.path().join(name).display()));
    }
    command.arg(format!("-dir={}", data.display()));
    command.arg(format!("-s3.config={}", folder.path().join("s3.json").display()));
    command.env("TMPDIR", folder.path()).current_dir(folder.path());
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Ok(command)
}

/// Whether it answers a request at all; without a signature it says no.
fn answers(address: &str) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        write!(stream, "GET / HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
        let mut begun = [0; 12];
        stream.read_exact(&mut begun)?;
        Ok(begun.starts_with(b"HTTP/1") && begun.ends_with(b"403"))
    };
    ask().unwrap_or(false)
}
