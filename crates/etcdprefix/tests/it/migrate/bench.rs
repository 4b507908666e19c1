//! Hosts with a control plane, a store, a configuration, and the command on them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use etcd_client::PutOptions;
use etcdprefix_testkit::block_on;
use etcdprefix_testkit::hosts::{CONTROL_ADDRESS, Hosts, HostsOptions, TestHost};
use etcdprefix_testkit::stores::{Act, BUCKET, Front, Key, OssServer, Rule, S3Server};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::before::Before;
use super::run::{Run, Running};
use super::secrets::Secrets;
use crate::support::{PROGRAM, said};

/// Nothing here takes so long on a loaded machine.
pub const LIMIT: Duration = Duration::from_secs(180);

/// On the managed side.
pub const CLUSTER: &str = "c0123456789abcdef0123456789abcdef";

/// What all hosts put to sleep.
pub const COMPONENTS: [&str; 4] =
    ["cloud-controller-manager", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// Where hosts keep what they know.
pub const STATE: &str = "/var/lib/etcdprefix";

/// Where the snapshot goes.
pub enum Store {
    Oss(OssServer),
    S3(S3Server),
}

impl Store {
    pub fn key(&self) -> &Key {
        match self {
            Self::Oss(server) => server.key(),
            Self::S3(server) => server.key(),
        }
    }

    pub fn as_oss(&self) -> &OssServer {
        match self {
            Self::Oss(server) => server,
            Self::S3(_) => panic!("this is SeaweedFS"),
        }
    }

    fn address(&self) -> &str {
        match self {
            Self::Oss(server) => server.address(),
            Self::S3(server) => server.address(),
        }
    }

    fn scheme(&self) -> (&'static str, &'static str) {
        match self {
            Self::Oss(_) => ("oss", OssServer::REGION),
            Self::S3(_) => ("s3", S3Server::REGION),
        }
    }

    /// The variables that hold this key.
    fn variables(&self, key: &Key) -> BTreeMap<String, String> {
        let names = match self {
            Self::Oss(_) => ["OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN"],
            Self::S3(_) => ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"],
        };
        let values = [Some(&key.id), Some(&key.secret), key.token.as_ref()];
        let set = names.into_iter().zip(values);
        set.filter_map(|(name, value)| Some((name.to_owned(), value?.clone()))).collect()
    }
}

/// A cluster that is to be migrated, and whoever migrates it.
pub struct Migration {
    // Ended in this order.
    pub front: Front,
    pub store: Store,
    pub secrets: Secrets,
    pub before: Before,
    pub config: RefCell<Value>,
    pub variables: RefCell<BTreeMap<String, String>>,
    pub hosts: Hosts,
    folder: TempDir,
}

impl Migration {
    /// With the stand-in for OSS, and steps that can be held and changed.
    pub fn start(options: HostsOptions) -> Result<Self> {
        let this = Self::with(options, |address| Ok(Store::Oss(OssServer::start_at(address)?)))?;
        this.hook()?;
        Ok(this)
    }

    /// On one host alone, which is enough where the others would do the same.
    pub fn one() -> Result<Self> {
        Self::start(HostsOptions { hosts: 1, ..HostsOptions::default() })
    }

    /// With a store, and with the program itself on the hosts.
    pub fn with(
        options: HostsOptions,
        store: impl FnOnce(std::net::IpAddr) -> Result<Store>,
    ) -> Result<Self> {
        let hosts = Hosts::start(options)?;
        block_on(fill(&hosts))?;
        let folder = TempDir::new()?;
        let store = store(CONTROL_ADDRESS.into())?;
        let front = Front::start_at(CONTROL_ADDRESS.into(), store.address())?;
        let variables = RefCell::new(store.variables(store.key()));
        let secrets = Secrets::of(&hosts)?;
        let before = Before::of(&hosts)?;
        let config = RefCell::new(configuration(&hosts, &store, &front));
        let this = Self { front, store, secrets, before, config, variables, hosts, folder };
        for name in ["home", "tmp"] {
            fs::create_dir(this.path(name))?;
        }
        this.configure(|config| {
            config["ssh"]["binaries"] = json!({std::env::consts::ARCH: stripped()?});
            Ok(())
        })?;
        Ok(this)
    }

    /// Puts the program on the hosts, and a script that runs it in its place.
    fn hook(&self) -> Result<()> {
        let program = stripped()?;
        for host in self.hosts.all() {
            let there = host.path("/opt/etcdprefix");
            fs::hard_link(&program, &there).or_else(|_| fs::copy(&program, &there).map(drop))?;
            fs::create_dir(host.path("/run/hooks"))?;
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/migrate/hooked.py");
        self.configure(|config| {
            config["ssh"]["binaries"] = json!({std::env::consts::ARCH: script});
            Ok(())
        })
    }

    /// Changes the configuration's file.
    pub fn configure(&self, change: impl FnOnce(&mut Value) -> Result<()>) -> Result<()> {
        let mut config = self.config.borrow_mut();
        change(&mut config)?;
        // JSON is YAML.
        Ok(fs::write(self.path("config.yaml"), config.to_string())?)
    }

    /// What is in the folder of whoever migrates that is not whole yet.
    pub fn unfinished(&self) -> Result<Vec<String>> {
        let mut names = names(&self.folder())?;
        names.retain(|name| name.starts_with('.'));
        Ok(names)
    }

    /// Below the folder of whoever migrates.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Journal, rehearsal and bundle.
    pub fn folder(&self) -> PathBuf {
        self.path("folder")
    }

    /// `etcdprefix migrate`, its words split at spaces, with the configuration.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg("migrate").args(line.split_whitespace());
        command.arg("--config").arg(self.path("config.yaml"));
        if !line.contains("--folder") {
            command.arg("--folder").arg(self.folder());
        }
        command.env_clear().envs(&*self.variables.borrow());
        // A log that somebody asks for must not say more.
        command.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "1");
        command.env("PATH", self.hosts.ssh().path().unwrap_or_default());
        command.env("HOME", self.path("home")).env("TMPDIR", self.path("tmp"));
        command.stdin(Stdio::null()).current_dir(self.folder.path());
        command
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn migrate(&self, line: &str) -> Run {
        self.begin(line).end()
    }

    /// Starts it.
    #[track_caller]
    pub fn begin(&self, line: &str) -> Running<'_> {
        Running::start(self, line)
    }

    /// The journal's lines.
    pub fn journal(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder().join("journal.jsonl")).unwrap_or_default();
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// A step begins on a host only once this is dropped, or [`Hold::release`] is called.
    pub fn hold(&self, host: usize, step: &str) -> Result<Hold> {
        let hooks = self.hosts.host(host).path("/run/hooks");
        let hold = hooks.join(format!("hold.{step}"));
        fs::write(&hold, "")?;
        Ok(Hold { hold, seen: hooks.join(format!("seen.{step}")) })
    }

    /// Replaces members of a step's call on a host, until this is dropped.
    pub fn change(&self, host: usize, step: &str, change: &Value) -> Result<Change> {
        let hooks = self.hosts.host(host).path("/run/hooks");
        let change_file = hooks.join(format!("change.{step}"));
        fs::write(&change_file, change.to_string())?;
        Ok(Change(change_file))
    }

    /// Every host is as it was before anything was done, and its API server runs.
    pub fn is_as_before(&self) -> Result<()> {
        self.before.check(&self.hosts)?;
        for host in self.hosts.all() {
            host.wait_for("kube-apiserver", true)?;
            // A timer ends within a second.
            host.wait_for("etcdprefix", false)?;
            let left = self.left_on(host)?;
            ensure!(left.is_empty(), "{}: {left:?}", host.name());
        }
        Ok(())
    }

    /// What we have left on a host, but for the program, an empty working folder, and the name of the
    /// last run of an engine that was undone.
    pub fn left_on(&self, host: &TestHost) -> Result<Vec<String>> {
        let state = host.path(STATE);
        let mut left = names(&state)?;
        left.retain(|name| !["bin", "work", "closed.json"].contains(&name.as_str()));
        let work = state.join("work");
        left.extend(names(&work)?);
        Ok(left)
    }

    /// How all hosts are, as `migrate status` tells.
    #[track_caller]
    pub fn status(&self) -> Value {
        self.migrate("status -w json").json()
    }

    /// Every host sleeps for good: fenced, without timer, and held.
    #[track_caller]
    pub fn is_handed_out(&self) {
        let status = self.status();
        assert_eq!(status["phase"], "handed_out", "{status}");
        for host in status["hosts"].as_array().unwrap() {
            let host = &host["status"];
            assert_eq!(host["asleep"]["moved"].as_array().unwrap().len(), 4, "{host}");
            assert!(host["timer"].is_null() && host["fired"].is_null(), "{host}");
            assert!(host["fence"]["since_ms"].is_u64(), "{host}");
            assert_eq!(host["lock"]["owner"]["cluster"], CLUSTER, "{host}");
            assert_eq!(host["api_server_runs"], false, "{host}");
        }
        for host in self.hosts.all() {
            let runs = COMPONENTS.iter().filter(|name| host.runs(name).unwrap());
            assert_eq!(runs.collect::<Vec<_>>(), [&""; 0], "{}", host.name());
        }
    }

    /// The keys of all that is in the store.
    pub fn stored(&self) -> Result<Vec<String>> {
        let (scheme, region) = self.store.scheme();
        let mut command = Command::new(PROGRAM);
        command.args(["store", "ls", &format!("{scheme}://{BUCKET}/"), "-w", "json"]);
        command.args(["--endpoint", &format!("http://{}", self.front.address())]);
        command.args(["--region", region, "--addressing", "path"]);
        let output = command.env_clear().envs(self.store.variables(self.store.key())).output()?;
        ensure!(output.status.success(), "{}", said(&output));
        let listed: Value = serde_json::from_slice(&output.stdout)?;
        let objects = listed["objects"].as_array().context("no list")?;
        Ok(objects.iter().map(|object| object["key"].to_string()).collect())
    }

    /// The object that the journal knows of.
    pub fn object(&self) -> Option<String> {
        let lines = self.journal();
        let last = lines.iter().rev().find_map(|line| line["object"].as_str());
        last.map(str::to_owned)
    }
}

impl Drop for Migration {
    fn drop(&mut self) {
        // The hosts end after this.
        super::connections::end();
    }
}

/// A step that waits on a host.
pub struct Hold {
    hold: PathBuf,
    seen: PathBuf,
}

impl Hold {
    /// Whether the step is there.
    pub fn is_waiting(&self) -> bool {
        self.seen.exists()
    }

    pub fn release(self) {}
}

impl Drop for Hold {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.seen);
        let _ = fs::remove_file(&self.hold);
    }
}

/// A step that is changed on a host.
pub struct Change(PathBuf);

impl Drop for Change {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// The upload of a snapshot, to be held or broken.
pub fn object_put() -> Rule {
    Rule { method: "PUT", holds: "moved/etcd_", skip: 0, times: 1, act: Act::Hold }
}

/// None if it isn't there.
fn names(folder: &Path) -> Result<Vec<String>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let names = fs::read_dir(folder)?;
    names.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// What a cluster has that was there for a while: a history, and leases that last.
async fn fill(hosts: &Hosts) -> Result<()> {
    let mut client = hosts.etcd().client(1).await?;
    let lease = client.lease_grant(3600, None).await?.id();
    for number in 0..60 {
        let key = format!("/registry/pods/default/pod-{}", number % 50);
        client.put(key, format!("version {number}"), None).await?;
    }
    client.delete("/registry/pods/default/pod-7", None).await?;
    let leased = PutOptions::new().with_lease(lease);
    client.put("/registry/masterleases/10.77.0.11", "leased", Some(leased)).await?;
    client.put("elsewhere", "not of Kubernetes", None).await?;
    Ok(())
}

fn configuration(hosts: &Hosts, store: &Store, front: &Front) -> Value {
    let (scheme, region) = store.scheme();
    let names: Vec<String> = hosts.all().iter().map(|host| host.name()).collect();
    json!({
        "cluster_id": CLUSTER,
        "hosts": names,
        "ssh": {"config": hosts.ssh().config()},
        "store": {
            "url": format!("{scheme}://{BUCKET}/moved/"),
            "endpoint": format!("http://{}", front.address()),
            "region": region,
            "path_style": true,
        },
    })
}

/// The program without what only debuggers read, so that copying it takes no time.
pub fn stripped() -> Result<PathBuf> {
    let built = fs::metadata(PROGRAM)?.modified()?.duration_since(std::time::UNIX_EPOCH)?;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let stripped = folder.join(format!("etcdprefix-{}", built.as_nanos()));
    if stripped.exists() {
        return Ok(stripped);
    }
    let fresh = tempfile::NamedTempFile::new_in(folder)?;
    let done = Command::new("strip").arg("-o").arg(fresh.path()).arg(PROGRAM).status();
    ensure!(done.context("strip is needed: Debian's binutils")?.success(), "strip fails");
    fs::set_permissions(fresh.path(), fs::Permissions::from_mode(0o755))?;
    fresh.persist(&stripped)?;
    Ok(stripped)
}
