//! The apiserver's configuration of encryption at rest.

use serde_json::{Value, json};

/// How Secrets are written to etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// As they are.
    Identity,
    /// AES-CBC; the etcd key plays no part.
    Aescbc,
    /// XSalsa20 and Poly1305; the etcd key plays no part.
    Secretbox,
    /// AES-GCM with the etcd key as authenticated data.
    Aesgcm,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Identity, Self::Aescbc, Self::Secretbox, Self::Aesgcm];

    /// As in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Aescbc => "aescbc",
            Self::Secretbox => "secretbox",
            Self::Aesgcm => "aesgcm",
        }
    }

    /// How its values begin in etcd; values of `Identity` begin as all of Kubernetes do.
    pub fn mark(self) -> String {
        match self {
            Self::Identity => "k8s\0".into(),
            _ => format!("k8s:enc:{}:v1:key1:", self.name()),
        }
    }

    fn config(self) -> Value {
        // 32 bytes in base64.
        let secret = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
        match self {
            Self::Identity => json!({ "identity": {} }),
            _ => json!({ self.name(): { "keys": [{ "name": "key1", "secret": secret }] } }),
        }
    }

    /// Secrets are written by this provider and read by all.
    pub(super) fn configuration(self) -> String {
        let others = Self::ALL.into_iter().filter(|other| *other != self);
        let providers: Vec<Value> = [self].into_iter().chain(others).map(Self::config).collect();
        json!({
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "EncryptionConfiguration",
            "resources": [{ "resources": ["secrets"], "providers": providers }],
        })
        .to_string()
    }
}
