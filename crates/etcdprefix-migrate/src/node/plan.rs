//! Which manifests sleep moves, and which it leaves.

use crate::error::{NodeError, NodeErrorKind};
use crate::node::Context;
use crate::node::kubelet::Layout;
use crate::node::manifest::StaticPod;
use crate::node::runtime::{API_SERVER, Target};
use crate::protocol::SleepRequest;

/// What writes to etcd through the API server, and the API server itself.
pub const COMPONENTS: [&str; 4] =
    [API_SERVER, "kube-controller-manager", "kube-scheduler", "cloud-controller-manager"];

const ETCD: &str = "etcd";

/// What is to be done.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) moved: Vec<StaticPod>,
    pub(crate) left: Vec<StaticPod>,
    pub(crate) warnings: Vec<String>,
}

/// What sleep would move of a folder's pods, and what it would leave.
pub fn would_move(pods: &[StaticPod], also: &[String], all: bool) -> (Vec<String>, Vec<String>) {
    let (moved, left): (Vec<_>, Vec<_>) = pods.iter().partition(|pod| is_moved(pod, also, all));
    let names = |pods: Vec<&StaticPod>| pods.into_iter().map(StaticPod::file_name).collect();
    (names(moved), names(left))
}

/// The containers of what sleep would move.
pub(crate) fn targets_of(pods: &[StaticPod], also: &[String], all: bool) -> Vec<Target> {
    let moved = pods.iter().filter(|pod| is_moved(pod, also, all)).cloned();
    targets(&moved.collect::<Vec<_>>())
}

/// etcd always stays: it is what is saved.
fn is_moved(pod: &StaticPod, also: &[String], all: bool) -> bool {
    let components = COMPONENTS.into_iter().chain(also.iter().map(String::as_str));
    !pod.runs(ETCD) && (all || components.into_iter().any(|component| pod.runs(component)))
}

/// What to move.
///
/// # Errors
/// If that would not put an API server to sleep, or etcd with it.
pub(crate) fn choose(pods: &[StaticPod], request: &SleepRequest) -> Result<Plan, NodeError> {
    let SleepRequest { also, all, .. } = request;
    if also.iter().any(|component| component == ETCD) {
        return Err(NodeError::new(NodeErrorKind::Usage, "etcd always stays: it is what is saved"));
    }
    let both = |pod: &&StaticPod| pod.runs(ETCD) && COMPONENTS.iter().any(|name| pod.runs(name));
    if let Some(pod) = pods.iter().find(both) {
        let why = format!("{} runs etcd and components that must sleep", pod.file.display());
        return Err(NodeError::new(NodeErrorKind::NotAsExpected, why));
    }
    let (moved, left): (Vec<_>, Vec<_>) =
        pods.iter().cloned().partition(|pod| is_moved(pod, also, *all));
    if !moved.iter().any(|pod| pod.runs(API_SERVER)) {
        return Err(NodeError::new(
            NodeErrorKind::NotAsExpected,
            "no static pod runs kube-apiserver",
        ));
    }
    if let Some(pod) = moved.iter().find(|pod| !pod.has_plain_name()) {
        let why = format!("the name of {} is not UTF-8", pod.file.display());
        return Err(NodeError::new(NodeErrorKind::NotAsExpected, why).try_("rename the file"));
    }
    let absent = also.iter().filter(|name| !moved.iter().any(|pod| pod.runs(name)));
    let warnings = absent.map(|name| format!("no static pod runs {name}")).collect();
    Ok(Plan { moved, left, warnings })
}

/// Containers of what sleeps.
pub(crate) fn targets(pods: &[StaticPod]) -> Vec<Target> {
    let targets = pods.iter().flat_map(|pod| {
        let target = |name: &String| Target {
            pod: pod.name.clone(),
            namespace: pod.namespace.clone(),
            container: name.clone(),
        };
        pod.containers.iter().map(move |container| target(&container.name))
    });
    targets.collect()
}

/// Adds where was looked, and what runs instead or lies elsewhere.
pub(crate) fn explain(error: NodeError, context: &Context, layout: &Layout) -> NodeError {
    if error.kind != NodeErrorKind::NotAsExpected {
        return error;
    }
    let mut message = format!("{} (looked in {})", error.message, layout.manifests.display());
    for part in [unreadable(layout), process(context)].into_iter().flatten() {
        message = format!("{message}; {part}");
    }
    NodeError { message, hint: slept_before(layout).or(error.hint), ..error }
}

fn unreadable(layout: &Layout) -> Option<String> {
    let pods = StaticPod::read_all(&layout.manifests).ok()?;
    let unread = pods.iter().filter(|pod| !pod.is_pod()).map(StaticPod::file_name);
    let unread: Vec<String> = unread.collect();
    (!unread.is_empty()).then(|| format!("not readable as pods: {}", unread.join(", ")))
}

fn process(context: &Context) -> Option<String> {
    let processes = context.machine.processes().ok()?;
    let found = processes.iter().find(|process| process.is(API_SERVER))?;
    Some(format!("process {} is one, and no static pod: stop it by hand", found.pid))
}

/// The template keeps no record.
fn slept_before(layout: &Layout) -> Option<String> {
    let pods = StaticPod::read_all(&layout.backup).ok()?;
    let pod = pods.iter().find(|pod| pod.runs(API_SERVER))?;
    Some(format!("{} was put to sleep by something else: move it back first", pod.file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::fixture::{Fixture, context, sleep_request};

    fn plan(host: &Fixture, also: &[&str], all: bool) -> Result<Plan, NodeError> {
        let pods = StaticPod::read_all(&host.manifests()).unwrap();
        let also = also.iter().map(|name| (*name).to_owned()).collect();
        choose(&pods, &SleepRequest { also, all, ..sleep_request() })
    }

    fn moved(host: &Fixture, also: &[&str], all: bool) -> (Vec<String>, Vec<String>) {
        let plan = plan(host, also, all).unwrap();
        let names = |pods: &[StaticPod]| pods.iter().map(StaticPod::file_name).collect();
        (names(&plan.moved), names(&plan.left))
    }

    #[test]
    fn etcd_and_what_nobody_named_stay() {
        let host = Fixture::with_control_plane();
        host.pod("kube-vip");
        host.file("/etc/kubernetes/manifests/notes.txt", "no pod");
        let four = ["cloud-controller-manager.yaml", "kube-apiserver.yaml"];
        let four = [&four[..], &["kube-controller-manager.yaml", "kube-scheduler.yaml"]].concat();
        let (etcd, vip, notes) = ("etcd.yaml", "kube-vip.yaml", "notes.txt");
        let (of, stay) = moved(&host, &[], false);
        assert_eq!((of, stay), (owned(&four), owned(&[etcd, vip, notes])));
        let (of, stay) = moved(&host, &["kube-vip", "haproxy"], false);
        assert_eq!((of, stay), (owned(&[&four[..], &[vip]].concat()), owned(&[etcd, notes])));
        let (of, stay) = moved(&host, &[], true);
        assert_eq!((of, stay), (owned(&[&four[..], &[vip, notes]].concat()), owned(&[etcd])));
        let warned = plan(&host, &["haproxy"], false).unwrap().warnings;
        assert_eq!(warned, ["no static pod runs haproxy"]);
        assert_eq!(plan(&host, &["etcd"], false).unwrap_err().kind, NodeErrorKind::Usage);
    }

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn an_api_server_that_is_no_static_pod_is_refused() {
        let host = Fixture::new();
        host.pod("etcd");
        host.file("/etc/kubernetes/manifests/broken.yaml", "kind: [");
        host.process(31, "kube-apiserver", &["/usr/bin/kube-apiserver"]);
        let context = context(&host);
        let layout = Layout::of(&context).unwrap();
        let error = explain(plan(&host, &[], true).unwrap_err(), &context, &layout);
        assert_eq!(error.kind, NodeErrorKind::NotAsExpected);
        assert!(error.message.contains("process 31") && error.message.contains("broken.yaml"));
        host.file("/etc/kubernetes/manifests.backup/a.yaml", &Fixture::manifest("kube-apiserver"));
        let error = explain(plan(&host, &[], false).unwrap_err(), &context, &layout);
        assert!(error.hint.unwrap().contains("manifests.backup/a.yaml"));
    }

    #[test]
    fn etcd_in_the_same_pod_is_refused() {
        let host = Fixture::new();
        let containers = "[{name: kube-apiserver}, {name: etcd}]";
        let both =
            format!("kind: Pod\nmetadata: {{name: m}}\nspec: {{containers: {containers}}}\n");
        host.file("/etc/kubernetes/manifests/m.yaml", &both);
        assert!(plan(&host, &[], false).unwrap_err().message.contains("runs etcd and"));
    }
}
