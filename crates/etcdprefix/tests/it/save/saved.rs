use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use etcdprefix_testkit::cluster::{ClusterOptions, EtcdCluster};
use etcdprefix_testkit::compare::compare;
use etcdprefix_testkit::load::{self, Load, Mix};
use etcdprefix_testkit::{EtcdServer, PrefixMap, Version, block_on, tools};
use serde_json::Value;

use super::{Folder, revision, status_hash, warnings, whole_and_alone};
use crate::support::said;

/// A store that is small, but has history, deletes and leases.
fn small(version: Version, options: ClusterOptions) -> Result<EtcdCluster> {
    let cluster = EtcdCluster::start(version, options)?;
    let load = Load { records: 2_000, value_bytes: 100, mix: Mix::Kubernetes, seed: 4 };
    block_on(async { load::fill(&mut cluster.client(0).await?, &load).await })?;
    Ok(cluster)
}

/// etcdctl's own save.
fn etcdctl_save(cluster: &EtcdCluster, to: &Path) -> Result<()> {
    let output = cluster.etcdctl(0)?.args(["snapshot", "save"]).arg(to).output()?;
    ensure!(output.status.success(), "{}", said(&output));
    Ok(())
}

/// SHA-256 of all but the trailer, by another program.
fn sha256(file: &Path) -> Result<String> {
    let script = "head -c -32 \"$1\" | sha256sum";
    let output = Command::new("sh").args(["-c", script, "sh"]).arg(file).output()?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text.split_whitespace().next().context("no sum")?.to_owned())
}

fn theirs(version: Version, file: &Path) -> Result<Value> {
    Ok(serde_json::from_str(&tools::status(version, file, Some("json"))?)?)
}

/// What the result says is so, and etcd's own tool says the same of both files.
fn judge(cluster: &EtcdCluster, saved: &Value, ours: &Path, reference: &Path) -> Result<()> {
    let version = cluster.version();
    let id = format!("{:x}", cluster.member_id(0));
    assert_eq!(saved["revision"], revision(cluster, 0)?);
    assert_eq!(saved["member"]["member_id"], id);
    assert_eq!(saved["member"]["name"], "member-0");
    assert_eq!(saved["etcd_version"], version.number());
    assert_eq!(saved["chosen"], "the leader");
    assert_eq!((&saved["attempts"], warnings(saved).as_str()), (&1.into(), ""));
    assert_eq!(saved["bytes"], fs::metadata(ours)?.len());
    assert_eq!(saved["sha256"], sha256(ours)?);
    assert_eq!(saved["status_hash"], status_hash(reference)?);
    let (mine, yours) = (theirs(version, ours)?, theirs(version, reference)?);
    for field in ["hash", "revision", "totalKey"] {
        assert_eq!(mine[field], yours[field], "{field}");
    }
    Ok(())
}

/// Both files, restored by etcd's own tool and served, look the same to clients.
fn served_alike(version: Version, ours: &Path, reference: &Path) -> Result<()> {
    let source = EtcdServer::restored(version, reference)?;
    let dest = EtcdServer::restored(version, ours)?;
    let compared = compare(&source, &dest, &PrefixMap::identity(), reference)?;
    ensure!(compared.keys > 1_000 && compared.events > 1_000, "{compared:?}");
    Ok(())
}

fn saved_as_etcdctl_does(version: Version) -> Result<()> {
    let (cluster, folder) = (small(version, ClusterOptions::default())?, Folder::new()?);
    let ours = folder.path("snap.db");
    // What anybody could read before must not leak what it becomes.
    fs::write(&ours, "old")?;
    fs::set_permissions(&ours, Permissions::from_mode(0o644))?;
    let saved = folder.save(cluster.endpoint(0), "--verify-members").saved();
    whole_and_alone(&folder)?;
    let reference = tempfile::tempdir()?;
    let reference = reference.path().join("theirs.db");
    etcdctl_save(&cluster, &reference)?;
    judge(&cluster, &saved, &ours, &reference)?;
    assert_eq!(saved["hashkv"]["revision"], saved["revision"]);
    served_alike(version, &ours, &reference)
}

#[test]
fn a_member_of_3_4_23_is_saved_as_etcdctl_does() -> Result<()> {
    saved_as_etcdctl_does(Version::V3_4_23)
}

#[test]
fn a_member_of_3_5_1_is_saved_as_etcdctl_does() -> Result<()> {
    saved_as_etcdctl_does(Version::V3_5_1)
}

#[test]
fn a_member_of_3_5_16_is_saved_as_etcdctl_does() -> Result<()> {
    saved_as_etcdctl_does(Version::V3_5_16)
}

/// etcdctl's variables, empty ones too, and lines written for it.
#[test]
fn a_line_written_for_etcdctl_works() -> Result<()> {
    let cluster = EtcdCluster::start(Version::V3_5_16, ClusterOptions::default())?;
    let endpoint = cluster.endpoint(0);
    let bare = endpoint.trim_start_matches("http://");
    let flags = "--command-timeout=60s --dial-timeout=5s --insecure-transport=true --debug";
    let repeated =
        format!("--endpoints={bare} --endpoints={endpoint}/ --cacert= --cert= --key= --user=");
    for line in [
        format!("--endpoints={endpoint} {flags}"),
        format!("--endpoints={bare},{endpoint}"),
        repeated,
    ] {
        let folder = Folder::new()?;
        let run = folder.run(&format!("snapshot save snap.db {line}"));
        assert!(run.stdout().starts_with("Snapshot saved at snap.db\n"), "{}", said(&run.0));
        assert_eq!(run.stderr(), "");
        whole_and_alone(&folder)?;
    }
    let folder = Folder::new()?;
    let mut command = folder.bounded("snapshot save snap.db");
    command.envs([("ETCDCTL_ENDPOINTS", bare), ("ETCDCTL_DIAL_TIMEOUT", "7s")]);
    command.envs([("ETCDCTL_COMMAND_TIMEOUT", "1m"), ("ETCDCTL_API", "3")]);
    for unset in
        ["CACERT", "CERT", "KEY", "USER", "PASSWORD", "INSECURE_SKIP_TLS_VERIFY", "KEEPALIVE_TIME"]
    {
        command.env(format!("ETCDCTL_{unset}"), "");
    }
    let output = command.output()?;
    assert!(output.status.success(), "{}", said(&output));
    whole_and_alone(&folder)
}

/// Writes until there is no space, which is noticed now and then only.
async fn fill_up(cluster: &EtcdCluster) -> Result<()> {
    let mut client = cluster.client(0).await?;
    for number in 0..5_000 {
        if let Err(error) = client.put(format!("/registry/{number}"), vec![7; 10_000], None).await {
            ensure!(error.to_string().contains("database space exceeded"), "{error}");
            return Ok(());
        }
    }
    bail!("50 MB fit into 1 MB")
}

/// A member that refuses writes for want of space holds what it holds.
#[test]
fn a_full_member_is_saved_with_a_warning() -> Result<()> {
    let flags = &["--quota-backend-bytes", "1000000"];
    let options = ClusterOptions { flags, ..ClusterOptions::default() };
    let cluster = EtcdCluster::start(Version::V3_5_16, options)?;
    block_on(fill_up(&cluster))?;
    let folder = Folder::new()?;
    let endpoint = cluster.endpoint(0);
    let run = folder.run(&format!("snapshot save snap.db -w json --endpoints {endpoint}"));
    let saved: Value = serde_json::from_str(&run.stdout()).with_context(|| said(&run.0))?;
    let warning = format!("member-0 ({endpoint}) has a NOSPACE alarm");
    assert!(warnings(&saved).contains(&warning), "{saved}");
    assert!(
        run.stderr().contains(&format!("etcdprefix: warning: {warning}\n")),
        "{}",
        run.stderr()
    );
    assert_eq!(saved["chosen"], "it has a NOSPACE alarm");
    assert_eq!(saved["revision"], revision(&cluster, 0)?);
    whole_and_alone(&folder)
}
