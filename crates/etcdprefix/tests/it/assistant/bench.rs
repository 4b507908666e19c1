//! The hosts of a migration as instances: `ecs:i-1` is `m1`, and so on.

use std::ops::Deref;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use etcdprefix_testkit::hosts::{CONTROL_ADDRESS, HostsOptions};
use etcdprefix_testkit::openapi::{Called, OpenApi};
use etcdprefix_testkit::stores::{Key, Metadata};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::files::Files;
use crate::migrate::Migration;

/// The tags that every one of them has.
pub const TAGS: &str = r#"{"Type":"Tags","Tags":[{"Key":"role","Value":"master"}]}"#;

/// A cluster in a cloud, and whoever migrates it without SSH.
pub struct Cloud {
    // Ended in this order.
    pub api: OpenApi,
    pub files: Files,
    _metadata: Metadata,
    moving: Migration,
}

impl Cloud {
    /// Hosts with a role, tags and a resource group.
    pub fn start(options: HostsOptions) -> Result<Self> {
        let moving = Migration::start(options)?;
        let api = OpenApi::start()?;
        for host in moving.hosts.all() {
            let id = format!("i-{}", host.number());
            api.add_host(&id, host)?;
            api.set(&id, "tags", json!({"role": "master", "name": host.name()}))?;
            api.set(&id, "group", "rg-masters")?;
        }
        let role = Key::new("STS.role", "role-s3cr3t-role").with_token("t0ken/+=");
        moving.store.as_oss().allow(&role, &[])?;
        let at = moving.hosts.metadata_address()?;
        let metadata = Metadata::start_at(at, &role, Duration::from_secs(6 * 3600))?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/migrate/hooked.py");
        let files = Files::start_at(CONTROL_ADDRESS, &script)?;
        let this = Self { api, files, _metadata: metadata, moving };
        this.use_key(this.api.key());
        this.describe(&script)?;
        Ok(this)
    }

    /// On one host alone, which is enough where the others would do the same.
    pub fn one() -> Result<Self> {
        Self::start(HostsOptions { hosts: 1, ..HostsOptions::default() })
    }

    fn describe(&self, program: &Path) -> Result<()> {
        let sum = Sha256::digest(std::fs::read(program)?);
        let sha256: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
        let hosts = self.hosts.all().iter().map(|host| format!("ecs:i-{}", host.number()));
        let hosts: Vec<String> = hosts.collect();
        self.configure(|config| {
            config["hosts"] = json!(hosts);
            config["ssh"] = json!({});
            config["assistant"] = json!({
                "region": OpenApi::REGION,
                "endpoint": self.api.endpoint(),
                "binaries": {
                    std::env::consts::ARCH: {"url": self.files.url("etcdprefix"), "sha256": sha256},
                },
            });
            Ok(())
        })
    }

    /// Whoever migrates has this key for the API, and none for the store.
    pub fn use_key(&self, key: &Key) {
        let mut variables = self.variables.borrow_mut();
        variables.clear();
        variables.insert("ALIBABA_CLOUD_ACCESS_KEY_ID".into(), key.id.clone());
        variables.insert("ALIBABA_CLOUD_ACCESS_KEY_SECRET".into(), key.secret.clone());
    }

    /// Hosts are those with the tags.
    pub fn by_tags(&self) -> Result<()> {
        self.configure(|config| {
            config["hosts"] = json!([]);
            config["assistant"]["targets"] = serde_json::from_str(TAGS)?;
            Ok(())
        })
    }

    /// How often an action was called.
    pub fn calls(&self, action: &str) -> usize {
        self.api.calls_of(action).len()
    }

    /// No secret is in what the cloud was told, and was told by the hosts.
    fn search(&self) {
        let record = self.api.record();
        self.secrets.are_not_in("what the cloud saw", record.as_bytes());
        self.secrets.are_not_in("the cloud's log", self.api.log().as_bytes());
        let is_done = |call: &Called| call.action == "RunCommand" && call.outcome == "OK";
        assert_eq!(self.api.calls().iter().any(is_done), !record.is_empty());
    }
}

impl Deref for Cloud {
    type Target = Migration;

    fn deref(&self) -> &Migration {
        &self.moving
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.search();
        }
    }
}
