//! The kubelet of this host: where it looks for static pods, and which runtime it uses.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_saphyr::{DuplicateKeyPolicy, options};

use crate::error::{NodeError, NodeErrorKind};
use crate::node::Context;
use crate::node::disk;
use crate::node::process::{Machine, Process};

const CONFIG: &str = "/var/lib/kubelet/config.yaml";
const MANIFESTS: &str = "/etc/kubernetes/manifests";

/// A kubelet that runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kubelet {
    /// Its folder with static pods.
    pub manifests: Option<PathBuf>,
    /// `unix:///run/containerd/containerd.sock`.
    pub endpoint: Option<String>,
}

/// The folders of a host that a migration touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Where the kubelet looks for static pods.
    pub manifests: PathBuf,
    /// Where sleep puts them: beside it, so that a rename suffices, named as the template names it.
    pub backup: PathBuf,
    /// Where we remember what we did.
    pub state: PathBuf,
}

impl Layout {
    /// As the kubelet says; `/etc/kubernetes/manifests` if it doesn't.
    ///
    /// # Errors
    /// If the folder isn't there, or is none.
    pub fn of(context: &Context) -> Result<Self, NodeError> {
        let by_kubelet = || Kubelet::find(&context.machine).and_then(|kubelet| kubelet.manifests);
        let usual = || context.machine.path(Path::new(MANIFESTS));
        let named = context.manifests.clone().or_else(by_kubelet).unwrap_or_else(usual);
        // A link's folder may lie on another file system; and a slash at the end is in the way.
        let real = fs::canonicalize(&named);
        let manifests = real.map_err(NodeError::io("find the folder of static pods", &named))?;
        if !manifests.is_dir() {
            let why = format!("{} is no folder: the kubelet reads a single file", named.display());
            return Err(NodeError::new(NodeErrorKind::NotAsExpected, why));
        }
        Ok(Self { backup: beside(&manifests), manifests, state: context.state.clone() })
    }
}

fn beside(manifests: &Path) -> PathBuf {
    let mut backup = manifests.as_os_str().to_owned();
    backup.push(".backup");
    backup.into()
}

impl Kubelet {
    /// By its process. `None` if there is none; of several the first one whose folder is there.
    pub fn find(machine: &Machine) -> Option<Self> {
        let mut kubelets = Self::find_all(machine);
        let has_folder = |kubelet: &Self| kubelet.manifests.as_ref().is_some_and(|it| it.is_dir());
        let at = kubelets.iter().position(has_folder).unwrap_or_default();
        (at < kubelets.len()).then(|| kubelets.swap_remove(at))
    }

    /// More than one if others run in containers of this host.
    pub fn find_all(machine: &Machine) -> Vec<Self> {
        let processes = machine.processes().unwrap_or_default();
        let kubelets = processes.iter().filter(|process| process.is("kubelet"));
        kubelets.map(|kubelet| Self::of(kubelet, machine)).collect()
    }

    /// Flags come before the file, and in the file's folder of additions the last one counts.
    fn of(process: &Process, machine: &Machine) -> Self {
        let flag = |name| process.flag(name).filter(|value| !value.is_empty());
        let file = machine.path(Path::new(flag("config").unwrap_or(CONFIG)));
        let folder = flag("config-dir").map(|folder| machine.path(Path::new(folder)));
        let configs =
            [Some(file)].into_iter().flatten().chain(folder.iter().flat_map(|f| additions(f)));
        let config = configs.filter_map(|file| read(&file)).fold(Config::default(), Config::under);
        let endpoint = flag("container-runtime-endpoint").map(str::to_owned).or(config.endpoint);
        let manifests = flag("pod-manifest-path").map(PathBuf::from).or(config.manifests);
        Self { endpoint: endpoint.map(with_scheme), manifests: manifests.map(|p| machine.path(&p)) }
    }
}

#[derive(Default, Deserialize)]
struct Config {
    #[serde(default, rename = "staticPodPath")]
    manifests: Option<PathBuf>,
    #[serde(default, rename = "containerRuntimeEndpoint")]
    endpoint: Option<String>,
}

impl Config {
    fn under(self, later: Self) -> Self {
        let manifests = later.manifests.filter(|path| !path.as_os_str().is_empty());
        let endpoint = later.endpoint.filter(|endpoint| !endpoint.is_empty());
        Self { manifests: manifests.or(self.manifests), endpoint: endpoint.or(self.endpoint) }
    }
}

fn read(file: &Path) -> Option<Config> {
    let text = disk::read_bounded(file).ok()??;
    let options = options! { duplicate_keys: DuplicateKeyPolicy::LastWins };
    serde_saphyr::from_slice_with_options(&text, options).ok()
}

/// Names end with `.conf`, and count in their order.
fn additions(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "conf"));
    files.sort();
    files
}

/// Older kubelets take a plain path; crictl wants to be told what it is.
fn with_scheme(endpoint: String) -> String {
    match endpoint.starts_with('/') {
        true => format!("unix://{endpoint}"),
        false => endpoint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::fixture::{Fixture, context};

    fn found(args: &[&str], files: &[(&str, &str)]) -> (Option<PathBuf>, Option<String>) {
        let host = Fixture::new();
        files.iter().for_each(|(path, text)| host.file(path, text));
        host.process(7, "kubelet", &[&["/usr/bin/kubelet"], args].concat());
        let kubelet = Kubelet::find(&host.machine()).unwrap();
        let inside = kubelet.manifests.map(|p| p.strip_prefix(host.root()).unwrap().to_owned());
        (inside, kubelet.endpoint)
    }

    #[test]
    fn flags_come_before_the_file_and_additions_after_it() {
        let usual = ("/var/lib/kubelet/config.yaml", "kind: K\nstaticPodPath: /a/b\n");
        let other = ("/k.yaml", "staticPodPath: /c/\ncontainerRuntimeEndpoint: unix:///k.sock\n");
        let added = ("/k.d/10.conf", "staticPodPath: /d\n");
        let last = ("/k.d/20.conf", "containerRuntimeEndpoint: /l.sock\n");
        let ignored = ("/k.d/30.yaml", "staticPodPath: /e\n");
        let unix = |text: &str| Some(text.to_owned());
        assert_eq!(found(&[], &[usual]), (Some("a/b".into()), None));
        let flagged = ["--config=/k.yaml", "--container-runtime-endpoint", "/r.sock"];
        assert_eq!(found(&flagged, &[usual, other]), (Some("c/".into()), unix("unix:///r.sock")));
        let both = ["--config", "/k.yaml", "--config-dir=/k.d", "--v=2"];
        let all = [usual, other, added, last, ignored];
        assert_eq!(found(&both, &all), (Some("d".into()), unix("unix:///l.sock")));
        let path = ["--pod-manifest-path=/p", "--config=/k.yaml"];
        assert_eq!(found(&path, &all).0, Some("p".into()));
        assert_eq!(found(&["--config=/none"], &[]), (None, None));
        assert_eq!(found(&[], &[(usual.0, "[1, 2")]), (None, None));
    }

    #[test]
    fn a_host_without_a_kubelet_has_the_usual_folder() {
        let host = Fixture::new();
        let context = context(&host);
        let missing = Layout::of(&context).unwrap_err();
        assert!(missing.message.contains("/etc/kubernetes/manifests"), "{missing}");
        host.file("/etc/kubernetes/manifests/a.yaml", "");
        let layout = Layout::of(&context).unwrap();
        let manifests = host.root().canonicalize().unwrap().join("etc/kubernetes/manifests");
        assert_eq!(layout.manifests, manifests);
        assert_eq!(layout.backup, manifests.with_extension("backup"));
    }

    #[test]
    fn of_several_the_one_with_a_folder_counts() {
        let host = Fixture::new();
        host.file("/b/etcd.yaml", "");
        host.process(7, "kubelet", &["kubelet", "--pod-manifest-path=/a"]);
        host.process(8, "kubelet", &["kubelet", "--pod-manifest-path=/b"]);
        host.process(9, "kubelet", &["kubelet"]);
        assert_eq!(Kubelet::find(&host.machine()).unwrap().manifests, Some(host.path("/b")));
        assert_eq!(Kubelet::find_all(&host.machine()).len(), 3);
    }

    #[test]
    fn an_overriding_folder_counts_and_a_file_is_refused() {
        let host = Fixture::new();
        host.file("/m/a.yaml", "");
        let mut context = context(&host);
        context.manifests = Some(host.root().join("m/"));
        assert!(Layout::of(&context).unwrap().backup.ends_with("m.backup"));
        context.manifests = Some(host.root().join("m/a.yaml"));
        assert_eq!(Layout::of(&context).unwrap_err().kind, NodeErrorKind::NotAsExpected);
    }
}
