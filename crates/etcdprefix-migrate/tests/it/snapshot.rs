//! What the host of the leader does: against a real etcd and the stand-in for OSS.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use etcdprefix_migrate::node::{bundle, snapshot};
use etcdprefix_migrate::protocol::{
    BundleRequest, Bundled, EtcdAccess, KeyFiles, ObjectAccess, Owner, PresignRequest,
    SnapshotRequest, Snapshotted, StoreAccess,
};
use etcdprefix_migrate::{NodeError, NodeErrorKind};
use etcdprefix_testkit::stores::{BUCKET, Key, OssServer};
use etcdprefix_testkit::writer::Writer;
use etcdprefix_testkit::{EtcdServer, Version, block_on, tools};
use tempfile::TempDir;

struct Bench {
    etcd: EtcdServer,
    store: OssServer,
    folder: TempDir,
    variables: BTreeMap<String, String>,
}

impl Bench {
    fn new() -> Result<Self> {
        let etcd = EtcdServer::start(Version::V3_5_16, &[])?;
        block_on(async {
            let mut client = etcd.client().await?;
            for key in 0..50 {
                client.put(format!("/registry/pods/{key}"), "value", None).await?;
            }
            client.delete("/registry/pods/7", None).await?;
            anyhow::Ok(())
        })?;
        let (store, folder) = (OssServer::start()?, TempDir::new()?);
        for file in ["sa.key", "sa.pub", "front.crt", "front.key", "ca.crt", "ca.key"] {
            fs::write(folder.path().join(file), format!("the key of {file}\n"))?;
        }
        let variables = variables(store.key());
        Ok(Self { etcd, store, folder, variables })
    }

    fn etcd(&self) -> EtcdAccess {
        EtcdAccess { endpoints: vec![self.etcd.url().into()], ..EtcdAccess::default() }
    }

    fn place(&self, key: &str) -> StoreAccess {
        StoreAccess {
            url: format!("oss://{BUCKET}/{key}"),
            endpoint: Some(format!("http://{}", self.store.address())),
            region: Some(OssServer::REGION.into()),
            path_style: true,
            ..StoreAccess::default()
        }
    }

    fn working_dir(&self) -> std::path::PathBuf {
        self.folder.path().join("work/inner")
    }

    fn request(&self) -> Result<SnapshotRequest> {
        Ok(SnapshotRequest {
            owner: Owner { run: "run-1".into(), cluster: "c123".parse()?, by: "a test".into() },
            etcd: self.etcd(),
            require_leader: true,
            store: self.place("etcd_c123_1"),
            working_dir: self.working_dir(),
            src_prefix: "/registry".into(),
            allow_undecryptable: false,
            target_quota_bytes: None,
            rehearsal: false,
            keep: false,
            presign_seconds: 2400,
        })
    }

    fn snapshot(&self, request: &SnapshotRequest) -> Result<Snapshotted, NodeError> {
        snapshot::run(request, &self.variables, &Arc::default())
    }

    fn bundle(&self, made: &Snapshotted, extra: bool) -> Result<Bundled, NodeError> {
        let file = |name: &str| self.folder.path().join(name);
        let keys = KeyFiles {
            sakey: file("sa.key"),
            sapub: file("sa.pub"),
            frontcrt: file("front.crt"),
            frontkey: file("front.key"),
            cacrt: file("ca.crt"),
            cakey: file("ca.key"),
            encryption_config: None,
        };
        let request = BundleRequest {
            owner: self
                .request()
                .map_err(|e| NodeError::new(NodeErrorKind::Failed, e.to_string()))?
                .owner,
            object: ObjectAccess { store: self.place("etcd_c123_1") },
            presign_seconds: 2400,
            etcd: self.etcd(),
            revision: made.revision,
            quiet_until: made.quiet_until,
            keys,
            extra,
        };
        bundle::run(&request, &self.variables)
    }

    fn left(&self) -> Result<Vec<String>> {
        let files = fs::read_dir(self.working_dir())?;
        files.map(|file| Ok(file?.file_name().to_string_lossy().into_owned())).collect()
    }
}

fn variables(key: &Key) -> BTreeMap<String, String> {
    [("OSS_ACCESS_KEY_ID", &key.id), ("OSS_ACCESS_KEY_SECRET", &key.secret)]
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .into()
}

fn curl(url: &str) -> Result<Vec<u8>> {
    let output = std::process::Command::new("curl").args(["-sf", url]).output()?;
    anyhow::ensure!(output.status.success(), "curl: {}", output.status);
    Ok(output.stdout)
}

#[test]
fn the_object_is_the_cluster_under_its_new_prefix() -> Result<()> {
    let bench = Bench::new()?;
    let made = bench.snapshot(&bench.request()?)?;
    assert_eq!((made.matched, made.unmatched, made.revision), (51, 0, 52));
    assert_eq!(made.object, format!("oss://{BUCKET}/etcd_c123_1"));
    assert!(made.hashkv.is_some() && made.quiet_until == 52, "{made:?}");
    assert!(bench.left()?.is_empty(), "{:?}", bench.left()?);
    assert_eq!(fs::metadata(bench.working_dir())?.permissions().mode() & 0o777, 0o700);
    let bundled = bench.bundle(&made, true)?;
    let there = bench.folder.path().join("fetched.db");
    fs::write(&there, curl(bundled.bundle.oss_url.reveal())?)?;
    tools::status(Version::JUDGE, &there, None)?;
    let restored = EtcdServer::restored(Version::V3_5_16, &there)?;
    let key = block_on(async {
        let mut client = restored.client().await?;
        anyhow::Ok(client.get("/c123/pods/8", None).await?.kvs().first().cloned())
    })?;
    assert_eq!(key.context("no key")?.value(), b"value");
    // As `base64 -w0` writes it.
    assert_eq!(bundled.bundle.sakey.reveal(), "dGhlIGtleSBvZiBzYS5rZXkK");
    assert!(bundled.extra.is_some_and(|extra| extra.encryption_config.is_none()));
    let shown = format!("{:?}", bundled.bundle);
    assert!(!shown.contains("http") && !shown.contains("dGhl"), "{shown}");
    Ok(())
}

#[test]
fn whoever_writes_meanwhile_is_named() -> Result<()> {
    let bench = Bench::new()?;
    let writer = Writer::start(bench.etcd.url(), Duration::from_millis(5));
    writer.wait_for(3)?;
    let written = bench.snapshot(&bench.request()?).map(|_| ()).unwrap_err();
    writer.stop()?;
    assert_eq!(written.kind, NodeErrorKind::Written, "{written}");
    assert!(bench.left()?.is_empty(), "{:?}", bench.left()?);
    // Between the upload and the bundle, in one single revision.
    let made = bench.snapshot(&bench.request()?)?;
    bench.bundle(&made, false)?;
    block_on(async {
        bench.etcd.client().await?.put("/registry/late", "v", None).await?;
        anyhow::Ok(())
    })?;
    let late = bench.bundle(&made, false).map(|_| ()).unwrap_err();
    assert_eq!(late.kind, NodeErrorKind::Written, "{late}");
    assert!(late.message.contains("/registry/late"), "{late}");
    Ok(())
}

#[test]
fn leases_may_end_meanwhile() -> Result<()> {
    let bench = Bench::new()?;
    let made = bench.snapshot(&bench.request()?)?;
    block_on(async {
        let mut client = bench.etcd.client().await?;
        let lease = client.lease_grant(600, None).await?.id();
        let options = etcd_client::PutOptions::new().with_lease(lease);
        client.put("/registry/leased", "v", Some(options)).await?;
        anyhow::Ok(lease)
    })?;
    let made_later = bench.snapshot(&bench.request()?)?;
    assert!(made_later.revision > made.revision);
    block_on(async {
        let mut client = bench.etcd.client().await?;
        let lease = client.leases().await?.leases()[0].id();
        // As an expiry looks.
        client.lease_revoke(lease).await?;
        anyhow::Ok(())
    })?;
    let bundled = bench.bundle(&made_later, false)?;
    assert_eq!(bundled.quiet["expiries"], 1, "{}", bundled.quiet);
    Ok(())
}

#[test]
fn a_rehearsal_leaves_nothing_anywhere() -> Result<()> {
    let bench = Bench::new()?;
    let writer = Writer::start(bench.etcd.url(), Duration::from_millis(5));
    let request =
        SnapshotRequest { rehearsal: true, store: bench.place("backups/"), ..bench.request()? };
    let made = bench.snapshot(&request)?;
    writer.stop()?;
    assert!(made.matched >= 51 && made.phases.len() == 3, "{made:?}");
    assert!(bench.left()?.is_empty());
    let probe = bench.store.sdk().get("backups/etcdprefix-rehearsal-run-1");
    assert!(probe.is_err(), "the probe is gone");
    Ok(())
}

#[test]
fn what_the_store_refuses_is_told_and_nothing_is_left() -> Result<()> {
    let bench = Bench::new()?;
    bench.store.allow(bench.store.key(), &["PutObject"])?;
    let refused = bench.snapshot(&bench.request()?).map(|_| ()).unwrap_err();
    assert_eq!(refused.kind, NodeErrorKind::Store, "{refused}");
    assert!(bench.left()?.is_empty());
    let nobody = SnapshotRequest { src_prefix: "/other".into(), ..bench.request()? };
    let refused = bench.snapshot(&nobody).map(|_| ()).unwrap_err();
    assert_eq!(refused.kind, NodeErrorKind::Rewrite, "{refused}");
    assert!(bench.left()?.is_empty());
    Ok(())
}

#[test]
fn an_interruption_ends_it() -> Result<()> {
    let bench = Bench::new()?;
    let flag = Arc::new(AtomicBool::new(false));
    flag.store(true, Ordering::Relaxed);
    let stopped =
        snapshot::run(&bench.request()?, &bench.variables, &flag).map(|_| ()).unwrap_err();
    assert_eq!(stopped.kind, NodeErrorKind::Interrupted, "{stopped}");
    assert!(bench.left()?.is_empty());
    Ok(())
}

#[test]
fn files_are_kept_where_they_are_asked_for() -> Result<()> {
    let bench = Bench::new()?;
    let made = bench.snapshot(&SnapshotRequest { keep: true, ..bench.request()? })?;
    assert_eq!(made.kept.len(), 2, "{made:?}");
    for file in &made.kept {
        tools::status(Version::JUDGE, file, None)?;
        assert_eq!(fs::metadata(file)?.permissions().mode() & 0o777, 0o600);
    }
    snapshot::remove_leftovers(&bench.working_dir(), "run-1");
    assert!(bench.left()?.is_empty());
    Ok(())
}

#[test]
fn a_dead_url_stays_dead() -> Result<()> {
    for denied in [&[][..], &["DeleteObject"]] {
        let bench = Bench::new()?;
        let made = bench.snapshot(&bench.request()?)?;
        let url = bench.bundle(&made, false)?.bundle.oss_url;
        assert!(curl(url.reveal())?.len() > 20_000);
        bench.store.allow(bench.store.key(), denied)?;
        let object = ObjectAccess { store: bench.place("etcd_c123_1") };
        let how = bundle::unpublish(&object, &bench.variables)?;
        assert_eq!(how, if denied.is_empty() { "deleted" } else { "overwritten" });
        assert!(curl(url.reveal()).map_or(0, |bytes| bytes.len()) < 100, "still fetched");
        // Once more is no fault.
        bundle::unpublish(&object, &bench.variables)?;
    }
    Ok(())
}

#[test]
fn a_new_url_is_for_the_same_object() -> Result<()> {
    let bench = Bench::new()?;
    bench.snapshot(&bench.request()?)?;
    let object = ObjectAccess { store: bench.place("etcd_c123_1") };
    let signed =
        bundle::presign(&PresignRequest { object, presign_seconds: 60 }, &bench.variables)?;
    assert!(curl(signed.url.reveal())?.len() > 20_000);
    assert!(!format!("{signed:?}").contains("http"), "{signed:?}");
    Ok(())
}

#[test]
fn keys_that_are_missing_are_named() -> Result<()> {
    let bench = Bench::new()?;
    let made = bench.snapshot(&bench.request()?)?;
    fs::remove_file(bench.folder.path().join("front.key"))?;
    let missing = bench.bundle(&made, false).map(|_| ()).unwrap_err();
    assert!(missing.message.contains("front.key"), "{missing}");
    assert!(Path::new(&bench.working_dir()).exists());
    Ok(())
}
