//! The keys that Secrets in the snapshot are encrypted with.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::found::Encryption;
use super::objects::Objects;
use super::{Name, Setup};
use crate::bundle::Sensitive;
use crate::error::{Error, Result};

/// What a new HostedCluster must have to read them.
pub enum Keys {
    /// Nothing: they are not encrypted.
    None,
    /// The same keys.
    Aescbc {
        /// Named by `activeKey`.
        active: Key,
        /// Named by `backupKey`.
        backup: Option<Key>,
    },
    /// A way to the same key of a key service: `spec.secretEncryption.kms`.
    Kms(Value),
}

/// A Secret with a key.
pub struct Key {
    /// Of the Secret.
    pub name: String,
    /// `data.key`, in base64.
    pub data: Sensitive,
}

impl Keys {
    /// As the HostedCluster names them.
    ///
    /// # Errors
    /// [`Error::NotFit`] if a key is named that isn't there, or in another way than is known here.
    pub async fn read(setup: &Setup, objects: &Objects<'_>, hosted: &Value) -> Result<Self> {
        let encryption = &hosted["spec"]["secretEncryption"];
        match encryption["type"].as_str() {
            None => Ok(Self::None),
            Some("kms") => Ok(Self::Kms(encryption["kms"].clone())),
            Some("aescbc") => {
                let names = &encryption["aescbc"];
                let active = names["activeKey"]["name"].as_str().unwrap_or_default();
                let active = key(setup, objects, active).await?;
                let backup = match names["backupKey"]["name"].as_str() {
                    Some(name) => Some(key(setup, objects, name).await?),
                    None => None,
                };
                Ok(Self::Aescbc { active, backup })
            }
            Some(other) => Err(Error::NotFit(format!(
                "spec.secretEncryption.type {other} is not known here, so a new cluster might not \
                 read its Secrets"
            ))),
        }
    }

    /// Without what they are.
    pub fn told(&self) -> Encryption {
        match self {
            Self::None => Encryption::None,
            Self::Aescbc { active, backup } => Encryption::Aescbc {
                active_key: active.name.clone(),
                backup_key: backup.as_ref().map(|key| key.name.clone()),
            },
            Self::Kms(kms) => {
                let provider = kms["provider"].as_str().unwrap_or("unknown").to_owned();
                Encryption::Kms { provider }
            }
        }
    }

    /// As Secrets of the HostedCluster's namespace, a document each; `None` if there are no keys.
    pub fn manifest(&self, name: &Name) -> Option<String> {
        let Self::Aescbc { active, backup } = self else { return None };
        let namespace = Some(name.namespace.as_str());
        let all = [Some(active), backup.as_ref()].into_iter().flatten();
        Some(all.map(|key| key.document(&key.name, namespace)).collect())
    }
}

impl Key {
    /// A document of YAML, under another name perhaps.
    pub fn document(&self, name: &str, namespace: Option<&str>) -> String {
        let quoted = |text: &str| Value::from(text).to_string();
        let namespace = namespace.map(|namespace| format!("  namespace: {}\n", quoted(namespace)));
        format!(
            "---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: {}\n{}type: Opaque\ndata:\n  key: {}\n",
            quoted(name),
            namespace.unwrap_or_default(),
            self.data.reveal()
        )
    }
}

async fn key(setup: &Setup, objects: &Objects<'_>, name: &str) -> Result<Key> {
    let namespace = &setup.name.namespace;
    let unfit = |why: &str| {
        Error::NotFit(format!(
            "the Secret {namespace}/{name}, which the HostedCluster names under \
             spec.secretEncryption.aescbc, {why}: without it nobody can read the Secrets in the \
             snapshot"
        ))
    };
    let secret = objects.secret(namespace, name).await?.ok_or_else(|| unfit("is not there"))?;
    let data = secret["data"]["key"].as_str().unwrap_or_default();
    match STANDARD.decode(data) {
        Ok(bytes) if !bytes.is_empty() => {
            Ok(Key { name: name.into(), data: Sensitive::new(data.into()) })
        }
        _ => Err(unfit("has no data.key")),
    }
}
