use super::*;
use crate::node::fixture::{Fixture, context, owner, sleep_request};
use crate::node::sleep;
use crate::protocol::Fence;

fn asleep() -> (Fixture, Guard) {
    let host = Fixture::with_control_plane();
    let alive = host.live_timer();
    sleep::run(&sleep_request(), &context(&host)).unwrap();
    (host, alive)
}

fn is_asleep(host: &Fixture) -> bool {
    host.state().record().unwrap().is_some()
        && !host.manifests().join("kube-apiserver.yaml").exists()
}

fn set(host: &Fixture, seconds: u64) {
    renew(&host.state(), &context(host), &owner().run, seconds).unwrap();
}

fn fires(host: &Fixture) -> Look {
    look(&host.state(), true).unwrap()
}

#[test]
fn it_wakes_when_its_time_is_over_and_says_so() {
    let (host, _alive) = asleep();
    assert!(matches!(fires(&host), Look::Wait) && is_asleep(&host));
    set(&host, 0);
    assert!(matches!(fires(&host), Look::Leave) && !is_asleep(&host));
    let fired = host.state().fired(&owner().run).unwrap().unwrap();
    assert!(fired.outcome.contains("kube-apiserver.yaml"), "{}", fired.outcome);
    assert!(shown(&host.state()).unwrap().is_none() && !host.backup().exists());
}

#[test]
fn whoever_was_first_under_the_lock_is_heeded() {
    let (host, _alive) = asleep();
    // Renewed after the timer had seen that its time was over.
    assert!(matches!(fire(&host.state()).unwrap(), Look::Wait) && is_asleep(&host));
    set(&host, 0);
    let guard = host.state().lock_host("test").unwrap();
    assert!(matches!(fire(&host.state()).unwrap(), Look::Wait) && is_asleep(&host));
    drop(guard);
    let fence = Fence { run: owner().run, since_ms: 1 };
    host.state().write(Kept::Fence, &fence).unwrap();
    assert!(matches!(fire(&host.state()).unwrap(), Look::Leave) && is_asleep(&host));
    assert!(shown(&host.state()).unwrap().is_none());
    assert!(matches!(fire(&host.state()).unwrap(), Look::Leave) && is_asleep(&host));
}

#[test]
fn an_unreadable_fence_forbids() {
    let (host, _alive) = asleep();
    set(&host, 0);
    host.file("/state/fence.json", "{");
    assert!(fire(&host.state()).is_err() && is_asleep(&host));
}

#[test]
fn it_does_not_give_up() {
    let (host, _alive) = asleep();
    host.file("/etc/kubernetes/manifests/kube-scheduler.yaml", "new");
    set(&host, 0);
    assert!(matches!(fires(&host), Look::Retry));
    let fired = host.state().fired(&owner().run).unwrap().unwrap();
    assert!(fired.outcome.contains("differs"), "{}", fired.outcome);
    assert!(shown(&host.state()).unwrap().is_some());
    assert!(matches!(look(&host.state(), false).unwrap(), Look::Wait));
    std::fs::remove_file(host.manifests().join("kube-scheduler.yaml")).unwrap();
    assert!(matches!(fires(&host), Look::Leave) && host.state().record().unwrap().is_none());
}

#[test]
fn it_lives_on_if_it_is_armed_while_it_leaves() {
    let (host, alive) = asleep();
    let alive = leave(&host.state(), alive).unwrap().expect("armed");
    host.state().remove(Kept::Timer).unwrap();
    let guard = host.state().lock_host("test").unwrap();
    let alive = leave(&host.state(), alive).unwrap().expect("somebody may be arming it");
    drop(guard);
    assert!(leave(&host.state(), alive).unwrap().is_none());
    assert!(!is_alive(&host.state()).unwrap() && !host.state().timer_lock().exists());
}

#[test]
fn a_timer_without_anything_asleep_ends() {
    let host = Fixture::with_control_plane();
    let _alive = host.live_timer();
    set(&host, 0);
    let before = host.files();
    assert!(matches!(fires(&host), Look::Leave));
    assert_eq!(host.files(), before);
    assert!(matches!(fires(&host), Look::Leave));
}
