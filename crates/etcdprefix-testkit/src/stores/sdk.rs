//! The stores' official SDKs for Python, as independent readers and writers.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};
use tempfile::TempDir;

use super::{BUCKET, Key};
use crate::provisioned::python;

/// A client of one bucket.
pub struct Sdk {
    kind: &'static str,
    endpoint: String,
    region: &'static str,
    key: Key,
}

impl Sdk {
    pub(super) fn new(kind: &'static str, endpoint: &str, region: &'static str, key: &Key) -> Self {
        Self { kind, endpoint: endpoint.to_owned(), region, key: key.clone() }
    }

    /// An object's bytes.
    pub fn get(&self, key: &str) -> Result<Vec<u8>> {
        let folder = TempDir::new()?;
        let file = folder.path().join("object");
        self.run("get", &[key, &file.to_string_lossy()])?;
        Ok(fs::read(file)?)
    }

    /// Writes an object.
    pub fn put(&self, key: &str, bytes: &[u8]) -> Result<()> {
        let folder = TempDir::new()?;
        let file = folder.path().join("object");
        fs::write(&file, bytes)?;
        self.run("put", &[key, &file.to_string_lossy()]).map(drop)
    }

    /// S3: ids of uploads in parts to this key that have not ended.
    pub fn uploads(&self, key: &str) -> Result<Vec<String>> {
        Ok(self.run("uploads", &[key])?.lines().map(str::to_owned).collect())
    }

    pub(super) fn run(&self, verb: &str, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(python()?);
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tools/store_client.py"));
        command.args([self.kind, &self.endpoint, self.region, BUCKET, verb]).args(arguments);
        command.env("KEY_ID", &self.key.id).env("KEY_SECRET", &self.key.secret);
        if let Some(token) = &self.key.token {
            command.env("KEY_TOKEN", token);
        }
        let output = command.output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the {} SDK can't {verb}: {said}", self.kind);
        Ok(String::from_utf8(output.stdout)?)
    }
}
