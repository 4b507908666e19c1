use std::fs;

use super::*;
use crate::node::fixture::{Fixture, context, other_owner, owner, sleep_request};
use crate::node::{guard::Guard, sleep};

fn asleep() -> (Fixture, Guard) {
    let host = Fixture::with_control_plane();
    let alive = host.live_timer();
    sleep::run(&sleep_request(), &context(&host)).unwrap();
    (host, alive)
}

fn refused(host: &Fixture) -> NodeError {
    let error = run(&owner(), &context(host)).unwrap_err();
    assert!(host.state().fence().unwrap().is_none());
    error
}

#[test]
fn a_fenced_host_has_no_timer() {
    let (host, _alive) = asleep();
    let status = run(&owner(), &context(&host)).unwrap();
    assert_eq!(status.timer, None);
    assert_eq!(status.fence.as_ref().unwrap().run, owner().run);
    assert_eq!(status.asleep.unwrap().moved.len(), 4);
    let again = run(&owner(), &context(&host)).unwrap();
    assert_eq!(again.fence, status.fence);
    host.state().remove(Kept::Lock).unwrap();
    lock::hold(&host.state(), &other_owner(), false).unwrap();
    let other = run(&other_owner(), &context(&host)).unwrap_err();
    assert_eq!(other.kind, NodeErrorKind::Fenced);
}

/// A crash between the two leaves both; the next call removes the timer.
#[test]
fn a_timer_that_a_crash_left_goes_at_the_next_call() {
    let (host, _alive) = asleep();
    let fence = Fence { run: owner().run, since_ms: 7 };
    host.state().write(Kept::Fence, &fence).unwrap();
    let status = run(&owner(), &context(&host)).unwrap();
    assert_eq!((status.timer, status.fence), (None, Some(fence)));
}

#[test]
fn what_is_awake_is_not_fenced() {
    let awake = Fixture::with_control_plane();
    assert_eq!(refused(&awake).kind, NodeErrorKind::Awake);
    let put_back = |host: &Fixture, name: &str| {
        fs::rename(host.backup().join(name), host.manifests().join(name)).unwrap();
    };
    type Change<'a> = &'a dyn Fn(&Fixture);
    let cases: [(&str, Change<'_>); 6] = [
        ("is there again", &|host| put_back(host, "kube-scheduler.yaml")),
        ("not as sleep left it", &|host| {
            fs::remove_file(host.backup().join("kube-scheduler.yaml")).unwrap();
        }),
        ("not as sleep left it", &|host| {
            host.file("/etc/kubernetes/manifests.backup/kube-scheduler.yaml", "edited");
        }),
        ("runs an API server", &|host| {
            host.file("/etc/kubernetes/manifests/new", &Fixture::manifest("kube-apiserver"));
        }),
        ("an API server runs", &|host| host.process(5, "kube-apiserver", &["kube-apiserver"])),
        ("fired", &|host| {
            let fired = serde_json::json!({"run": "run-1", "at_ms": 1, "outcome": "fired"});
            host.state().write(Kept::Fired, &fired).unwrap();
        }),
    ];
    for (expected, change) in cases {
        let (host, _alive) = asleep();
        change(&host);
        let error = refused(&host);
        assert_eq!(error.kind, NodeErrorKind::Awake);
        assert!(error.message.contains(expected), "{error}");
        assert!(crate::node::timer::shown(&host.state()).unwrap().is_some());
    }
}

/// It may hang, and then others have to get on.
#[test]
fn the_runtime_is_asked_without_the_lock() {
    let (host, _alive) = asleep();
    let (lock, note) = (host.path("/state/host.lock"), host.path("/note"));
    let script =
        format!("flock -n {} true && echo free > {} ; echo '{{}}'", lock.display(), note.display());
    host.file("/run/containerd/containerd.sock", "");
    host.program("crictl", &format!("PATH=/usr/bin:/bin\n{script}"));
    run(&owner(), &context(&host)).unwrap();
    assert_eq!(fs::read_to_string(note).unwrap(), "free\n");
}
