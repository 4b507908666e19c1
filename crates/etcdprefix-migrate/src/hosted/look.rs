//! What is there, and whatever speaks against a run, before anything is changed.

use serde_json::Value;

use super::asleep::PAUSED;
use super::found::{Found, WriterFound};
use super::into::{self, Wanted};
use super::keys::Keys;
use super::objects::{Objects, WRITERS, meta, replicas};
use super::record::{Record, Writer};
use super::targets::Targets;
use super::way::{self, Way};
use super::{Name, RunOptions, Setup, size, trial};
use crate::error::{Error, Result};
use crate::flow::{new_run, us};
use crate::node::reach;
use crate::protocol::StoreAccess;

/// All that a run begins with.
pub struct Look<'a> {
    pub objects: Objects<'a>,
    pub hosted: Value,
    pub keys: Keys,
    pub way: Box<dyn Way>,
    pub record: Record,
    pub found: Found,
}

/// # Errors
/// [`Error::NotFit`], [`Error::Busy`], [`Error::Usage`], and what can't be reached.
pub async fn look<'a>(setup: &'a Setup, options: &RunOptions) -> Result<Look<'a>> {
    let objects = Objects::open(setup).await?;
    let hosted = objects.hosted().await?;
    fits(&hosted)?;
    let keys = Keys::read(setup, &objects, &hosted).await?;
    let mut warnings = told_of_keys(&keys);
    let (record, writers) = record(setup, options, &objects, &hosted).await?;
    warnings.extend(absent(&writers));
    Targets::new(setup, &options.files).attempt(options.files.into.as_ref())?;
    try_into(options, &setup.name, &keys, &hosted)?;
    trial::rights(setup).await?;
    if objects.control_plane().await?.is_none() {
        let (namespace, name) = (&setup.control_plane, &setup.name.name);
        return Err(Error::NotFit(format!(
            "there is no HostedControlPlane {namespace}/{name} to show that a pause is heeded; try: \
             --control-plane-namespace with the one that has it"
        )));
    }
    let way = way::open(setup, &objects, &options.etcd).await?;
    let reached = way.look().await?;
    warnings.extend(reached.warnings);
    warnings.extend(trial::store(setup, options, &record.run).await?);
    let found = Found {
        hosted_cluster: setup.name.to_string(),
        control_plane: setup.control_plane.clone(),
        api_version: objects.version.clone(),
        paused_until: record.paused_until.clone(),
        writers,
        encryption: keys.told(),
        volume: volume(&hosted),
        way: way.title(),
        member: reached.member,
        db_bytes: reached.db_bytes,
        object: record.object.url.clone(),
        prefixes: options.prefixes.clone(),
        after: options.after,
        warnings,
    };
    Ok(Look { objects, hosted, keys, way, record, found })
}

/// Of the HostedCluster's etcd.
fn volume(hosted: &Value) -> Option<String> {
    size::written(&hosted["spec"]["etcd"]["managed"]["storage"]["persistentVolume"]["size"])
}

fn fits(hosted: &Value) -> Result<()> {
    let unfit = |why: &str| Err(Error::NotFit(why.into()));
    if let Some(record) = Record::of(hosted)? {
        return Err(held(&record));
    }
    if hosted["metadata"]["deletionTimestamp"].is_string() {
        return unfit("the HostedCluster is being deleted");
    }
    let etcd = &hosted["spec"]["etcd"];
    if etcd["managementType"] != "Managed" {
        return unfit(
            "its etcd is not managed by HyperShift (spec.etcd.managementType); try: `etcdprefix \
             snapshot save` of that etcd",
        );
    }
    let shards = etcd["managed"]["shards"].as_array();
    if shards.is_some_and(|shards| !shards.is_empty()) {
        return unfit(
            "its etcd is divided (spec.etcd.managed.shards): one snapshot is not all of it, and \
             restoreSnapshotURL restores only one",
        );
    }
    Ok(())
}

/// Whoever holds it.
pub fn held(record: &Record) -> Error {
    let Record { run, by, began, .. } = record;
    let state = if record.is_left() { "was left asleep by" } else { "is held by" };
    Error::Busy(format!(
        "it {state} run {run} ({by}, since {began}); try: `etcdprefix migrate hosted status`, then \
         `etcdprefix migrate hosted rollback` if nobody is at work"
    ))
}

async fn record(
    setup: &Setup,
    options: &RunOptions,
    objects: &Objects<'_>,
    hosted: &Value,
) -> Result<(Record, Vec<WriterFound>)> {
    let run = new_run();
    let (mut writers, mut found) = (Vec::new(), Vec::new());
    for name in WRITERS {
        let deployment = objects.deployment(name).await?;
        let count = deployment.as_ref().map(replicas);
        found.push(WriterFound { name: name.into(), replicas: count });
        writers.extend(deployment.map(|it| Writer {
            name: name.into(),
            uid: meta(&it, "uid").into(),
            replicas: replicas(&it),
        }));
    }
    if found[0].replicas.is_none() {
        let namespace = &setup.control_plane;
        let why = format!(
            "there is no kube-apiserver in {namespace}; try: --control-plane-namespace with the one \
             that has the pods of the control plane"
        );
        return Err(Error::NotFit(why));
    }
    let paused_until = hosted["spec"]["pausedUntil"].as_str().map(str::to_owned);
    if paused_until.as_deref() == Some(PAUSED) && found[0].replicas == Some(0) {
        return Err(Error::NotFit(
            "it is paused, its kube-apiserver is at zero, and no annotation says what was before; \
             try: `etcdprefix migrate hosted rollback` on the machine that left it so, or to wake \
             it by hand"
                .into(),
        ));
    }
    let record = Record {
        uid: meta(hosted, "uid").into(),
        server: setup.cluster.server().into(),
        control_plane: setup.control_plane.clone(),
        by: us(),
        began: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        after: options.after,
        made: false,
        paused_until,
        writers,
        object: object(setup, &options.store, &run)?,
        run,
    };
    Ok((record, found))
}

/// Says whose it is, and is never used again.
pub fn object_name(setup: &Setup, run: &str) -> String {
    format!("{}_{}_{run}.db", setup.name.namespace, setup.name.name)
}

/// Below the place that was given.
fn object(setup: &Setup, store: &StoreAccess, run: &str) -> Result<StoreAccess> {
    let failed = |error| Error::Step { host: "the store".into(), error };
    let location = reach::location(&store.url).map_err(failed)?;
    let name = object_name(setup, run);
    let prefix = location.key.trim_end_matches('/');
    let key = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
    let location = location.with_key(&key).map_err(|error| failed(error.into()))?;
    Ok(StoreAccess { url: location.to_string(), ..store.clone() })
}

fn absent(writers: &[WriterFound]) -> Option<String> {
    let absent = writers.iter().filter(|writer| writer.replicas.is_none());
    let absent: Vec<&str> = absent.map(|writer| writer.name.as_str()).collect();
    (!absent.is_empty()).then(|| format!("not in this control plane: {}", absent.join(", ")))
}

fn told_of_keys(keys: &Keys) -> Vec<String> {
    let told = match keys {
        Keys::Kms(kms) => Some(format!(
            "Secrets are encrypted with a key of {}: the new cluster must reach the same key",
            kms["provider"].as_str().unwrap_or("a key service")
        )),
        Keys::None => Some("Secrets are not encrypted in the snapshot".to_owned()),
        Keys::Aescbc { .. } => None,
    };
    told.into_iter().collect()
}

/// With something in the URL's place: what speaks against it is to be known before anything sleeps.
fn try_into(options: &RunOptions, source: &Name, keys: &Keys, hosted: &Value) -> Result<()> {
    let Some(file) = &options.files.into else { return Ok(()) };
    let volume = size::of_volume(1, &volume(hosted).as_deref().into_iter().collect::<Vec<_>>());
    let name = options.files.into_name.as_deref();
    let wanted = Wanted { url: "https://example.invalid/", volume: &volume, keys, name, source };
    into::merge(file, &wanted).map(|_| ())
}
