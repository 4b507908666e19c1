//! The encryption keys that the new HostedCluster must have.

use serde_json::Value;

use crate::hosted::keys::{Key, Keys};

/// What makes the keys the same.
#[derive(Default)]
pub struct Missing {
    /// Documents at the end.
    pub added: String,
    /// In the document of this number, what becomes what.
    pub replaced: Vec<(usize, String, String)>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// What has to be done so that the new cluster has the same keys.
///
/// # Errors
/// If the new cluster could not read what the old one encrypted.
pub fn missing(documents: &[&Value], hosted: &Value, keys: &Keys) -> Result<Missing, String> {
    let encryption = &hosted["spec"]["secretEncryption"];
    let kind = encryption["type"].as_str().unwrap_or("none");
    let other = |expected: &str| {
        Err(format!(
            "its HostedCluster has the secretEncryption {kind}, but Secrets in the snapshot are \
             encrypted with {expected}: nobody could read them"
        ))
    };
    match keys {
        Keys::None => Ok(Default::default()),
        Keys::Kms(kms) if kind == "kms" => {
            let differs = encryption["kms"] != *kms;
            let note = "secretEncryption.kms differs from the source's: it must be the same key";
            let notes = differs.then(|| note.to_owned()).into_iter().collect();
            Ok(Missing { notes, ..Missing::default() })
        }
        Keys::Kms(_) => other("kms"),
        Keys::Aescbc { active, backup } if kind == "aescbc" => {
            let mut missing = Missing::default();
            needed(documents, hosted, "activeKey", active, &mut missing)?;
            if let Some(backup) = backup {
                needed(documents, hosted, "backupKey", backup, &mut missing)?;
            }
            Ok(missing)
        }
        Keys::Aescbc { .. } => other("aescbc"),
    }
}

/// The Secret that the new HostedCluster names under `field`, with our key.
fn needed(
    documents: &[&Value],
    hosted: &Value,
    field: &str,
    key: &Key,
    missing: &mut Missing,
) -> Result<(), String> {
    let name = hosted["spec"]["secretEncryption"]["aescbc"][field]["name"].as_str();
    let Some(name) = name else {
        return Err(format!(
            "its HostedCluster names no spec.secretEncryption.aescbc.{field}, which the source has"
        ));
    };
    let namespace = hosted["metadata"]["namespace"].as_str();
    let is_it = |document: &&Value| {
        let metadata = &document["metadata"];
        document["kind"] == "Secret"
            && metadata["name"] == name
            && metadata["namespace"].as_str() == namespace
    };
    let Some(number) = documents.iter().position(is_it) else {
        missing.added.push_str(&key.document(name, namespace));
        return Ok(());
    };
    match documents[number]["data"]["key"].as_str() {
        Some(same) if same == key.data.reveal() => {}
        // hcp renders a fresh one.
        Some(other) if !other.is_empty() => {
            missing.replaced.push((number, other.into(), key.data.reveal().into()));
            missing.notes.push(format!("the key in the Secret {name} is replaced by the source's"));
        }
        _ => {
            return Err(format!(
                "its Secret {name} has no data.key; try: to remove that document, so that the right \
                 one is put in its place"
            ));
        }
    }
    Ok(())
}
