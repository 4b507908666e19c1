use super::*;
use crate::node::fixture::{Fixture, context, other_owner, owner, sleep_request, wake_request};
use crate::node::{sleep, timer};

fn asleep() -> (Fixture, crate::node::guard::Guard) {
    let host = Fixture::with_control_plane();
    let alive = host.live_timer();
    sleep::run(&sleep_request(), &context(&host)).unwrap();
    (host, alive)
}

fn wake_with(host: &Fixture, request: WakeRequest) -> Result<Woken, NodeError> {
    run(&request, &context(host))
}

#[test]
fn a_differing_file_stops_itself_and_nothing_else() {
    let (host, _alive) = asleep();
    host.file("/etc/kubernetes/manifests/kube-apiserver.yaml", "new");
    let error = wake_with(&host, wake_request()).unwrap_err();
    assert_eq!(error.kind, NodeErrorKind::Differs);
    for name in ["manifests/kube-apiserver.yaml", "manifests.backup/kube-apiserver.yaml"] {
        assert!(error.message.contains(name), "{error}");
    }
    assert!(host.manifests().join("kube-scheduler.yaml").exists());
    assert_eq!(fs::read(host.manifests().join("kube-apiserver.yaml")).unwrap(), b"new");
    assert!(
        host.state().record().unwrap().is_some() && timer::shown(&host.state()).unwrap().is_some()
    );
    fs::remove_file(host.manifests().join("kube-apiserver.yaml")).unwrap();
    assert_eq!(wake_with(&host, wake_request()).unwrap().restored.len(), 4);
    assert!(host.state().record().unwrap().is_none() && !host.backup().exists());
}

#[test]
fn a_copy_of_the_same_content_is_removed() {
    let (host, _alive) = asleep();
    host.pod("kube-apiserver");
    wake_with(&host, wake_request()).unwrap();
    assert!(!host.backup().exists() && host.manifests().join("kube-apiserver.yaml").exists());
}

#[test]
fn a_lost_file_is_named_and_a_changed_one_goes_back() {
    let (host, _alive) = asleep();
    fs::remove_file(host.backup().join("kube-apiserver.yaml")).unwrap();
    host.file("/etc/kubernetes/manifests.backup/kube-scheduler.yaml", "edited");
    let error = wake_with(&host, wake_request()).unwrap_err();
    assert_eq!(error.kind, NodeErrorKind::NotAsExpected);
    assert!(error.message.contains("kube-apiserver.yaml is neither in"), "{error}");
    host.file("/etc/kubernetes/manifests/kube-apiserver.yaml", "from elsewhere");
    host.file("/etc/kubernetes/manifests.backup/kube-scheduler.yaml", "edited");
    fs::remove_file(host.manifests().join("kube-scheduler.yaml")).unwrap();
    let woken = wake_with(&host, wake_request()).unwrap();
    assert!(woken.warnings[0].contains("kube-scheduler.yaml was changed"), "{woken:?}");
    assert_eq!(fs::read(host.manifests().join("kube-scheduler.yaml")).unwrap(), b"edited");
}

#[test]
fn a_silent_holder_is_taken_over_if_asked() {
    let (host, _alive) = asleep();
    let other = |take_over| WakeRequest { owner: other_owner(), take_over, ..wake_request() };
    assert_eq!(wake_with(&host, other(true)).unwrap_err().kind, NodeErrorKind::Locked);
    host.silence_holder();
    assert_eq!(wake_with(&host, other(false)).unwrap_err().kind, NodeErrorKind::Locked);
    assert!(!host.manifests().join("kube-apiserver.yaml").exists());
    assert_eq!(wake_with(&host, other(true)).unwrap().restored.len(), 4);
    assert_eq!(lock::shown(&host.state()).unwrap().unwrap().owner, other_owner());
    let late = sleep::run(&sleep_request(), &context(&host)).unwrap_err();
    assert_eq!(late.kind, NodeErrorKind::Locked, "the first holder is no more");
}

#[test]
fn without_a_lock_anybody_may_wake() {
    let (host, _alive) = asleep();
    host.state().remove(Kept::Lock).unwrap();
    let other = WakeRequest { owner: other_owner(), ..wake_request() };
    assert_eq!(wake_with(&host, other).unwrap().restored.len(), 4);
    assert!(lock::shown(&host.state()).unwrap().is_none());
}

#[test]
fn a_host_that_never_slept_stays_untouched() {
    let host = Fixture::with_control_plane();
    let mut context = context(&host);
    context.state = host.path("/none");
    assert!(run(&wake_request(), &context).unwrap().already);
    assert!(!context.state.exists());
}

#[test]
fn a_fence_is_lifted_only_for_a_reason() {
    let (host, _alive) = asleep();
    let fence = |run: &str| Fence { run: run.into(), since_ms: 1 };
    let lift = |lift_fence| WakeRequest { lift_fence, ..wake_request() };
    host.state().write(Kept::Fence, &fence("run-2")).unwrap();
    for reason in [LiftFence::No, LiftFence::NotHandedOut] {
        assert_eq!(wake_with(&host, lift(reason)).unwrap_err().kind, NodeErrorKind::Fenced);
    }
    host.state().write(Kept::Fence, &fence(&owner().run)).unwrap();
    assert_eq!(wake_with(&host, lift(LiftFence::No)).unwrap_err().kind, NodeErrorKind::Fenced);
    assert!(!host.manifests().join("kube-apiserver.yaml").exists());
    assert_eq!(wake_with(&host, lift(LiftFence::NotHandedOut)).unwrap().restored.len(), 4);
    assert!(host.state().fence().unwrap().is_none());
    host.state().write(Kept::Fence, &fence("run-2")).unwrap();
    assert!(wake_with(&host, lift(LiftFence::NeverStarted)).unwrap().already);
    assert!(host.state().fence().unwrap().is_none());
}

#[test]
fn the_api_server_is_waited_for_if_asked() {
    let (host, _alive) = asleep();
    let not = WakeRequest { wait_seconds: 1, ..wake_request() };
    assert_eq!(wake_with(&host, not.clone()).unwrap().api_server_runs, Some(false));
    host.process(32, "kube-apiserver", &["kube-apiserver"]);
    assert_eq!(wake_with(&host, not).unwrap().api_server_runs, Some(true));
    assert_eq!(wake_with(&host, wake_request()).unwrap().api_server_runs, None);
}

#[test]
fn a_file_that_somebody_put_back_differently_is_told() {
    let (host, _alive) = asleep();
    fs::remove_file(host.backup().join("kube-scheduler.yaml")).unwrap();
    host.file("/etc/kubernetes/manifests/kube-scheduler.yaml", "new");
    let woken = wake_with(&host, wake_request()).unwrap();
    assert_eq!((woken.restored.len(), woken.warnings.len()), (4, 1));
    assert!(woken.warnings[0].contains("kube-scheduler.yaml"), "{:?}", woken.warnings);
}
