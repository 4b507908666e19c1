use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::Ordering;

use super::*;
use crate::node::fixture::{Fixture, context, other_owner, owner, sleep_request, wake_request};
use crate::protocol::Fence;

/// A process that never ends.
fn api_server(host: &Fixture) {
    host.process(31, "kube-apiserver", &["/usr/bin/kube-apiserver"]);
}

fn assert_untouched(
    host: &Fixture,
    before: &std::collections::BTreeMap<std::path::PathBuf, (Vec<u8>, u32, std::time::SystemTime)>,
) {
    assert_eq!(&host.files(), before);
    assert!(!host.backup().exists());
    assert_eq!(host.state().record().unwrap(), None);
    assert!(timer::shown(&host.state()).unwrap().is_none());
}

#[test]
fn what_sleeps_wakes_as_it_was() {
    let host = Fixture::with_control_plane();
    let _alive = host.live_timer();
    let manifest = host.path("/etc/kubernetes/manifests/kube-scheduler.yaml");
    fs::set_permissions(manifest, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("/elsewhere/kube-vip.yaml", host.path("/etc/kubernetes/manifests/link")).unwrap();
    fs::remove_file(host.path("/etc/kubernetes/manifests/link")).unwrap();
    let before = host.files();
    let slept = run(&sleep_request(), &context(&host)).unwrap();
    assert_eq!((slept.moved.len(), slept.already), (4, false));
    assert_eq!(slept.left, ["etcd.yaml"]);
    assert_eq!((slept.folder, slept.backup), real(&host));
    assert!(host.backup().join("kube-scheduler.yaml").exists());
    assert!(slept.warnings.iter().any(|warning| warning.contains("only processes")));
    let timer = timer::shown(&host.state()).unwrap().unwrap();
    assert!((590..=600).contains(&timer.left_seconds) && timer.run == "run-1");
    let woken = wake::run(&wake_request(), &context(&host)).unwrap();
    assert_eq!((woken.restored.len(), woken.already), (4, false));
    assert_untouched(&host, &before);
    assert!(wake::run(&wake_request(), &context(&host)).unwrap().already);
}

fn real(host: &Fixture) -> (std::path::PathBuf, std::path::PathBuf) {
    let folder = host.manifests().canonicalize().unwrap();
    (folder.clone(), folder.with_extension("backup"))
}

#[test]
fn a_link_moves_as_a_link() {
    let host = Fixture::with_control_plane();
    let _alive = host.live_timer();
    let link = host.path("/etc/kubernetes/manifests/kube-scheduler.yaml");
    fs::rename(&link, host.path("/etc/scheduler.yaml")).unwrap();
    symlink("../../scheduler.yaml", &link).unwrap();
    let slept = run(&sleep_request(), &context(&host)).unwrap();
    assert!(slept.moved.contains(&"kube-scheduler.yaml".to_owned()));
    wake::run(&wake_request(), &context(&host)).unwrap();
    assert_eq!(fs::read_link(&link).unwrap(), Path::new("../../scheduler.yaml"));
}

#[test]
fn what_does_not_stop_is_put_back() {
    let host = Fixture::with_control_plane();
    let _alive = host.live_timer();
    let before = host.files();
    api_server(&host);
    let error = run(&sleep_request(), &context(&host)).unwrap_err();
    assert_eq!(error.kind, NodeErrorKind::StillRunning);
    assert!(error.message.contains("process 31 (kube-apiserver)"), "{error}");
    assert_untouched(&host, &before);
}

#[test]
fn a_runtime_that_cannot_answer_proves_nothing() {
    let host = Fixture::with_control_plane();
    let _alive = host.live_timer();
    let before = host.files();
    host.file("/run/containerd/containerd.sock", "");
    host.program("crictl", "echo 'FATA[0000] connection refused' >&2; exit 1");
    let error = run(&sleep_request(), &context(&host)).unwrap_err();
    assert_eq!(error.kind, NodeErrorKind::StillRunning);
    assert!(error.message.contains("connection refused"), "{error}");
    assert_untouched(&host, &before);
}

#[test]
fn containers_of_other_pods_do_not_hold_it_up_and_own_ones_do() {
    let host = Fixture::with_control_plane();
    let _alive = host.live_timer();
    host.file("/run/containerd/containerd.sock", "");
    let container = |name: &str, pod: &str| {
        let labels = format!(r#"{{"io.kubernetes.pod.name":"{pod}"}}"#);
        format!(r#"{{"metadata":{{"name":"{name}"}},"labels":{labels}}}"#)
    };
    let list = |host: &Fixture, of: &str| {
        host.program("crictl", &format!("echo '{{\"containers\":[{of}]}}'"));
    };
    list(&host, &container("kube-scheduler", "kube-scheduler-m1"));
    let error = run(&sleep_request(), &context(&host)).unwrap_err();
    assert!(error.message.contains("kube-scheduler of pod kube-scheduler-m1"), "{error}");
    list(&host, &container("coredns", "coredns-7f"));
    assert_eq!(run(&sleep_request(), &context(&host)).unwrap().warnings, [""; 0]);
}

#[test]
fn once_more_is_no_more() {
    let host = Fixture::with_control_plane();
    let _alive = host.live_timer();
    let first = run(&sleep_request(), &context(&host)).unwrap();
    let asleep = host.files();
    let again = run(&sleep_request(), &context(&host)).unwrap();
    assert!(again.already && !first.already);
    assert_eq!((again.moved, again.left, host.files()), (first.moved, first.left, asleep));
}

#[test]
fn another_run_is_refused() {
    let host = Fixture::with_control_plane();
    let _alive = host.live_timer();
    run(&sleep_request(), &context(&host)).unwrap();
    let asleep = host.files();
    let other = SleepRequest { owner: other_owner(), ..sleep_request() };
    let held = run(&other, &context(&host)).unwrap_err();
    assert_eq!(held.kind, NodeErrorKind::Locked);
    assert!(held.message.contains("run-1 of c123") && held.message.contains("root@ctl"));
    host.state().remove(Kept::Lock).unwrap();
    let ended = run(&sleep_request(), &context(&host)).unwrap_err();
    assert!(ended.kind == NodeErrorKind::Locked && ended.message.contains("has ended"));
    lock::hold(&host.state(), &other_owner(), false).unwrap();
    let asleep_for = run(&other, &context(&host)).unwrap_err();
    assert_eq!(asleep_for.kind, NodeErrorKind::Locked);
    assert!(asleep_for.message.contains("asleep for run run-1"));
    assert_eq!(host.files(), asleep);
}

#[test]
fn nothing_moves_without_a_timer_or_over_a_file() {
    let host = Fixture::with_control_plane();
    let before = host.files();
    // The launcher of these tests starts nothing.
    let error = run(&sleep_request(), &context(&host)).unwrap_err();
    assert_eq!(error.kind, NodeErrorKind::Failed);
    assert!(error.message.starts_with("no timer"), "{error}");
    assert_untouched(&host, &before);
    let _alive = host.live_timer();
    host.file("/etc/kubernetes/manifests.backup/kube-apiserver.yaml", "old");
    let before = host.files();
    let error = run(&sleep_request(), &context(&host)).unwrap_err();
    assert_eq!(error.kind, NodeErrorKind::NotAsExpected);
    assert!(error.message.contains("manifests.backup/kube-apiserver.yaml"), "{error}");
    assert_eq!(host.files(), before);
}

#[test]
fn a_backup_folder_that_was_there_stays() {
    let host = Fixture::with_control_plane();
    let _alive = host.live_timer();
    host.file("/etc/kubernetes/manifests.backup/notes", "mine");
    let before = host.files();
    run(&sleep_request(), &context(&host)).unwrap();
    wake::run(&wake_request(), &context(&host)).unwrap();
    assert_eq!(host.files(), before);
}

#[test]
fn a_fenced_host_is_refused() {
    let host = Fixture::with_control_plane();
    let before = host.files();
    let fence = Fence { run: "run-0".into(), since_ms: 5 };
    host.state().write(Kept::Fence, &fence).unwrap();
    let error = run(&sleep_request(), &context(&host)).unwrap_err();
    assert_eq!(error.kind, NodeErrorKind::Fenced);
    assert_eq!(host.files(), before);
}

/// Between any two renames, before the first and after the last.
#[test]
fn a_crash_anywhere_is_mended_by_both_ways() {
    for moved in 0..=4 {
        let host = Fixture::with_control_plane();
        let _alive = host.live_timer();
        let before = host.files();
        run(&sleep_request(), &context(&host)).unwrap();
        let asleep = host.files();
        let crash = || {
            let record = host.state().record().unwrap().unwrap();
            for file in record.files.iter().skip(moved) {
                fs::rename(file.in_backup(&record), file.in_folder(&record)).unwrap();
            }
        };
        crash();
        assert!(run(&sleep_request(), &context(&host)).unwrap().already);
        assert_eq!(host.files(), asleep, "{moved}");
        crash();
        let woken = wake::run(&wake_request(), &context(&host)).unwrap();
        assert_eq!(woken.restored.len(), 4);
        assert_untouched(&host, &before);
    }
}

#[test]
fn an_interruption_puts_all_back() {
    let host = Fixture::with_control_plane();
    let _alive = host.live_timer();
    let before = host.files();
    let context = context(&host);
    context.interrupted.store(true, Ordering::Relaxed);
    let error = run(&sleep_request(), &context).unwrap_err();
    assert_eq!(error.kind, NodeErrorKind::Interrupted);
    assert_untouched(&host, &before);
}

#[test]
fn waking_ends_a_sleep_that_still_waits() {
    let host = Fixture::with_control_plane();
    let _alive = host.live_timer();
    let before = host.files();
    api_server(&host);
    let waiting = {
        let context = context(&host);
        let request = SleepRequest { wait_seconds: 600, ..sleep_request() };
        thread::spawn(move || run(&request, &context))
    };
    while !host.backup().join("kube-scheduler.yaml").exists() {
        thread::sleep(Duration::from_millis(5));
    }
    wake::run(&wake_request(), &context(&host)).unwrap();
    let error = waiting.join().unwrap().unwrap_err();
    assert_eq!(error.kind, NodeErrorKind::Awake);
    assert_untouched(&host, &before);
}

#[test]
fn what_came_back_differently_is_told_with_the_failure() {
    let host = Fixture::with_control_plane();
    let _alive = host.live_timer();
    run(&sleep_request(), &context(&host)).unwrap();
    host.file("/etc/kubernetes/manifests/kube-scheduler.yaml", "new");
    let error = run(&sleep_request(), &context(&host)).unwrap_err();
    assert_eq!(error.kind, NodeErrorKind::NotAsExpected);
    assert!(error.message.contains("not everything is back"), "{error}");
    assert!(host.manifests().join("kube-apiserver.yaml").exists());
    assert_eq!(host.state().record().unwrap().unwrap().run, owner().run);
    assert!(timer::shown(&host.state()).unwrap().is_some());
}

/// One container, in one answer of a runtime.
fn answer(name: &str, state: &str) -> String {
    let labels = format!(r#"{{"io.kubernetes.pod.name":"{name}-m1"}}"#);
    let container =
        format!(r#"{{"metadata":{{"name":"{name}"}},"labels":{labels},"state":"{state}"}}"#);
    format!(r#"{{"containers":[{container}]}}"#)
}

#[test]
fn what_is_about_to_start_runs_and_what_has_ended_does_not() {
    let host = Fixture::with_control_plane();
    let _alive = host.live_timer();
    host.file("/run/containerd/containerd.sock", "");
    let says = |state: &str| {
        host.program("crictl", &format!("echo '{}'", answer("kube-apiserver", state)));
        run(&sleep_request(), &context(&host))
    };
    for state in ["CONTAINER_CREATED", "CONTAINER_RUNNING"] {
        assert_eq!(says(state).unwrap_err().kind, NodeErrorKind::StillRunning, "{state}");
    }
    assert_eq!(says("CONTAINER_EXITED").unwrap().moved.len(), 4);
}

/// Between two starts of a container that crashes nothing runs either.
#[test]
fn gone_once_is_not_gone() {
    let host = Fixture::with_control_plane();
    let _alive = host.live_timer();
    host.file("/run/containerd/containerd.sock", "");
    let (count, back) = (host.path("/asked"), answer("kube-apiserver", "CONTAINER_RUNNING"));
    let script = format!(
        "echo >> {count}; [ $(wc -l < {count}) = 2 ] && echo '{back}' || echo '{{}}'",
        count = count.display()
    );
    host.program("crictl", &script);
    run(&SleepRequest { wait_seconds: 50, ..sleep_request() }, &context(&host)).unwrap();
    assert_eq!(fs::read_to_string(count).unwrap().lines().count(), 4);
}

#[test]
fn a_runtime_that_hangs_is_given_the_rest_of_the_time_and_no_more() {
    let host = Fixture::with_control_plane();
    let _alive = host.live_timer();
    let before = host.files();
    for socket in ["/run/containerd/containerd.sock", "/var/run/crio/crio.sock"] {
        host.file(socket, "");
    }
    host.program("crictl", "exec sleep 60");
    let error = run(&sleep_request(), &context(&host)).unwrap_err();
    assert_eq!(error.kind, NodeErrorKind::StillRunning);
    assert_eq!(error.message.matches("has not answered within 2 s").count(), 2, "{error}");
    assert_untouched(&host, &before);
}

#[test]
fn what_cannot_be_noted_is_refused_before_anything_is_armed() {
    use std::os::unix::ffi::OsStrExt;
    let host = Fixture::with_control_plane();
    let odd = std::ffi::OsStr::from_bytes(b"kube-\xffscheduler.yaml");
    let usual = host.manifests().join("kube-scheduler.yaml");
    fs::rename(usual, host.manifests().join(odd)).unwrap();
    let before = host.files();
    // No timer can be started here, which would be the error if it came first.
    let error = run(&sleep_request(), &context(&host)).unwrap_err();
    assert_eq!(error.kind, NodeErrorKind::NotAsExpected);
    assert!(error.message.contains("not UTF-8"), "{error}");
    assert_untouched(&host, &before);
}

#[test]
fn the_record_tells_what_ran_whatever_becomes_of_the_files() {
    let host = Fixture::with_control_plane();
    let _alive = host.live_timer();
    run(&sleep_request(), &context(&host)).unwrap();
    let record = host.state().record().unwrap().unwrap();
    let containers: Vec<&str> =
        record.targets.iter().map(|target| target.container.as_str()).collect();
    assert_eq!(containers.len(), 4);
    assert!(containers.contains(&"kube-scheduler") && !containers.contains(&"etcd"));
}
