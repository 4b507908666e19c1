//! From flags and a file to what is migrated.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use etcdprefix_migrate::config::HostConfig;
use etcdprefix_migrate::protocol::{EtcdAccess, StoreAccess};
use etcdprefix_migrate::rate::Amount;
use etcdprefix_migrate::{Config, Error, RateControl};
use serde_json::json;

use super::assistant;
use crate::args::go::GoDuration;
use crate::args::migrate::config::{ConfigArgs, EtcdArgs, HostArgs, StoreArgs, WhichArgs};
use crate::exit::Exit;
use crate::failure::Failure;

/// The file, or what no file is needed for; then the flags.
pub fn resolve(args: &ConfigArgs) -> Result<Config, Failure> {
    let config = match &args.which.config {
        Some(file) => Config::read(file).map_err(|error| Failure::migration(&error))?,
        None => unread(args)?,
    };
    let config = flagged(config, args)?;
    config.check().map_err(|error| Failure::migration(&error))?;
    Ok(config)
}

/// The least that a configuration says, all else as it is by default.
fn unread(args: &ConfigArgs) -> Result<Config, Failure> {
    let (id, store) = (&args.which.cluster_id, &args.store.store);
    let given = [
        ("--cluster-id", id.is_some()),
        ("--host", !args.hosts.hosts.is_empty() || args.assistant.assistant_targets.is_some()),
        ("--store", store.is_some()),
    ];
    let missing: Vec<&str> = given.iter().filter(|(_, is)| !is).map(|(flag, _)| *flag).collect();
    if !missing.is_empty() {
        let message = format!("what is migrated is not said: {} missing", missing.join(", "));
        let hint = "--config FILE with it, or these flags; `etcdprefix migrate --help`";
        return Err(Failure::new(Exit::Usage, message, Some(hint.into())));
    }
    let least = json!({"cluster_id": id, "hosts": args.hosts.hosts, "store": {"url": store}});
    serde_json::from_value(least).map_err(|error| wrong("the flags", &error.to_string()))
}

fn flagged(config: Config, args: &ConfigArgs) -> Result<Config, Failure> {
    let mut config = config;
    if let Some(id) = &args.which.cluster_id {
        config.cluster_id = id.parse().map_err(|error| Failure::migration(&error))?;
    }
    take(&mut config.presign_seconds, args.presign_lifetime.map(seconds));
    take(&mut config.wake_after_seconds, args.wake_after.map(seconds));
    take(&mut config.snapshot_limit_seconds, args.snapshot_limit.map(seconds));
    take(&mut config.all, args.all);
    take(&mut config.allow_undecryptable, args.allow_undecryptable);
    config.src_prefix = args.src_prefix.clone().or(config.src_prefix);
    config.target_quota_bytes = args.target_quota.or(config.target_quota_bytes);
    take_all(&mut config.also, &args.also);
    config.assistant = assistant::flagged(config.assistant.take(), &args.assistant)?;
    flag_hosts(&mut config, &args.hosts)?;
    if args.assistant.assistant_targets.is_some() {
        config.hosts.clear();
    }
    config.etcd = etcd(config.etcd, &args.etcd)?;
    config.store = store(config.store, &args.store);
    Ok(config)
}

fn flag_hosts(config: &mut Config, args: &HostArgs) -> Result<(), Failure> {
    if !args.hosts.is_empty() {
        config.hosts = args.hosts.iter().map(|name| host(name)).collect::<Result<_, _>>()?;
        // Whoever names hosts means no others.
        config.assistant.iter_mut().for_each(|assistant| assistant.targets = None);
    }
    let ssh = &mut config.ssh;
    ssh.config = args.ssh_config.clone().or(ssh.config.take());
    ssh.identity = args.identity_file.clone().or(ssh.identity.take());
    take_all(&mut ssh.jump, &args.jump);
    take(&mut ssh.becomes_root, args.becomes_root);
    for given in &args.binary {
        let (arch, path) = binary(given)?;
        ssh.binaries.insert(arch, path);
    }
    config.rate_control = rate(config.rate_control.clone(), args)?;
    take(&mut config.working_dir, args.working_dir.clone());
    take(&mut config.node_state, args.node_state.clone());
    config.kubeconfig = args.kubeconfig.clone().or(config.kubeconfig.take());
    Ok(())
}

fn host(name: &str) -> Result<HostConfig, Failure> {
    HostConfig::try_from(name.to_owned()).map_err(|why| wrong("--host", &why))
}

/// `ARCH=FILE`, or a file that says itself what it is for.
fn binary(given: &str) -> Result<(String, PathBuf), Failure> {
    if let Some((arch @ ("x86_64" | "aarch64"), path)) = given.split_once('=') {
        return Ok((arch.into(), path.into()));
    }
    let path = Path::new(given);
    let mut header = [0; 20];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut header));
    read.map_err(|source| {
        let error = Error::File { doing: "read", path: path.into(), source };
        Failure::migration(&error)
    })?;
    match arch_of(&header) {
        Some(arch) => Ok((arch.into(), path.into())),
        None => Err(wrong("--binary", &format!("{given} is no program for x86_64 or aarch64"))),
    }
}

/// By the header of an ELF file: the machine stands at byte 18.
fn arch_of(header: &[u8; 20]) -> Option<&'static str> {
    match (&header[..4], &header[18..]) {
        (b"\x7fELF", [62, 0]) => Some("x86_64"),
        (b"\x7fELF", [183, 0]) => Some("aarch64"),
        _ => None,
    }
}

fn rate(configured: RateControl, args: &HostArgs) -> Result<RateControl, Failure> {
    let given = args.rate_control.as_deref().map(RateControl::parse).transpose();
    let mut rate = given.map_err(|error| Failure::migration(&error))?.unwrap_or(configured);
    let amount = |flag, given: &String| {
        serde_json::from_value::<Amount>(json!(given))
            .map_err(|error| wrong(flag, &error.to_string()))
    };
    let concurrency = args.concurrency.as_ref().map(|given| amount("--concurrency", given));
    take(&mut rate.concurrency, concurrency.transpose()?);
    let max_errors = args.max_errors.as_ref().map(|given| amount("--max-errors", given));
    take(&mut rate.max_errors, max_errors.transpose()?);
    Ok(rate)
}

/// How etcd is asked, if that is said anywhere.
pub fn etcd(
    configured: Option<EtcdAccess>,
    args: &EtcdArgs,
) -> Result<Option<EtcdAccess>, Failure> {
    let files = [&args.etcd_cacert, &args.etcd_cert, &args.etcd_key];
    if args.etcd_endpoints.is_empty() && files.iter().all(|file| file.is_none()) {
        return Ok(configured);
    }
    let mut access = configured.unwrap_or_default();
    take_all(&mut access.endpoints, &args.etcd_endpoints);
    if access.endpoints.is_empty() {
        return Err(wrong("--etcd-cacert, --etcd-cert and --etcd-key", "no --etcd-endpoints"));
    }
    let [cacert, cert, key] = files.map(Clone::clone);
    access.cacert = cacert.or(access.cacert);
    access.cert = cert.or(access.cert);
    access.key = key.or(access.key);
    Ok(Some(access))
}

/// Where the snapshot goes.
pub fn store(configured: StoreAccess, args: &StoreArgs) -> StoreAccess {
    let args = args.clone();
    StoreAccess {
        url: args.store.unwrap_or(configured.url),
        endpoint: args.store_endpoint.or(configured.endpoint),
        presign_endpoint: args.presign_endpoint.or(configured.presign_endpoint),
        region: args.region.or(configured.region),
        internal: args.internal.unwrap_or(configured.internal),
        credentials: args.store_credentials.or(configured.credentials),
        profile: args.store_profile.or(configured.profile),
        cacert: args.store_cacert.or(configured.cacert),
        path_style: args.store_path_style.unwrap_or(configured.path_style),
    }
}

/// Where the orchestrator keeps what it knows of a cluster.
pub fn folder(which: &WhichArgs, cluster_id: &str) -> Result<PathBuf, Failure> {
    if let Some(folder) = &which.folder {
        return Ok(folder.clone());
    }
    let given = std::env::var_os("ETCDPREFIX_HOME").filter(|home| !home.is_empty());
    let own = || std::env::home_dir().map(|home| home.join(".etcdprefix"));
    match given.map(PathBuf::from).or_else(own) {
        Some(home) => Ok(home.join(cluster_id)),
        None => Err(wrong("--folder", "there is no home folder")),
    }
}

fn take<T>(value: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *value = given;
    }
}

fn take_all(values: &mut Vec<String>, given: &[String]) {
    if !given.is_empty() {
        *values = given.to_vec();
    }
}

/// Whole ones: nothing here is shorter.
pub fn seconds(time: GoDuration) -> u64 {
    time.0.as_secs()
}

pub fn wrong(what: &str, why: &str) -> Failure {
    Failure::new(Exit::Usage, format!("{what}: {why}"), Some("--help".into()))
}
