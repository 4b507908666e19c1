//! The stand-in for OSS: `tools/oss_server.py`, which checks signatures by Alibaba's own package.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{BUCKET, Key, Sdk, settle};
use crate::process::{LOOPBACK, Process};
use crate::provisioned::python;

/// A running server; ended on drop.
pub struct OssServer {
    _process: Process,
    address: String,
    config: std::sync::Mutex<Value>,
    folder: TempDir,
    key: Key,
}

impl OssServer {
    /// The region that it is in.
    pub const REGION: &str = "cn-hangzhou";

    /// With an empty bucket and one key that may do everything.
    pub fn start() -> Result<Self> {
        Self::start_at(LOOPBACK)
    }

    /// The same at an address of this machine, such as the one that test hosts reach.
    pub fn start_at(host: IpAddr) -> Result<Self> {
        let (folder, key) = (TempDir::new()?, Key::new("LTAIfull", "full-s3cr3t-full"));
        let config = json!({"region": Self::REGION, "bucket": BUCKET, "keys": {}, "address": host});
        let (path, log) = (folder.path().join("config.json"), folder.path().join("log"));
        fs::write(&path, config.to_string())?;
        let mut command = Command::new(python()?);
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tools/oss_server.py")).arg(&path);
        let out = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let mut process = Process(command.spawn().context("cannot start python")?);
        let port = settle(&mut process, &log, |log| {
            log.lines().find_map(|line| line.strip_prefix("port ")?.parse::<u16>().ok())
        })?;
        let address = SocketAddr::new(host, port).to_string();
        let config = std::sync::Mutex::new(config);
        let this = Self { _process: process, address, config, folder, key };
        this.allow(&this.key, &[])?;
        Ok(this)
    }

    /// `host:port`, without TLS.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The key that may do everything.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Makes a key known, which may do all but these operations (as OSS's API calls them).
    pub fn allow(&self, key: &Key, denied: &[&str]) -> Result<()> {
        let user = json!({"secret": key.secret, "token": key.token, "deny": denied});
        self.change(|config| config["keys"][&key.id] = user)
    }

    /// Turns away presigned requests without a Referer.
    pub fn protect_by_referer(&self) -> Result<()> {
        self.change(|config| config["referer"] = true.into())
    }

    /// Ignores the condition that there is no object, as a bucket that keeps versions does.
    pub fn keep_versions(&self) -> Result<()> {
        self.change(|config| config["versions"] = true.into())
    }

    /// Sets the server's clock ahead by so many seconds.
    pub fn skew(&self, seconds: i64) -> Result<()> {
        self.change(|config| config["skew"] = seconds.into())
    }

    /// How many keys a page of a listing has at most.
    pub fn page(&self, keys: usize) -> Result<()> {
        self.change(|config| config["page"] = keys.into())
    }

    /// How often each operation was asked for, and with which status it ended.
    pub fn log(&self) -> BTreeMap<(String, u16), usize> {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let mut counts = BTreeMap::new();
        for line in log.lines() {
            let (operation, status) = (line.split(' ').next(), line.rsplit(' ').next());
            if let (Some(operation), Some(Ok(status))) = (operation, status.map(str::parse)) {
                *counts.entry((operation.to_owned(), status)).or_default() += 1;
            }
        }
        counts
    }

    /// The official SDK with the key that may do everything.
    pub fn sdk(&self) -> Sdk {
        Sdk::new("oss", &format!("http://{}", self.address), Self::REGION, &self.key)
    }

    /// The server reads it anew for each request, so it is replaced in one step.
    fn change(&self, change: impl FnOnce(&mut Value)) -> Result<()> {
        let mut config = self.config.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        change(&mut config);
        let (fresh, path) =
            (self.folder.path().join("fresh.json"), self.folder.path().join("config.json"));
        fs::write(&fresh, config.to_string())?;
        Ok(fs::rename(fresh, path)?)
    }
}
