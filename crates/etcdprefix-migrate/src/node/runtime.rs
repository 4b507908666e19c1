//! What still runs: processes by `/proc`, containers by `crictl` or `docker`. Who can't answer proves
//! nothing: that is never taken for an end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::node::kubelet::Kubelet;
use crate::node::process::{Machine, ask};

pub(crate) const API_SERVER: &str = "kube-apiserver";

/// A runtime answers at once, or hangs.
pub(crate) const ASK_LIMIT: Duration = Duration::from_secs(8);

/// Where runtimes listen if the kubelet doesn't say.
const SOCKETS: [&str; 4] = [
    "/run/containerd/containerd.sock",
    "/var/run/crio/crio.sock",
    "/var/run/cri-dockerd.sock",
    "/var/run/dockershim.sock",
];
const DOCKER_SOCKET: &str = "/var/run/docker.sock";

/// A container of a static pod: the kubelet puts the host's name behind the pod's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) pod: String,
    pub(crate) namespace: String,
    pub(crate) container: String,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Looked {
    /// `process 12 (kube-apiserver)`, `container kube-apiserver of pod kube-apiserver-m1`.
    pub(crate) running: Vec<String>,
    /// Who could not answer, and why.
    pub(crate) unknown: Vec<String>,
    /// What was not looked at.
    pub(crate) warnings: Vec<String>,
}

impl Looked {
    pub(crate) fn is_gone(&self) -> bool {
        self.running.is_empty() && self.unknown.is_empty()
    }

    /// For errors: what runs, or who hasn't answered.
    pub(crate) fn what(&self) -> String {
        let parts: Vec<&str> =
            self.running.iter().chain(&self.unknown).map(String::as_str).collect();
        parts.join("; ")
    }
}

/// Whether an API server runs on this host; what can't be known within so long doesn't count.
pub(crate) fn api_server_runs(machine: &Machine, limit: Duration) -> bool {
    let runtimes = Runtimes::find(machine, Kubelet::find(machine).as_ref());
    !runtimes.look(machine, &[], limit).running.is_empty()
}

/// The same by processes alone, which nothing can hold up.
pub(crate) fn api_server_process_runs(machine: &Machine) -> bool {
    let mut looked = Looked::default();
    looked.add_processes(machine, &[]);
    !looked.running.is_empty()
}

/// Who is asked about containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Runtimes {
    askers: Vec<Asker>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Asker {
    Crictl {
        program: PathBuf,
        endpoint: String,
        /// The kubelet says so; without that it may be no CRI at all.
        certain: bool,
    },
    Docker {
        program: PathBuf,
    },
}

/// A container that runs, or is about to.
struct Found {
    pod: Option<String>,
    namespace: Option<String>,
    container: String,
}

enum Answer {
    Containers(Vec<Found>),
    /// This one runs no pods.
    NotCri,
    Unknown(String),
}

impl Runtimes {
    pub(crate) fn find(machine: &Machine, kubelet: Option<&Kubelet>) -> Self {
        let endpoint = kubelet.and_then(|kubelet| kubelet.endpoint.clone());
        let certain = endpoint.is_some();
        let known = || SOCKETS.iter().map(|socket| machine.path(Path::new(socket)));
        let endpoints: Vec<String> = match &endpoint {
            Some(endpoint) => vec![endpoint.clone()],
            None => known().filter(|path| path.exists()).map(|path| url(&path)).collect(),
        };
        let crictl = machine.program("crictl");
        let mut askers: Vec<Asker> = crictl.map_or_else(Vec::new, |program| {
            let asker = |endpoint| Asker::Crictl { program: program.clone(), endpoint, certain };
            endpoints.into_iter().map(asker).collect()
        });
        let by_docker = match &endpoint {
            Some(endpoint) => endpoint.contains("docker"),
            // Without a word of the kubelet's it is Docker if there is nothing else.
            None => askers.is_empty() || machine.path(Path::new(DOCKER_SOCKET)).exists(),
        };
        if by_docker && let Some(program) = machine.program("docker") {
            // The kubelet's own socket of Docker answers only while the kubelet runs.
            askers.retain(|_| !certain);
            askers.push(Asker::Docker { program });
        }
        Self { askers }
    }

    /// What runs of these containers, and of any API server. Takes a moment more than `limit` at most.
    pub(crate) fn look(&self, machine: &Machine, targets: &[Target], limit: Duration) -> Looked {
        let mut looked = Looked::default();
        let mut answered = false;
        for answer in self.answers(limit) {
            match answer {
                Answer::Containers(found) => {
                    answered = true;
                    let hits = found.iter().filter(|found| found.is_any(targets));
                    looked.running.extend(hits.map(Found::describe));
                }
                Answer::NotCri => (),
                Answer::Unknown(why) => looked.unknown.push(why),
            }
        }
        let alone = !answered && looked.unknown.is_empty();
        if alone {
            let why = "neither crictl nor docker can be asked: only processes are looked at";
            looked.warnings.push(why.into());
        }
        looked.add_processes(machine, if alone { targets } else { &[] });
        looked
    }

    /// API servers in containers that are none of these.
    pub(crate) fn other_api_servers(&self, targets: &[Target], limit: Duration) -> Vec<String> {
        let found = self.answers(limit).into_iter().flat_map(|answer| match answer {
            Answer::Containers(found) => found,
            Answer::NotCri | Answer::Unknown(_) => Vec::new(),
        });
        let other =
            found.filter(|found| found.container == API_SERVER && found.is_strange(targets));
        other.map(|found| found.describe()).collect()
    }

    /// Side by side: one that hangs holds up no other.
    fn answers(&self, limit: Duration) -> Vec<Answer> {
        let limit = limit.min(ASK_LIMIT);
        thread::scope(|scope| {
            let ask = |asker: &'_ Asker| {
                scope.spawn({
                    let asker = asker.clone();
                    move || asker.ask(limit)
                })
            };
            let asked: Vec<_> = self.askers.iter().map(ask).collect();
            let broke = |_| Answer::Unknown("a question to the runtime broke off".into());
            asked.into_iter().map(|asked| asked.join().unwrap_or_else(broke)).collect()
        })
    }
}

impl Looked {
    fn add_processes(&mut self, machine: &Machine, targets: &[Target]) {
        let mut programs: Vec<&str> = targets.iter().map(|t| t.container.as_str()).collect();
        programs.push(API_SERVER);
        programs.sort_unstable();
        programs.dedup();
        match machine.processes() {
            Ok(processes) => self.running.extend(processes.iter().filter_map(|process| {
                let program = programs.iter().find(|program| process.is(program))?;
                Some(format!("process {} ({program})", process.pid))
            })),
            Err(error) => {
                self.unknown.push(format!("cannot read {}: {error}", machine.proc.display()))
            }
        }
    }
}

impl Asker {
    /// One that was created and not started yet counts as well: it is about to run.
    fn ask(&self, limit: Duration) -> Answer {
        match self {
            Self::Crictl { program, endpoint, certain } => {
                let args = ["--runtime-endpoint", endpoint, "ps", "-a", "-o", "json"];
                match ask(program, &args, limit).and_then(|text| of_crictl(&text)) {
                    Ok(found) => Answer::Containers(found),
                    Err(why) if !certain && is_no_cri(&why) => Answer::NotCri,
                    Err(why) => Answer::Unknown(format!("{endpoint}: {why}")),
                }
            }
            Self::Docker { program } => {
                let states = ["created", "running", "restarting", "paused"]
                    .map(|state| ["--filter".to_owned(), format!("status={state}")]);
                let mut args = vec![
                    "ps",
                    "-a",
                    "--no-trunc",
                    "--filter",
                    "name=k8s_",
                    "--format",
                    "{{.Names}}",
                ];
                args.extend(states.as_flattened().iter().map(String::as_str));
                match ask(program, &args, limit) {
                    Ok(text) => Answer::Containers(of_docker(&text)),
                    Err(why) => Answer::Unknown(why),
                }
            }
        }
    }
}

impl Found {
    fn is_any(&self, targets: &[Target]) -> bool {
        self.container == API_SERVER || self.is_of(targets)
    }

    fn is_of(&self, targets: &[Target]) -> bool {
        targets.iter().any(|target| self.is(target))
    }

    /// A hosted control plane's pod may be named like ours, and lie in another namespace.
    fn is_strange(&self, targets: &[Target]) -> bool {
        let is_in =
            |target: &Target| self.namespace.as_ref().is_none_or(|it| *it == target.namespace);
        !targets.iter().any(|target| self.is(target) && is_in(target))
    }

    fn is(&self, target: &Target) -> bool {
        let in_pod = self.pod.as_ref().is_none_or(|pod| {
            let rest = pod.strip_prefix(&target.pod);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        });
        in_pod && self.container == target.container
    }

    fn describe(&self) -> String {
        match &self.pod {
            Some(pod) => format!("container {} of pod {pod}", self.container),
            None => format!("container {}", self.container),
        }
    }
}

fn url(path: &Path) -> String {
    format!("unix://{}", path.display())
}

/// The containerd under Docker has its CRI switched off.
fn is_no_cri(why: &str) -> bool {
    why.contains("unknown service runtime.") || why.contains("Unimplemented")
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    containers: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
struct Entry {
    metadata: Named,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    state: Option<String>,
}

impl Entry {
    /// What has no state is not known to have ended.
    fn has_ended(&self) -> bool {
        let runs = ["CONTAINER_CREATED", "CONTAINER_RUNNING"];
        self.state.as_deref().is_some_and(|state| !runs.contains(&state))
    }
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

fn of_crictl(text: &str) -> Result<Vec<Found>, String> {
    let listed: Listed =
        serde_json::from_str(text).map_err(|error| format!("crictl's answer is none: {error}"))?;
    let entries = listed.containers.unwrap_or_default().into_iter();
    let entries = entries.filter(|entry| !entry.has_ended());
    let found = entries.map(|mut entry| Found {
        pod: entry.labels.remove("io.kubernetes.pod.name"),
        namespace: entry.labels.remove("io.kubernetes.pod.namespace"),
        container: entry.metadata.name,
    });
    Ok(found.collect())
}

/// `k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT`; what holds a pod's addresses is `k8s_POD_…`.
fn of_docker(text: &str) -> Vec<Found> {
    let found = text.lines().filter_map(|name| {
        let mut parts = name.trim().split('_');
        let is_pod_part = parts.next()? == "k8s";
        let container = parts.next().filter(|name| is_pod_part && *name != "POD")?;
        let mut part = || parts.next().map(str::to_owned);
        Some(Found { container: container.into(), pod: part(), namespace: part() })
    });
    found.collect()
}

#[cfg(test)]
#[path = "runtime_tests.rs"]
mod tests;
