//! What to migrate, from a YAML file or flags.

mod assistant;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cluster_id::ClusterId;
use crate::error::{Error, Result};
use crate::protocol::{EtcdAccess, StoreAccess};
use crate::rate::RateControl;

pub use assistant::{AssistantConfig, Fetched};

/// A configuration file is a page of text.
const LONGEST_BYTES: u64 = 1 << 20;

/// A migration. Paths of etcd, of `working_dir` and of the store's credentials are the hosts'.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// On the managed side.
    pub cluster_id: ClusterId,
    /// Every master, each once; none yet if they are [`AssistantConfig::targets`].
    #[serde(default)]
    pub hosts: Vec<HostConfig>,
    /// How the hosts are reached.
    #[serde(default)]
    pub ssh: SshConfig,
    /// How instances are reached that are named `ecs:`, or by targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assistant: Option<AssistantConfig>,
    /// How etcd is asked from a host; by default as its API server's manifest says.
    #[serde(default)]
    pub etcd: Option<EtcdAccess>,
    /// Where the snapshot goes.
    pub store: StoreAccess,
    /// Where snapshots are put on the hosts.
    #[serde(default = "working_dir")]
    pub working_dir: PathBuf,
    /// Until the URL ends. Default: 2,400 s.
    #[serde(default = "presign_seconds")]
    pub presign_seconds: u64,
    /// How many hosts at once.
    #[serde(default)]
    pub rate_control: RateControl,
    /// The prefix of the keys; by default the API server's `--etcd-prefix`.
    #[serde(default)]
    pub src_prefix: Option<String>,
    /// Components to put to sleep beside the four.
    #[serde(default)]
    pub also: Vec<String>,
    /// Put everything to sleep but etcd, as the cloud's template does.
    #[serde(default)]
    pub all: bool,
    /// Until a host wakes by itself if nobody is heard of. Default: 1,200 s.
    #[serde(default = "wake_after_seconds")]
    pub wake_after_seconds: u64,
    /// The longest time for saving, rewriting and uploading. Default: 600 s, as the cloud's template.
    #[serde(default = "snapshot_limit_seconds")]
    pub snapshot_limit_seconds: u64,
    /// Accept values that can't be decrypted after the move.
    #[serde(default)]
    pub allow_undecryptable: bool,
    /// What the managed side's etcd holds at most.
    #[serde(default)]
    pub target_quota_bytes: Option<u64>,
    /// A kubeconfig on the hosts; by default `/etc/kubernetes/admin.conf`.
    #[serde(default)]
    pub kubeconfig: Option<PathBuf>,
    /// Where the binary and the state lie on the hosts.
    #[serde(default = "node_state")]
    pub node_state: PathBuf,
}

/// A master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum HostConfig {
    /// This machine.
    Local,
    /// As `ssh` takes it: `user@host`, `ssh://user@host:port`, or an alias of its configuration.
    Ssh(String),
    /// `ecs:` and the id of an instance: by Alibaba Cloud Assistant.
    Instance(String),
}

/// How OpenSSH is to be called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SshConfig {
    /// In place of `~/.ssh/config`.
    #[serde(default)]
    pub config: Option<PathBuf>,
    /// A private key; else the agent's and those of the configuration.
    #[serde(default)]
    pub identity: Option<PathBuf>,
    /// `user@host:port` to jump over.
    #[serde(default)]
    pub jump: Vec<String>,
    /// Become root by `sudo -n`.
    #[serde(default, rename = "become")]
    pub becomes_root: bool,
    /// The binaries to copy, by `x86_64` and `aarch64`; by default this one, for hosts of its kind.
    #[serde(default)]
    pub binaries: BTreeMap<String, PathBuf>,
}

fn working_dir() -> PathBuf {
    "/var/lib/etcdprefix/work".into()
}

fn node_state() -> PathBuf {
    "/var/lib/etcdprefix".into()
}

fn presign_seconds() -> u64 {
    2400
}

fn snapshot_limit_seconds() -> u64 {
    600
}

fn wake_after_seconds() -> u64 {
    1200
}

impl Config {
    /// Of a file.
    ///
    /// # Errors
    /// [`Error::File`] if it can't be read, [`Error::Usage`] with line and column if it says what it
    /// can't, or something that contradicts itself.
    pub fn read(path: &Path) -> Result<Self> {
        let size = std::fs::metadata(path).map_err(Error::file("read", path))?.len();
        if size > LONGEST_BYTES {
            return Err(Error::Usage(format!(
                "{} is no configuration: {size} bytes",
                path.display()
            )));
        }
        let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
        Self::parse(&text).map_err(|error| Error::Usage(format!("{}: {error}", path.display())))
    }

    /// Of YAML.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub fn parse(text: &str) -> Result<Self> {
        let config: Self = serde_saphyr::from_str(text).map_err(|error| {
            // Below the first line it draws the place.
            let drawn = error.to_string();
            let first = drawn.lines().next().unwrap_or_default();
            Error::Usage(first.trim_start_matches("error: ").to_owned())
        })?;
        config.check()?;
        Ok(config)
    }

    /// What no single value shows.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub fn check(&self) -> Result<()> {
        let wrong = |why: String| Err(Error::Usage(why));
        match self.assistant.as_ref().and_then(|assistant| assistant.targets.as_ref()) {
            None => self.check_names()?,
            Some(_) if self.hosts.is_empty() => {}
            Some(_) => return wrong("hosts and assistant.targets both say who is meant".into()),
        }
        self.check_assistant()?;
        if !self.working_dir.is_absolute() || !self.node_state.is_absolute() {
            return wrong("working_dir and node_state must be absolute paths".into());
        }
        if self.wake_after_seconds < 300 {
            let why = "wake_after_seconds under 300: a host could wake while it is put to sleep";
            return wrong(why.into());
        }
        if !(60..86_400).contains(&self.snapshot_limit_seconds) {
            return wrong("snapshot_limit_seconds must be from 60 to 86399".into());
        }
        if !(60..=7 * 24 * 3600).contains(&self.presign_seconds) {
            return wrong("presign_seconds must be from 60 to 604800".into());
        }
        Ok(())
    }
}

impl Config {
    /// Every host is named, and once.
    pub(crate) fn check_names(&self) -> Result<()> {
        let mut names: Vec<String> = self.hosts.iter().map(HostConfig::name).collect();
        names.sort();
        if names.is_empty() {
            return Err(Error::Usage("no hosts: every master has to be named".into()));
        }
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(twice) => Err(Error::Usage(format!("{} is named twice", twice[0]))),
            None => Ok(()),
        }
    }

    fn check_assistant(&self) -> Result<()> {
        match &self.assistant {
            Some(assistant) if self.has_instances() => assistant.check(),
            None if self.has_instances() => {
                let why = "ecs: hosts, and no section `assistant`; try: --assistant-region";
                Err(Error::Usage(why.into()))
            }
            _ => Ok(()),
        }
    }

    /// Whether any host is reached through the cloud's API, where requests can be read by others.
    pub fn has_instances(&self) -> bool {
        let is_instance = |host: &HostConfig| matches!(host, HostConfig::Instance(_));
        self.has_targets() || self.hosts.iter().any(is_instance)
    }

    /// Whether hosts are looked up.
    pub fn has_targets(&self) -> bool {
        self.assistant.as_ref().is_some_and(|it| it.targets.is_some())
    }
}

impl HostConfig {
    /// As people know it.
    pub fn name(&self) -> String {
        match self {
            Self::Local => "local".into(),
            Self::Ssh(destination) => destination.clone(),
            Self::Instance(id) => format!("ecs:{id}"),
        }
    }
}

impl TryFrom<String> for HostConfig {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "local" => Ok(Self::Local),
            instance if instance.starts_with("ecs:") => {
                let id = &instance[4..];
                let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
                match (1..=64).contains(&id.len())
                    && !id.starts_with('-')
                    && id.chars().all(is_plain)
                {
                    true => Ok(Self::Instance(id.into())),
                    false => Err(format!("{instance:?} is no instance: ecs:i-…")),
                }
            }
            // ssh would take it for a flag.
            "" => Err("an empty name is no host".into()),
            flag if flag.starts_with('-') => Err(format!("{flag:?} is no host")),
            odd if odd.chars().any(|c| c.is_control() || c.is_whitespace()) => {
                Err(format!("{odd:?} is no host"))
            }
            _ => Ok(Self::Ssh(text)),
        }
    }
}

impl From<HostConfig> for String {
    fn from(host: HostConfig) -> Self {
        host.name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORTEST: &str = "cluster_id: c1\nhosts: [root@10.0.0.1]\nstore: {url: oss://b/x}\n";

    #[test]
    fn a_short_file_is_enough() {
        let config = Config::parse(SHORTEST).unwrap();
        assert_eq!(config.presign_seconds, 2400);
        assert_eq!(config.wake_after_seconds, 1200);
        assert_eq!(config.rate_control, RateControl::default());
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for (line, why) in [
            ("hosts: [m1, m1]", "twice"),
            ("hosts: []", "no hosts"),
            ("hosts: ['-oProxyCommand=x']", "is no host"),
            ("cluster_id: x", "no cluster id"),
            ("unknown: 1", "unknown"),
            ("working_dir: here", "absolute"),
            ("wake_after_seconds: 3", "under 300"),
        ] {
            let key = line.split(':').next().unwrap();
            let kept = SHORTEST.lines().filter(|kept| !kept.starts_with(key));
            let text: String = kept.chain([line]).map(|line| format!("{line}\n")).collect();
            let error = Config::parse(&text).unwrap_err().to_string();
            assert!(error.contains(why), "{line}: {error}");
        }
    }
}
