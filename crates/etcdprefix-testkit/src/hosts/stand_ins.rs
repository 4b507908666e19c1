//! Stand-ins for kubelet, what it runs, and the programs that show what runs.

use std::fs;
use std::path::Path;

use anyhow::Result;
use rustix::process::Signal;

use super::init::python;
use super::{TestHost, accounts, address, name, until};

/// Name in the host, and text.
const SCRIPTS: [(&str, &str); 4] = [
    ("kubelet", include_str!("../../tools/hosts/kubelet.py")),
    ("kube-apiserver", include_str!("../../tools/hosts/kube-apiserver.py")),
    ("crictl", include_str!("../../tools/hosts/crictl.py")),
    ("docker", include_str!("../../tools/hosts/docker.py")),
];

const MODULE: &str = include_str!("../../tools/hosts/disguise.py");

const MANIFESTS: [(&str, &str); 5] = [
    (
        "cloud-controller-manager",
        include_str!("../../tools/hosts/manifests/cloud-controller-manager.yaml"),
    ),
    ("etcd", include_str!("../../tools/hosts/manifests/etcd.yaml")),
    ("kube-apiserver", include_str!("../../tools/hosts/manifests/kube-apiserver.yaml")),
    (
        "kube-controller-manager",
        include_str!("../../tools/hosts/manifests/kube-controller-manager.yaml"),
    ),
    ("kube-scheduler", include_str!("../../tools/hosts/manifests/kube-scheduler.yaml")),
];

const KUBELET_CONFIG: &str = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n\
    cgroupDriver: systemd\nclusterDNS:\n- 172.21.0.10\nfileCheckFrequency: 0s\n\
    staticPodPath: /etc/kubernetes/manifests\n";

const KUBELET: [&str; 4] = [
    "/usr/bin/kubelet",
    "--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf",
    "--kubeconfig=/etc/kubernetes/kubelet.conf",
    "--config=/var/lib/kubelet/config.yaml",
];

/// What kubelet runs containers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// containerd: kubelet is told its socket.
    Containerd,
    /// dockerd, as until Kubernetes 1.23.
    Docker,
}

impl Runtime {
    /// The program that shows containers.
    fn program(self) -> &'static str {
        match self {
            Self::Containerd => "crictl",
            Self::Docker => "docker",
        }
    }

    /// Programs that show other containers than the host's, if the machine has them.
    pub fn strangers(self) -> Vec<String> {
        let others = ["crictl", "ctr", "docker", "nerdctl", "podman"].into_iter();
        let others = others.filter(|&name| name != self.program());
        let places = |name| ["/usr/bin", "/usr/local/bin"].map(|folder| format!("{folder}/{name}"));
        others.flat_map(places).collect()
    }

    fn flags(self) -> [&'static str; 2] {
        match self {
            Self::Containerd => [
                "--container-runtime=remote",
                "--container-runtime-endpoint=unix:///run/containerd/containerd.sock",
            ],
            Self::Docker => [
                "--network-plugin=cni",
                "--pod-infra-container-image=registry.invalid/acs/pause:3.5",
            ],
        }
    }
}

/// What the stand-in of kubelet is to do to a container whose manifest goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knob {
    /// Tell its process to stop after so many seconds only.
    StopsLate(u32),
    /// Leave it as it is.
    NeverStops,
    /// Stop its process, but go on showing the container.
    ContainerStays,
    /// Show the container no more, but leave the process.
    ProcessStays,
}

impl Knob {
    fn file(self) -> &'static str {
        match self {
            Self::StopsLate(_) => "stops-late",
            Self::NeverStops => "never-stops",
            Self::ContainerStays => "container-stays",
            Self::ProcessStays => "process-stays",
        }
    }
}

/// Puts scripts and manifests into a host's folder.
pub fn install(place: &Path, number: usize, runtime: Runtime) -> Result<()> {
    let scripts = place.join("usr/libexec/stand-ins");
    fs::create_dir_all(&scripts)?;
    // Started by their own names, they are called so; a search through PATH would call them python.
    let interpreter = format!("#!{} -BSE\n", python()?);
    for (name, text) in SCRIPTS {
        accounts::write(&scripts.join(name), &format!("{interpreter}{text}"), 0o755)?;
    }
    fs::write(scripts.join("disguise.py"), MODULE)?;
    // The second comes before whatever the machine has of that name.
    for (folder, name) in [("usr/bin", "kubelet"), ("usr/local/bin", runtime.program())] {
        fs::create_dir_all(place.join(folder))?;
        let script = Path::new("/usr/libexec/stand-ins").join(name);
        std::os::unix::fs::symlink(script, place.join(folder).join(name))?;
    }
    let folders = place.join("folders");
    fs::create_dir_all(folders.join("var/lib/kubelet"))?;
    fs::write(folders.join("var/lib/kubelet/config.yaml"), KUBELET_CONFIG)?;
    for (pod, text) in MANIFESTS {
        let text = text.replace("ADDRESS", &address(number).to_string());
        let path = folders.join(format!("etc/kubernetes/manifests/{pod}.yaml"));
        accounts::write(&path, &text.replace("NAME", &name(number)), 0o600)?;
    }
    Ok(())
}

impl TestHost {
    pub(super) fn start_kubelet(&self, runtime: Runtime) -> Result<()> {
        let line = [&KUBELET[..], &runtime.flags()].concat();
        let process = self.init.start("/var/log/kubelet.log", &line)?;
        self.kubelet.set(process).ok();
        Ok(())
    }

    /// How many puts etcd has confirmed to the API server's stand-in since the host was started.
    pub fn writes(&self) -> u64 {
        let text = fs::read_to_string(self.path("/run/stand-ins/writes")).unwrap_or_default();
        text.parse().unwrap_or_default()
    }

    /// Waits until the API server's stand-in writes.
    pub fn wait_for_writes(&self) -> Result<()> {
        let before = self.writes();
        until(&format!("no writes on {}", self.name()), || Ok(self.writes() > before))
    }

    /// Whether a process is called so; what Linux cuts off after 15 letters doesn't count.
    pub fn runs(&self, process: &str) -> Result<bool> {
        let name = process.get(..15).unwrap_or(process);
        let list = self.shell("cat /proc/[0-9]*/comm 2>/dev/null || true")?;
        Ok(list.lines().any(|line| line == name))
    }

    /// Waits until such a process runs, or until none does.
    pub fn wait_for(&self, process: &str, runs: bool) -> Result<()> {
        let what = format!("{process} on {}: not yet {runs}", self.name());
        until(&what, || Ok(self.runs(process)? == runs))
    }

    /// Starts the API server's stand-in by hand, as kubelet would but without it, and returns its process id in the host.
    pub fn start_api_server(&self) -> Result<u32> {
        let flags = MANIFESTS[2].1.replace("ADDRESS", &self.address().to_string());
        let flags = flags
            .lines()
            .filter_map(|line| line.trim().strip_prefix("- ").filter(|it| it.starts_with("--")));
        let line: Vec<&str> =
            ["/usr/libexec/stand-ins/kube-apiserver"].into_iter().chain(flags).collect();
        self.init.start("/var/log/kube-apiserver.log", &line)
    }

    /// Sets how kubelet's stand-in treats a container.
    pub fn set(&self, knob: Knob, container: &str) -> Result<()> {
        let seconds = if let Knob::StopsLate(seconds) = knob { seconds } else { 0 };
        let file = self.path("/var/lib/stand-ins").join(knob.file());
        let before = fs::read_to_string(&file).unwrap_or_default();
        accounts::write(&file, &format!("{container} {seconds}\n{before}"), 0o644)
    }

    /// Ends what [`Self::set`] began, for all containers.
    pub fn unset(&self, knob: Knob) -> Result<()> {
        Ok(fs::remove_file(self.path("/var/lib/stand-ins").join(knob.file()))?)
    }

    /// Stops kubelet's stand-in in its tracks, and lets it go on.
    pub fn freeze_kubelet(&self, frozen: bool) -> Result<()> {
        let signal = if frozen { Signal::STOP } else { Signal::CONT };
        self.kubelet.get().map_or(Ok(()), |&process| self.init.signal(process, signal))
    }
}
