//! The stores' official SDKs for Python, by the test kit's `store_client.py`.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::contenders::Step;
use super::servers::{BUCKET, KEY_ID, KEY_SECRET, Server};
use crate::paths;

/// A provisioned Python that has them.
pub fn python() -> Result<PathBuf> {
    Ok(paths::cache()?.join("store-sdks-1.4.1/python"))
}

/// One of them, and the server that it talks to.
pub struct Sdk<'a> {
    pub kind: &'static str,
    pub server: &'a Server,
    pub python: PathBuf,
    pub client: PathBuf,
}

impl<'a> Sdk<'a> {
    /// `kind` is oss or s3.
    pub fn new(root: &Path, kind: &'static str, server: &'a Server) -> Result<Self> {
        let client = root.join("crates/etcdprefix-testkit/tools/store_client.py");
        Ok(Self { kind, server, python: python()?, client })
    }

    /// What the client's head says that it does.
    pub fn step(&self, verb: &str, key: &str) -> Step {
        let Server { endpoint, region, .. } = self.server;
        let words = format!("{} {endpoint} {region} {BUCKET} {verb} {key}", self.kind);
        let step = Step::new(&self.python).file(&self.client).words(&words);
        step.env("KEY_ID", KEY_ID).env("KEY_SECRET", KEY_SECRET)
    }
}
