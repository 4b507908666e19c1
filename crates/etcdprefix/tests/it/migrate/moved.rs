//! The bundle and the snapshot behind its URL: are they what the managed side needs?

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use etcd_client::{Client, GetOptions, KeyValue};
use etcdprefix_testkit::{EtcdServer, PrefixMap, Version, block_on, tools};
use serde_json::Value;

use super::Migration;
use super::bench::CLUSTER;

/// The template's names in its order, and the files that they hold.
const KEYS: [(&str, &str); 4] = [
    ("sakey", "sa.key"),
    ("sapub", "sa.pub"),
    ("frontcrt", "front-proxy-ca.crt"),
    ("frontkey", "front-proxy-ca.key"),
];

/// The bundle's file: who may read it, and whether it is one line.
pub fn bundle(moving: &Migration) -> Result<Value> {
    let path = moving.folder().join("bundle.json");
    ensure!(fs::metadata(&path)?.permissions().mode() & 0o7777 == 0o600, "others may read it");
    let text = fs::read_to_string(path)?;
    ensure!(text.ends_with('\n') && text.lines().count() == 1, "it is one line");
    check_bundle(moving, &text)
}

/// Names, order and encoding are the template's, and the keys are those of the cluster.
pub fn check_bundle(moving: &Migration, text: &str) -> Result<Value> {
    let bundle: Value = serde_json::from_str(text)?;
    let names: Vec<&String> = bundle.as_object().context("no object")?.keys().collect();
    ensure!(names[..5] == ["sakey", "sapub", "frontcrt", "frontkey", "oss_url"], "{names:?}");
    for (name, file) in KEYS {
        let expected = fs::read(moving.hosts.host(1).path("/etc/kubernetes/pki").join(file))?;
        ensure!(bundle[name] == STANDARD.encode(expected), "{name} is not {file}");
    }
    Ok(bundle)
}

/// As whoever has the URL fetches it; an error if the store refuses.
pub fn fetch(url: &str) -> Result<Vec<u8>> {
    let curl = ["--silent", "--show-error", "--fail", "--noproxy", "*", url];
    let output = Command::new("curl").args(curl).output().context("curl is needed")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

/// Whether nobody gets a snapshot by it any more.
pub fn is_dead(url: &str) -> bool {
    match fetch(url) {
        Ok(bytes) => bytes.starts_with(b"revoked by etcdprefix"),
        Err(error) => error.to_string().contains("404"),
    }
}

/// What the URL leads to, in a file.
pub fn fetched(moving: &Migration, url: &str) -> Result<PathBuf> {
    let file = moving.path("fetched.db");
    fs::write(&file, fetch(url)?)?;
    Ok(file)
}

/// Restored and served by etcd itself, it holds what the hosts' etcd had at that revision.
pub fn is_the_cluster(moving: &Migration, snapshot: &Path, revision: i64) -> Result<()> {
    tools::status(Version::JUDGE, snapshot, None)?;
    let restored = EtcdServer::restored(Version::JUDGE, snapshot)?;
    let map = PrefixMap::new("/registry", &format!("/{CLUSTER}"));
    let leader = moving.hosts.etcd().leader()?;
    let (source, moved) = block_on(async {
        let mut source = moving.hosts.etcd().client(leader).await?;
        anyhow::Ok((
            all(&mut source, revision).await?,
            all(&mut restored.client().await?, 0).await?,
        ))
    })?;
    ensure!(source.len() > 50, "only {} keys are there", source.len());
    let expected: Vec<_> = source.iter().map(|kv| seen(kv, map.map(kv.key()))).collect();
    let found: Vec<_> = moved.iter().map(|kv| seen(kv, kv.key().to_vec())).collect();
    ensure!(expected == found, "{} keys in, {} out, or others", expected.len(), found.len());
    Ok(())
}

async fn all(client: &mut Client, revision: i64) -> Result<Vec<KeyValue>> {
    let options = GetOptions::new().with_all_keys().with_revision(revision);
    Ok(client.get("", Some(options)).await?.take_kvs())
}

type Seen = (Vec<u8>, Vec<u8>, [i64; 4]);

fn seen(kv: &KeyValue, key: Vec<u8>) -> Seen {
    let numbers = [kv.create_revision(), kv.mod_revision(), kv.version(), kv.lease()];
    (key, kv.value().to_vec(), numbers)
}
