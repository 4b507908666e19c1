//! The fragment in rendered manifests: lines of one document are replaced, all else stays byte for byte.

mod edit;
mod secrets;

use std::path::Path;

use serde_json::Value;

use super::Name;
use super::fragment::Fragment;
use super::keys::Keys;
use super::size;
use crate::error::{Error, Result};
use secrets::Missing;

/// What the manifests are to have.
pub struct Wanted<'a> {
    /// Secret.
    pub url: &'a str,
    /// The least size of the volumes.
    pub volume: &'a str,
    /// What Secrets in the snapshot are encrypted with.
    pub keys: &'a Keys,
    /// Which HostedCluster, if there are several.
    pub name: Option<&'a str>,
    /// The one that the snapshot is of.
    pub source: &'a Name,
}

/// A document of a file.
struct Document<'a> {
    text: &'a str,
    value: Value,
}

/// The whole text of the file as it is to be, and what a person should know. Nothing is written.
///
/// # Errors
/// [`Error::NotFit`] if it can't be done without changing anything else.
pub fn merge(file: &Path, wanted: &Wanted<'_>) -> Result<(String, Vec<String>)> {
    let text = std::fs::read_to_string(file).map_err(Error::file("read", file))?;
    merged(&text, wanted).map_err(|why| Error::NotFit(format!("{}: {why}", file.display())))
}

fn merged(text: &str, wanted: &Wanted<'_>) -> Result<(String, Vec<String>), String> {
    let documents = documents(text)?;
    let index = chosen(&documents, wanted.name)?;
    let hosted = &documents[index].value;
    let mut notes = about(hosted, wanted.source)?;
    let storage = &hosted["spec"]["etcd"]["managed"]["storage"];
    let volume = &storage["persistentVolume"];
    let own = size::written(&volume["size"]);
    let own = own.as_deref().filter(|own| size::bytes(own) > size::bytes(wanted.volume));
    let fragment = Fragment {
        url: wanted.url,
        volume: own.unwrap_or(wanted.volume),
        storage_class: volume["storageClassName"].as_str(),
    };
    let values: Vec<&Value> = documents.iter().map(|document| &document.value).collect();
    let secrets = secrets::missing(&values, hosted, wanted.keys)?;
    notes.extend(secrets.notes.clone());
    let added = &secrets.added;
    if storage["restoreSnapshotURL"].as_array().is_some_and(|urls| !urls.is_empty()) {
        notes.push("the manifests had a restoreSnapshotURL, which is replaced".into());
    }
    let edited = edit::replaced(documents[index].text, &fragment)?;
    let mut texts: Vec<String> = documents.iter().map(|it| it.text.to_owned()).collect();
    texts[index] = edited;
    for (number, old, new) in &secrets.replaced {
        texts[*number] = texts[*number].replacen(old, new, 1);
    }
    let mut result = texts.concat();
    if !added.is_empty() && !result.ends_with('\n') {
        result.push('\n');
    }
    result.push_str(added);
    hold(&result, &documents, index, &fragment, &secrets)?;
    Ok((result, notes))
}

/// What a person should know of the HostedCluster that is to be another one.
fn about(hosted: &Value, source: &Name) -> Result<Vec<String>, String> {
    let (metadata, etcd) = (&hosted["metadata"], &hosted["spec"]["etcd"]);
    let is_made = !metadata["uid"].is_null() || !metadata["resourceVersion"].is_null();
    if is_made || hosted["status"].as_object().is_some_and(|status| !status.is_empty()) {
        return Err("its HostedCluster is one that is there already (it has a uid, a \
                    resourceVersion or a status): its spec.etcd can't change; try: manifests of a \
                    new one"
            .into());
    }
    if etcd["managementType"] == "Unmanaged" {
        return Err("its HostedCluster has an etcd that HyperShift does not manage \
                    (spec.etcd.managementType), which nothing restores"
            .into());
    }
    let mut notes = Vec::new();
    if metadata["name"] == source.name.as_str()
        && metadata["namespace"].as_str().is_none_or(|namespace| namespace == source.namespace)
    {
        notes.push(format!(
            "THE MANIFESTS' HOSTEDCLUSTER IS NAMED AS THE SOURCE, {source}: apply them only to \
             another management cluster, or once the source is gone"
        ));
    }
    let (managed, storage) = (&etcd["managed"], &etcd["managed"]["storage"]);
    let dropped: Vec<String> = [
        (etcd, "etcd", &["managed", "managementType"][..]),
        (managed, "etcd.managed", &["storage"]),
        (storage, "etcd.managed.storage", &["persistentVolume", "restoreSnapshotURL", "type"]),
        (
            &storage["persistentVolume"],
            "etcd.managed.storage.persistentVolume",
            &["size", "storageClassName"],
        ),
    ]
    .into_iter()
    .flat_map(|(value, path, known)| {
        let names = value.as_object().into_iter().flat_map(|members| members.keys());
        let others = names.filter(|name| !known.contains(&name.as_str()));
        others.map(|name| format!("spec.{path}.{name}")).collect::<Vec<_>>()
    })
    .collect();
    if !dropped.is_empty() {
        notes.push(format!("not in the manifests any more: {}", dropped.join(", ")));
    }
    Ok(notes)
}

/// Read again, it must be what was meant.
fn hold(
    result: &str,
    old: &[Document<'_>],
    index: usize,
    fragment: &Fragment<'_>,
    secrets: &Missing,
) -> Result<(), String> {
    let mut meant: Vec<Value> = old.iter().map(|document| document.value.clone()).collect();
    meant[index]["spec"]["etcd"] = fragment.value();
    for (number, _, new) in &secrets.replaced {
        meant[*number]["data"]["key"] = new.as_str().into();
    }
    meant.extend(documents(&secrets.added)?.into_iter().map(|document| document.value));
    let other = "its HostedCluster is written in a way that can't be changed line by line; try: to \
                 put the fragment of --output in by hand";
    let read = documents(result).map_err(|_| other)?;
    let mut found: Vec<Value> = read.into_iter().map(|document| document.value).collect();
    // What stands before the first document, or nothing at all.
    meant.retain(|value| !value.is_null());
    found.retain(|value| !value.is_null());
    match meant == found {
        true => Ok(()),
        false => Err(other.into()),
    }
}

fn documents(text: &str) -> Result<Vec<Document<'_>>, String> {
    let mut starts = vec![0];
    let mut position = 0;
    for line in text.split_inclusive('\n') {
        let is_marked = line.strip_prefix("---");
        if position > 0 && is_marked.is_some_and(|rest| rest.is_empty() || starts_blank(rest)) {
            starts.push(position);
        }
        position += line.len();
    }
    let ends = starts[1..].iter().copied().chain([text.len()]);
    let ranges = starts.iter().copied().zip(ends);
    let read = ranges.enumerate().map(|(index, (start, end))| {
        let text = &text[start..end];
        // What the parser says may show a Secret's lines.
        let value = value(text).ok_or_else(|| format!("document {} is no YAML", index + 1))?;
        Ok(Document { text, value })
    });
    read.collect()
}

fn starts_blank(rest: &str) -> bool {
    rest.starts_with(char::is_whitespace)
}

/// Null for nothing but comments.
fn value(text: &str) -> Option<Value> {
    let is_empty = |line: &str| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#') || line == "---" || line == "..."
    };
    match text.lines().all(is_empty) {
        true => Some(Value::Null),
        false => serde_saphyr::from_str(text).ok(),
    }
}

fn chosen(documents: &[Document<'_>], name: Option<&str>) -> Result<usize, String> {
    let is_one = |value: &Value| {
        let group = value["apiVersion"].as_str().unwrap_or_default();
        group.starts_with("hypershift.openshift.io/") && value["kind"] == "HostedCluster"
    };
    let is_meant = |value: &Value| name.is_none_or(|name| value["metadata"]["name"] == name);
    let all = documents.iter().enumerate().filter(|(_, document)| is_one(&document.value));
    let meant: Vec<usize> =
        all.filter(|(_, document)| is_meant(&document.value)).map(|(index, _)| index).collect();
    match (meant[..].len(), name) {
        (1, _) => Ok(meant[0]),
        (0, None) => Err("there is no HostedCluster in it; try: the output of hcp create cluster \
                          with --render"
            .into()),
        (0, Some(name)) => Err(format!("there is no HostedCluster {name} in it")),
        (count, None) => Err(format!("it has {count} HostedClusters; try: --into-name with one")),
        (count, Some(name)) => Err(format!("it has {count} HostedClusters {name}")),
    }
}

#[cfg(test)]
mod tests;
