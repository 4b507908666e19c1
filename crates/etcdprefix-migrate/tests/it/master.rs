//! A master in a folder: its kubelet's process, manifests and keys as preflight finds them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use etcdprefix_migrate::NodeError;
use etcdprefix_migrate::node::preflight::{self, Check, Preflight, Standing};
use etcdprefix_migrate::node::{Context, Machine};
use etcdprefix_migrate::protocol::PreflightRequest;
use rcgen::KeyPair;
use tempfile::TempDir;

pub const MANIFESTS: &str = "etc/kubernetes/manifests";
const PKI: &str = "etc/kubernetes/pki";

pub struct Master {
    root: TempDir,
    pub context: Context,
}

impl Master {
    /// With all that a master has, but for members at `--etcd-servers`.
    pub fn new() -> Result<Self> {
        let root = TempDir::new()?;
        let at = |path: &str| root.path().join(path);
        let mut context = Context::new(&at("state"))?;
        context.machine =
            Machine { proc: at("proc"), programs: vec![at("bin")], root: root.path().to_owned() };
        let master = Self { root, context };
        master.write("proc/7/comm", "kubelet\n")?;
        master
            .write("proc/7/cmdline", "/usr/bin/kubelet\0--config=/var/lib/kubelet/config.yaml\0")?;
        master.write("proc/7/stat", "7 (kubelet) S 1 7 7 0")?;
        let config = format!("kind: KubeletConfiguration\nstaticPodPath: /{MANIFESTS}\n");
        master.write("var/lib/kubelet/config.yaml", &config)?;
        master.write("etc/timezone", "Asia/Shanghai\n")?;
        for name in ["etcd", "kube-controller-manager", "kube-scheduler"] {
            master.pod(name, &[])?;
        }
        master.api_server(&[])?;
        master.keys()?;
        Ok(master)
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    pub fn write(&self, path: &str, text: &str) -> Result<()> {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        Ok(fs::write(path, text)?)
    }

    pub fn pod(&self, name: &str, flags: &[&str]) -> Result<()> {
        let words: Vec<&str> = [name].into_iter().chain(flags.iter().copied()).collect();
        let image = format!("registry.example/acs/{name}:v1.20.4-aliyun.1");
        let pod = serde_json::json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"containers": [{"name": name, "image": image, "command": words}]},
        });
        self.write(&format!("{MANIFESTS}/{name}.yaml"), &pod.to_string())
    }

    pub fn api_server(&self, flags: &[&str]) -> Result<()> {
        self.pod("kube-apiserver", flags)
    }

    /// Both pairs of keys.
    fn keys(&self) -> Result<()> {
        let key = KeyPair::generate()?;
        self.write(&format!("{PKI}/sa.key"), &key.serialize_pem())?;
        self.write(&format!("{PKI}/sa.pub"), &key.public_key_pem())?;
        let key = KeyPair::generate()?;
        let certificate = rcgen::CertificateParams::default().self_signed(&key)?;
        self.write(&format!("{PKI}/front-proxy-ca.crt"), &certificate.pem())?;
        self.write(&format!("{PKI}/front-proxy-ca.key"), &key.serialize_pem())
    }

    /// A program on the host's path.
    pub fn program(&self, name: &str, script: &str) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let path = format!("bin/{name}");
        self.write(&path, &format!("#!/bin/sh\n{script}\n"))?;
        Ok(fs::set_permissions(self.path(&path), fs::Permissions::from_mode(0o755))?)
    }

    /// For a working folder inside of it, and nothing else.
    pub fn request(&self) -> PreflightRequest {
        PreflightRequest { working_dir: self.path("work"), ..PreflightRequest::default() }
    }

    pub fn look(&self, request: &PreflightRequest) -> Result<Found, NodeError> {
        preflight::run(request, &self.context).map(Found)
    }
}

/// What was found, to be asked by name.
pub struct Found(pub Preflight);

impl Found {
    #[track_caller]
    pub fn check(&self, name: &str) -> &Check {
        let names: Vec<&str> = self.0.checks.iter().map(|check| check.name.as_str()).collect();
        let mut of_name = self.0.checks.iter().filter(|check| check.name == name);
        let check = of_name.next().unwrap_or_else(|| panic!("no {name} in {names:?}"));
        assert!(of_name.next().is_none(), "{name} twice in {names:?}");
        assert!(!check.why.is_empty() && !check.found.is_empty(), "{check:?}");
        assert_eq!(check.advice.is_empty(), check.standing == Standing::Ok, "{check:?}");
        check
    }

    /// It stands so, with these words in what was found or advised.
    #[track_caller]
    pub fn stands(&self, name: &str, standing: Standing, words: &str) {
        let check = self.check(name);
        assert_eq!(check.standing, standing, "{check:?}");
        let told = format!("{} {}", check.found, check.advice);
        assert!(told.contains(words), "{words:?} is not in {check:?}");
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.checks.iter().any(|check| check.name == name)
    }
}
