use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::*;
use crate::node::fixture::{Fixture, context};
use crate::node::plan;

/// `/proc` is one of its own everywhere.
#[test]
fn a_folder_that_is_a_file_system_cannot_be_left_by_a_rename() {
    let layout = |manifests: &str| Layout {
        manifests: manifests.into(),
        backup: format!("{manifests}.backup").into(),
        state: PathBuf::new(),
    };
    let check = backup(&layout("/proc"), &[]);
    assert_eq!(check.standing, Standing::Fail, "{check:?}");
    assert!(check.found.contains("/proc is a file system"), "{check:?}");
    let host = Fixture::with_control_plane();
    let check = backup(&Layout::of(&context(&host)).unwrap(), &[]);
    assert_eq!(check.standing, Standing::Ok, "{check:?}");
}

#[test]
fn names_that_cannot_be_noted_are_found() {
    let host = Fixture::with_control_plane();
    let pods = || StaticPod::read_all(&host.manifests()).unwrap();
    assert_eq!(odd_names(&pods()), None);
    let odd = std::ffi::OsStr::from_bytes(b"a\xff.yaml");
    std::fs::write(host.manifests().join(odd), Fixture::manifest("kube-vip")).unwrap();
    assert_eq!(odd_names(&pods()).unwrap().standing, Standing::Fail);
}

fn other(host: &Fixture) -> Option<Check> {
    let pods = StaticPod::read_all(&host.manifests()).unwrap();
    other_api_server(&host.machine(), None, &plan::targets_of(&pods, &[], false))
}

#[test]
fn an_api_server_that_would_not_sleep_is_found() {
    let host = Fixture::with_control_plane();
    host.file("/run/containerd/containerd.sock", "");
    let runs = |pod: &str, namespace: &str| {
        let labels = format!(
            r#"{{"io.kubernetes.pod.name":"{pod}","io.kubernetes.pod.namespace":"{namespace}"}}"#
        );
        let one = format!(r#"{{"metadata":{{"name":"kube-apiserver"}},"labels":{labels}}}"#);
        host.program("crictl", &format!("echo '{{\"containers\":[{one}]}}'"));
    };
    runs("kube-apiserver-m1", "default");
    assert_eq!(other(&host), None);
    for (pod, namespace) in [("kube-apiserver-7d9f-x2x", "c-17"), ("hosted-0", "default")] {
        runs(pod, namespace);
        let check = other(&host).unwrap();
        assert_eq!(check.standing, Standing::Fail);
        assert!(check.found.contains(pod), "{check:?}");
    }
}

#[test]
fn a_service_of_systemd_is_told() {
    let host = Fixture::with_control_plane();
    host.process(8, "kube-apiserver", &["/usr/bin/kube-apiserver"]);
    assert_eq!(other(&host), None, "nothing is known of it");
    host.file("/proc/8/cgroup", "0::/kubepods.slice/kubepods-pod1.slice/cri-1.scope\n");
    assert_eq!(other(&host), None);
    host.file("/proc/8/cgroup", "0::/system.slice/kube-apiserver.service\n");
    let check = other(&host).unwrap();
    assert_eq!(check.standing, Standing::Warn);
    assert!(check.found.contains("process 8 of kube-apiserver.service"), "{check:?}");
}

#[test]
fn who_starts_the_timer_again_is_told() {
    let host = Fixture::new();
    assert_eq!(timer(&host.machine()).standing, Standing::Warn);
    std::fs::create_dir_all(host.path("/run/systemd/system")).unwrap();
    host.program("systemctl", "");
    assert_eq!(timer(&host.machine()).standing, Standing::Ok);
}

#[test]
fn several_kubelets_are_told() {
    let host = Fixture::with_control_plane();
    let check = || {
        let layout = Layout::of(&context(&host)).unwrap();
        kubelet(&host.machine(), Kubelet::find(&host.machine()).as_ref(), &layout)
    };
    assert!(!check().found.contains("of them"));
    host.process(2, "kubelet", &["kubelet"]);
    assert!(check().found.starts_with("2 of them run here"), "{:?}", check());
}
