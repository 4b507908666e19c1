//! Static pods, as the kubelet reads them from its folder.

use std::fs;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use serde_saphyr::{DuplicateKeyPolicy, Options, options};

use crate::error::NodeError;
use crate::node::shell;

/// What no pod needs: a larger file is not read, and so is no pod.
const LIMIT_BYTES: u64 = 1 << 20;

/// Of pods that name none.
const DEFAULT_NAMESPACE: &str = "default";

/// A pod of the kubelet's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticPod {
    /// Its file.
    pub file: PathBuf,
    /// `kube-apiserver`, as its `metadata.name` says; the file's stem if it can't be read as a pod.
    pub name: String,
    /// `kube-system`; `default` if it doesn't say.
    pub namespace: String,
    /// Containers by name: command and arguments. Empty if the file can't be read as a pod.
    pub containers: Vec<Container>,
}

/// A container of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// `command` and `args`, one after the other; a shell's script is split into its words.
    pub words: Vec<String>,
    /// Folders and files of the host that it sees.
    pub mounts: Vec<Mount>,
}

/// A part of the host that a container sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where the container sees it.
    pub inside: PathBuf,
    /// Where it is.
    pub host: PathBuf,
}

impl StaticPod {
    /// All of a folder, by file name; what the kubelet leaves out (names with a dot in front, folders)
    /// is left out.
    ///
    /// # Errors
    /// If the folder can't be read, or a file in it.
    pub fn read_all(folder: &Path) -> Result<Vec<Self>, NodeError> {
        let pods = files(folder)?.into_iter().map(|file| {
            let text = read(&file)?;
            Ok(Self::parse(file, &text))
        });
        pods.collect()
    }

    fn parse(file: PathBuf, text: &[u8]) -> Self {
        match pod_of(text) {
            Some(pod) => pod.into_static(file),
            None => {
                let (name, namespace) = (stem(&file), DEFAULT_NAMESPACE.to_owned());
                Self { name, namespace, file, containers: Vec::new() }
            }
        }
    }

    /// The file's name, without its folder.
    pub fn file_name(&self) -> String {
        let name = self.file.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Whether the file's name can be written down as it is.
    pub(crate) fn has_plain_name(&self) -> bool {
        self.file.file_name().is_some_and(|name| name.to_str().is_some())
    }

    /// Whether the file can be read as a pod.
    pub fn is_pod(&self) -> bool {
        !self.containers.is_empty()
    }

    /// Whether the pod runs this component: by container, by the program's name, or by the pod's name.
    /// What can't be read as a pod runs nothing.
    pub fn runs(&self, component: &str) -> bool {
        let named = self.is_pod() && self.name == component;
        named || self.containers.iter().any(|container| container.runs(component))
    }

    /// The value of `--name=value` or `--name value` of any container.
    pub fn flag(&self, name: &str) -> Option<&str> {
        self.containers.iter().find_map(|container| container.flags(name).last())
    }

    /// Where on the host the file is that a container knows by this path; the path itself if it is not
    /// on a folder of the host.
    pub fn host_path(&self, inside: &Path) -> PathBuf {
        let found = self.containers.iter().find_map(|container| container.host_path(inside));
        found.unwrap_or_else(|| inside.to_owned())
    }
}

impl Container {
    fn runs(&self, component: &str) -> bool {
        let by_image = self.words.is_empty() && image_name(&self.image) == component;
        self.name == component || by_image || self.programs().any(|name| name == component)
    }

    /// What may be a program: no flag, and no flag's value.
    fn programs(&self) -> impl Iterator<Item = &str> {
        let takes_value =
            |word: &String| word.len() > 2 && word.starts_with("--") && !word.contains('=');
        let words = self.words.iter().enumerate().filter(move |(at, word)| {
            let before = at.checked_sub(1).and_then(|before| self.words.get(before));
            !word.starts_with('-') && !before.is_some_and(takes_value)
        });
        words.map(|(_, word)| shell::basename(word))
    }

    /// All values of a flag, in order: a list may be given one by one. Components take `_` for `-`.
    pub fn flags<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let flag = format!("--{}", name.trim_start_matches('-'));
        let next = self.words.iter().skip(1).map(String::as_str).map(Some).chain([None]);
        let pairs = self.words.iter().zip(next);
        pairs.filter_map(move |(word, next)| match word.split_once('=') {
            Some((key, value)) => (key.replace('_', "-") == flag).then_some(value),
            None if word.replace('_', "-") != flag => None,
            None => next.filter(|value| !value.starts_with("--")),
        })
    }

    fn host_path(&self, inside: &Path) -> Option<PathBuf> {
        let deepest = |mount: &&Mount| mount.inside.components().count();
        let under = self.mounts.iter().filter(|mount| inside.starts_with(&mount.inside));
        let mount = under.max_by_key(deepest)?;
        let rest = inside.strip_prefix(&mount.inside).ok()?;
        // Joining nothing would put a slash behind a file.
        Some(if rest == Path::new("") { mount.host.clone() } else { mount.host.join(rest) })
    }
}

/// `kube-apiserver` of `registry.k8s.io/kube-apiserver-amd64:v1.20.4`.
fn image_name(image: &str) -> &str {
    let path = image.split('@').next().unwrap_or_default();
    let last = shell::basename(path);
    let name = last.split(':').next().unwrap_or_default();
    let plain = ["-amd64", "-arm64"].iter().find_map(|arch| name.strip_suffix(arch));
    plain.unwrap_or(name)
}

/// The kubelet looks at every regular file, links followed, whatever its name ends with.
fn files(folder: &Path) -> Result<Vec<PathBuf>, NodeError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(NodeError::io("read the folder", folder))? {
        let entry = entry.map_err(NodeError::io("read the folder", folder))?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && fs::metadata(entry.path()).is_ok_and(|found| found.is_file()) {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// No more than the limit and a byte, so that a larger one is known by its length.
fn read(file: &Path) -> Result<Vec<u8>, NodeError> {
    let opened = fs::File::open(file).map_err(NodeError::io("read the manifest", file))?;
    let mut text = Vec::new();
    let mut bounded = opened.take(LIMIT_BYTES + 1);
    bounded.read_to_end(&mut text).map_err(NodeError::io("read the manifest", file))?;
    Ok(text)
}

fn stem(file: &Path) -> String {
    file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// The first document that is a pod. JSON first: it may be indented with tabs, which YAML may not.
fn pod_of(text: &[u8]) -> Option<Pod> {
    if text.len() as u64 > LIMIT_BYTES {
        return None;
    }
    if let Ok(pod) = serde_json::from_slice::<Pod>(text) {
        return Some(pod).filter(Pod::is_pod);
    }
    let pods: Vec<Pod> = serde_saphyr::from_slice_multiple_with_options(text, lenient()).ok()?;
    pods.into_iter().find(Pod::is_pod)
}

/// The kubelet takes the last of two equal keys; a pod that it runs must not be unreadable to us.
fn lenient() -> Options {
    options! { duplicate_keys: DuplicateKeyPolicy::LastWins }
}

#[derive(Deserialize)]
struct Pod {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: Option<String>,
}

#[derive(Default, Deserialize)]
struct Spec {
    #[serde(default)]
    containers: Vec<RawContainer>,
    #[serde(default)]
    volumes: Option<Vec<RawVolume>>,
}

#[derive(Deserialize)]
struct RawContainer {
    #[serde(default)]
    name: String,
    #[serde(default)]
    image: String,
    #[serde(default)]
    command: Option<Vec<String>>,
    #[serde(default)]
    args: Option<Vec<String>>,
    #[serde(default, rename = "volumeMounts")]
    mounts: Option<Vec<RawMount>>,
}

#[derive(Deserialize)]
struct RawMount {
    name: String,
    #[serde(rename = "mountPath")]
    path: PathBuf,
    #[serde(default, rename = "subPath")]
    sub_path: Option<PathBuf>,
}

#[derive(Deserialize)]
struct RawVolume {
    name: String,
    #[serde(default, rename = "hostPath")]
    host_path: Option<HostPath>,
}

#[derive(Deserialize)]
struct HostPath {
    path: PathBuf,
}

impl Pod {
    fn is_pod(&self) -> bool {
        self.kind == "Pod" && !self.spec.containers.is_empty()
    }

    fn into_static(self, file: PathBuf) -> StaticPod {
        let volumes = self.spec.volumes.unwrap_or_default();
        let containers = self.spec.containers.into_iter();
        let containers = containers.map(|container| container.resolve(&volumes)).collect();
        let Metadata { name, namespace } = self.metadata;
        let namespace = namespace.filter(|it| !it.is_empty());
        let namespace = namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.into());
        StaticPod { file, name, namespace, containers }
    }
}

impl RawContainer {
    fn resolve(self, volumes: &[RawVolume]) -> Container {
        let mounts = self.mounts.unwrap_or_default();
        let mounts = mounts.into_iter().filter_map(|mount| mount.resolve(volumes)).collect();
        let mut words = self.command.unwrap_or_default();
        words.extend(self.args.unwrap_or_default());
        Container { name: self.name, image: self.image, words: shell::unfold(words), mounts }
    }
}

impl RawMount {
    /// `None` for what is no folder of the host.
    fn resolve(self, volumes: &[RawVolume]) -> Option<Mount> {
        let volume = volumes.iter().find(|volume| volume.name == self.name)?;
        let mut host = volume.host_path.as_ref()?.path.clone();
        let sub_path = self.sub_path.unwrap_or_default();
        host.extend(sub_path.components().filter(|part| matches!(part, Component::Normal(_))));
        Some(Mount { inside: self.path, host })
    }
}

/// For other tests and for the errors of sleep: a name that a message may hold.
pub(crate) fn names(pods: &[StaticPod]) -> Vec<String> {
    pods.iter().map(StaticPod::file_name).collect()
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
