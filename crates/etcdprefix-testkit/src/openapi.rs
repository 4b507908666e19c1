//! The stand-in for Alibaba Cloud's API of ECS and OOS: `tools/openapi_server.py`.
//!
//! Its signatures are checked by Alibaba's own package, commands really run on the instances, and
//! templates are run by `tools/oos_engine.py`.

use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::certs::Identity;
use crate::hosts::TestHost;
use crate::process::{LOOPBACK, Process};
use crate::provisioned::cloud_python;
use crate::stores::{Key, settle};

/// A running server; ended on drop, with the commands that run on this machine.
pub struct OpenApi {
    _process: Process,
    scheme: &'static str,
    address: SocketAddr,
    config: Mutex<Value>,
    folder: TempDir,
    key: Key,
}

/// What goes wrong with a call. Of a call that is throttled or refused nothing is done.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// `Throttling.User`.
    Throttle,
    /// 503, `ServiceUnavailable`.
    Busy,
    /// Done, and the connection is closed without an answer.
    Lost,
    /// Done so many seconds later.
    Late(f64),
    /// A status and a code.
    Refuse(u16, &'static str),
    /// Nothing is done, and nothing answered until the client goes away.
    BlackHole,
    /// Of `RunCommand`: handed over to the instance so many seconds later.
    Pending(f64),
    /// Of `RunCommand`: it runs, but nothing is ever told of it. At its limit it counts as timed out, and goes on.
    Unreported,
    /// Of `RunCommand`: ended so many seconds after its start, with what it has started: `ExecutionInterrupted`.
    Interrupted(f64),
}

impl Fault {
    fn words(self) -> Value {
        match self {
            Self::Throttle => json!({"kind": "throttle"}),
            Self::Busy => json!({"kind": "busy"}),
            Self::Lost => json!({"kind": "lost"}),
            Self::Late(seconds) => json!({"kind": "late", "seconds": seconds}),
            Self::Refuse(status, code) => {
                json!({"kind": "refuse", "status": status, "code": code})
            }
            Self::BlackHole => json!({"kind": "hole"}),
            Self::Pending(seconds) => json!({"kind": "pending", "seconds": seconds}),
            Self::Unreported => json!({"kind": "unreported"}),
            Self::Interrupted(seconds) => json!({"kind": "interrupted", "seconds": seconds}),
        }
    }
}

/// One line of the server's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// Such as `RunCommand`.
    pub action: String,
    /// The instance, execution, template or invocation that it was about, or `-`.
    pub subject: String,
    /// `OK`, `Lost` if its answer never went out, `Hole` if there was none, or the error's code.
    pub outcome: String,
}

impl OpenApi {
    /// The region that it is in.
    pub const REGION: &str = "cn-hangzhou";

    /// On loopback, with one key that may do everything and no instances.
    pub fn start() -> Result<Self> {
        Self::start_at(LOOPBACK)
    }

    /// The same at an address of this machine, such as the one that test hosts reach.
    pub fn start_at(host: IpAddr) -> Result<Self> {
        Self::start_as(host, None)
    }

    /// On loopback, with TLS; the official SDKs are not made to trust it.
    pub fn start_with_tls(identity: &Identity) -> Result<Self> {
        Self::start_as(LOOPBACK, Some(identity))
    }

    fn start_as(host: IpAddr, identity: Option<&Identity>) -> Result<Self> {
        let (folder, key) = (TempDir::new()?, Key::new("LTAIcloud", "cloud-s3cr3t-cloud"));
        let mut config = json!({
            "region": Self::REGION, "address": host, "keys": {}, "instances": {}, "faults": [],
            "record": folder.path().join("record"),
        });
        if let Some(identity) = identity {
            config["tls"] = json!([identity.certificate(), identity.key()]);
        }
        let (path, log) = (folder.path().join("config.json"), folder.path().join("log"));
        fs::write(&path, config.to_string())?;
        let mut process = spawn(&path, &log)?;
        let port = settle(&mut process, &log, |log| {
            log.lines().find_map(|line| line.strip_prefix("port ")?.parse::<u16>().ok())
        })?;
        let address = SocketAddr::new(host, port);
        let (config, scheme) =
            (Mutex::new(config), if identity.is_some() { "https" } else { "http" });
        let this = Self { _process: process, scheme, address, config, folder, key };
        this.allow(&this.key, &[])?;
        Ok(this)
    }

    /// An endpoint, of ECS as of OOS.
    pub fn endpoint(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The key that may do everything.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Makes a key known, which may do all but these actions.
    pub fn allow(&self, key: &Key, denied: &[&str]) -> Result<()> {
        let user = json!({"secret": key.secret, "token": key.token, "deny": denied});
        self.change(|config| config["keys"][&key.id] = user)
    }

    /// Makes a host an instance: commands run there as root, from scripts that stay in
    /// `/var/lib/aliyun-assist`.
    pub fn add_host(&self, instance: &str, host: &TestHost) -> Result<()> {
        self.add(
            instance,
            json!({
                "prefix": host.entry()?, "scripts": "/var/lib/aliyun-assist",
                "name": host.name(), "ips": [host.address()],
            }),
        )
    }

    /// Makes this machine an instance: commands run here as whoever runs the test, with `/root` to work in.
    pub fn add_machine(&self, instance: &str) -> Result<()> {
        let scripts = self.folder.path().join("scripts");
        self.add(
            instance,
            json!({"prefix": [], "scripts": scripts, "name": instance, "ips": ["10.0.0.1"]}),
        )
    }

    fn add(&self, instance: &str, is: Value) -> Result<()> {
        self.change(|config| config["instances"][instance] = is)
    }

    /// Sets a member of an instance: `status`, `agent`, `tags`, `group`, `output_limit_bytes`,
    /// `pending_seconds`; `tools/openapi_server.py` tells what they mean.
    pub fn set(&self, instance: &str, member: &str, value: impl Into<Value>) -> Result<()> {
        let value = value.into();
        self.change(|config| config["instances"][instance][member] = value)
    }

    /// What goes wrong with the next so many calls of an action, or of any for `*`.
    pub fn fault(&self, action: &str, fault: Fault, times: u32) -> Result<()> {
        self.fault_of(action, fault.words(), times)
    }

    /// The same for the next so many calls about one instance.
    pub fn fault_on(&self, instance: &str, action: &str, fault: Fault, times: u32) -> Result<()> {
        let mut more = fault.words();
        more["instance"] = instance.into();
        self.fault_of(action, more, times)
    }

    fn fault_of(&self, action: &str, more: Value, times: u32) -> Result<()> {
        self.change(|config| {
            let faults = config["faults"].as_array_mut();
            let Some(faults) = faults else { return };
            let mut fault =
                json!({"id": faults.len().to_string(), "action": action, "times": times});
            for (name, value) in more.as_object().into_iter().flatten() {
                fault[name] = value.clone();
            }
            faults.push(fault);
        })
    }

    /// Sets the server's clock ahead by so many seconds.
    pub fn skew(&self, seconds: i64) -> Result<()> {
        self.change(|config| config["skew"] = seconds.into())
    }

    /// How many instances a page has at most.
    pub fn page(&self, instances: usize) -> Result<()> {
        self.change(|config| config["page"] = instances.into())
    }

    /// The calls so far, in order.
    pub fn calls(&self) -> Vec<Called> {
        let call = |line: &str| {
            let mut words = line.strip_prefix("call ")?.split(' ').map(str::to_owned);
            Some(Called { action: words.next()?, subject: words.next()?, outcome: words.next()? })
        };
        self.log().lines().filter_map(call).collect()
    }

    /// The calls of an action so far.
    pub fn calls_of(&self, action: &str) -> Vec<Called> {
        self.calls().into_iter().filter(|call| call.action == action).collect()
    }

    /// What the server wrote, which must hold no secret.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Every command and what was seen of its output, as the cloud knows them: lines of JSON.
    pub fn record(&self) -> String {
        fs::read_to_string(self.folder.path().join("record")).unwrap_or_default()
    }

    /// What the official SDKs say, driven by `tools/openapi_client.py`: `arguments` are its verb and JSON.
    pub fn sdk(&self, verb: &str, arguments: &Value) -> Result<Value> {
        self.sdk_as(&self.key, verb, arguments)
    }

    /// The same with another key.
    pub fn sdk_as(&self, key: &Key, verb: &str, arguments: &Value) -> Result<Value> {
        let mut command = Command::new(cloud_python()?);
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tools/openapi_client.py"));
        command.args([&self.address.to_string(), Self::REGION, verb, &arguments.to_string()]);
        command.env("KEY_ID", &key.id).env("KEY_SECRET", &key.secret);
        if let Some(token) = &key.token {
            command.env("KEY_TOKEN", token);
        }
        let output = command.output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the SDK can't {verb}: {said}");
        serde_json::from_slice(&output.stdout).context("no JSON")
    }

    /// The server reads it anew for each request, so it is replaced in one step.
    fn change(&self, change: impl FnOnce(&mut Value)) -> Result<()> {
        let mut config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut config);
        let (fresh, path) =
            (self.folder.path().join("fresh.json"), self.folder.path().join("config.json"));
        fs::write(&fresh, config.to_string())?;
        Ok(fs::rename(fresh, path)?)
    }
}

fn spawn(config: &Path, log: &Path) -> Result<Process> {
    let mut command = Command::new(cloud_python()?);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tools/openapi_server.py")).arg(config);
    let out = File::create(log)?;
    command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
    Ok(Process(command.spawn().context("cannot start python")?))
}
