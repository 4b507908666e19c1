use super::*;
use crate::node::fixture::Fixture;

fn kubelet(endpoint: &str) -> Kubelet {
    Kubelet { manifests: None, endpoint: Some(endpoint.into()) }
}

fn targets() -> Vec<Target> {
    let (pod, namespace) = ("kube-vip".into(), "kube-system".into());
    vec![Target { pod, namespace, container: "vip".into() }]
}

fn look(host: &Fixture, kubelet: Option<&Kubelet>) -> Looked {
    Runtimes::find(&host.machine(), kubelet).look(&host.machine(), &targets(), ASK_LIMIT)
}

#[test]
fn containers_are_known_by_their_pods() {
    let names = "k8s_vip_kube-vip-m1_kube-system_1_0\nk8s_POD_kube-vip-m1_kube-system_1_0\n\
        k8s_vip_kube-viper-m1_kube-system_1_0\nk8s_vip_other_default_1_0\nvip\n\
        k8s_kube-apiserver_any_kube-system_1_0\n";
    let found: Vec<String> = of_docker(names)
        .iter()
        .filter(|found| found.is_any(&targets()))
        .map(Found::describe)
        .collect();
    let api_server = "container kube-apiserver of pod any";
    assert_eq!(found, ["container vip of pod kube-vip-m1", api_server]);
    assert!(of_crictl("{}").unwrap().is_empty() && of_crictl(r#"{"containers":null}"#).is_ok());
    let unlabelled = of_crictl(r#"{"containers":[{"metadata":{"name":"vip"}}]}"#).unwrap();
    assert!(unlabelled[0].is_any(&targets()));
    assert!(of_crictl("CONTAINER  IMAGE").is_err());
}

#[test]
fn the_runtime_of_the_kubelet_is_asked_and_must_answer() {
    let host = Fixture::new();
    host.file("/run/containerd/containerd.sock", "");
    host.program("crictl", "echo \"$2\" | grep -q k.sock && echo '{}' || exit 1");
    assert!(look(&host, Some(&kubelet("unix:///k.sock"))).is_gone());
    let refused = look(&host, Some(&kubelet("unix:///other.sock")));
    assert!(!refused.is_gone() && refused.what().contains("unix:///other.sock"), "{refused:?}");
    host.program("crictl", "exec sleep 60");
    let asker =
        Asker::Crictl { program: host.path("/bin/crictl"), endpoint: "e".into(), certain: true };
    let hung = ask(&host.path("/bin/crictl"), &[], Duration::from_millis(100)).unwrap_err();
    assert!(hung.contains("has not answered"), "{hung}");
    assert!(matches!(asker, Asker::Crictl { certain: true, .. }));
}

#[test]
fn a_containerd_that_only_serves_docker_is_left_out() {
    let host = Fixture::new();
    host.file("/run/containerd/containerd.sock", "");
    host.file("/var/run/docker.sock", "");
    host.program("crictl", "echo 'unknown service runtime.v1.RuntimeService' >&2; exit 1");
    host.program("docker", "echo k8s_vip_kube-vip-m1_kube-system_1_0");
    let looked = look(&host, None);
    assert_eq!(looked.running, ["container vip of pod kube-vip-m1"]);
    assert!(looked.unknown.is_empty(), "{looked:?}");
    let certain = look(&host, Some(&kubelet("unix:///run/containerd/containerd.sock")));
    assert!(!certain.unknown.is_empty(), "the kubelet says that it is one");
    host.program("docker", "exit 1");
    assert!(!look(&host, None).is_gone());
    std::fs::remove_file(host.path("/run/containerd/containerd.sock")).unwrap();
    std::fs::remove_file(host.path("/var/run/docker.sock")).unwrap();
    assert!(!look(&host, None).unknown.is_empty(), "whom else could one ask?");
    let shim = kubelet("unix:///var/run/dockershim.sock");
    assert_eq!(Runtimes::find(&host.machine(), Some(&shim)).askers.len(), 1);
}

#[test]
fn without_a_runtime_all_programs_are_looked_for() {
    let host = Fixture::new();
    host.process(4, "vip", &["/usr/bin/vip"]);
    let looked = look(&host, None);
    assert_eq!((looked.running, looked.warnings.len()), (vec!["process 4 (vip)".to_owned()], 1));
    host.file("/run/containerd/containerd.sock", "");
    host.program("crictl", "echo '{}'");
    assert!(look(&host, None).is_gone(), "the runtime knows better");
}

#[test]
fn processes_are_known_however_they_were_started() {
    let host = Fixture::new();
    let is = |pid: u32, comm: &str, words: &[&str], program: &str| {
        host.process(pid, comm, words);
        let found = host.machine().processes().unwrap();
        found.iter().find(|found| found.pid == pid).unwrap().is(program)
    };
    assert!(is(1, "kube-apiserver", &[], API_SERVER));
    assert!(is(2, "main", &["/usr/bin/kube-apiserver", "--x"], API_SERVER));
    assert!(is(3, "python3.11", &["/usr/bin/python3.11", "/opt/kube-apiserver"], API_SERVER));
    assert!(is(10, "hyperkube", &["/hyperkube", "kube-apiserver"], API_SERVER));
    assert!(is(4, "kube-controller", &["kube-controller-manager"], "kube-controller-manager"));
    assert!(is(5, "kube-controller", &[], "kube-controller-manager"));
    assert!(!is(6, "kube-controller", &["kube-controller-proxy"], "kube-controller-manager"));
    assert!(!is(7, "vi", &["vi", "kube-apiserver"], API_SERVER));
    assert!(!is(8, "grep", &["grep", "kube-apiserver"], API_SERVER));
    host.process(9, "kube-apiserver", &["kube-apiserver"]);
    host.file("/proc/9/stat", "9 (kube-apiserver) Z 1 1");
    host.file("/proc/x/comm", "kube-apiserver\n");
    assert!(host.machine().processes().unwrap().iter().all(|found| found.pid != 9));
}

#[test]
fn a_real_process_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("kube-apiserver");
    std::fs::write(&script, "read line\n").unwrap();
    let mut command = std::process::Command::new("/bin/sh");
    let mut child = command.arg(&script).stdin(std::process::Stdio::piped()).spawn().unwrap();
    let machine = Machine::default();
    let found = || {
        let processes = machine.processes().unwrap();
        processes.into_iter().any(|found| found.pid == child.id() && found.is(API_SERVER))
    };
    // Until it has become the shell.
    while !found() {
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A credential of ours must not be read in another's environment.
#[test]
fn programs_see_only_what_they_need_of_our_environment() {
    let seen = ask(Path::new("/usr/bin/env"), &[], ASK_LIMIT).unwrap();
    assert!(seen.contains("PATH="), "{seen}");
    // The test runner's own, for one.
    assert!(std::env::vars().any(|(name, _)| name.starts_with("CARGO_")));
    assert!(!seen.contains("CARGO_"), "{seen}");
}
