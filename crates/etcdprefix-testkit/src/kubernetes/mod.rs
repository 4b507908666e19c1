//! A real kube-apiserver before an etcd of ours, and kubectl to talk to it.
//!
//! No controller, scheduler or kubelet runs: nobody changes an object but the test and the
//! apiserver itself.

mod apiserver;
mod encryption;
mod kubectl;
mod stored;
mod watch;

pub use apiserver::{Apiserver, Await, Setup};
pub use encryption::Provider;
pub use kubectl::{Kubectl, Objects};
pub use stored::{Stored, stored};
pub use watch::Watch;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Of a server that listens on loopback only, for the time of a test.
const TOKEN: &str = "a-token-of-tests";

/// What stays of a cluster beside its etcd when one apiserver follows another: certificate, key
/// and the administrator's token.
pub struct Credentials {
    folder: TempDir,
}

impl Credentials {
    /// The first apiserver that uses them adds its certificate and key.
    pub fn new() -> Result<Self> {
        let credentials = Self { folder: TempDir::new()? };
        let line = format!("{TOKEN},admin,admin,\"system:masters\"\n");
        fs::write(credentials.tokens(), line)?;
        let user = json!({"name": "admin", "user": {"token": TOKEN}});
        let context = json!({"name": "own", "context": {"user": "admin", "cluster": ""}});
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "own",
            "users": [user], "contexts": [context],
        });
        fs::write(credentials.kubeconfig(), config.to_string())?;
        Ok(credentials)
    }

    /// A kubeconfig that needs no flags beside it, for a server that was started with these.
    pub fn kubeconfig_for(&self, kubectl: &Kubectl) -> Result<PathBuf> {
        let text = fs::read_to_string(self.kubeconfig())?;
        let mut config: Value = serde_json::from_str(&text)?;
        let cluster =
            json!({"server": kubectl.server(), "certificate-authority": self.certificate()});
        config["clusters"] = json!([{"name": "own", "cluster": cluster}]);
        config["contexts"][0]["context"]["cluster"] = "own".into();
        let path = self.path("kubeconfig-for-others");
        fs::write(&path, config.to_string())?;
        Ok(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tokens(&self) -> PathBuf {
        self.path("tokens.csv")
    }

    fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    fn certificates(&self) -> &Path {
        self.folder.path()
    }

    fn certificate(&self) -> PathBuf {
        self.path("apiserver.crt")
    }

    /// The TLS key signs service account tokens too: one key less to make.
    fn key(&self) -> PathBuf {
        self.path("apiserver.key")
    }
}
