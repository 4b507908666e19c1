use super::*;
use crate::node::fixture::{Fixture, context, other_owner, owner, sleep_request, wake_request};
use crate::node::sleep;
use crate::protocol::Fence;

#[test]
fn looking_at_a_host_leaves_no_trace() {
    let host = Fixture::with_control_plane();
    let mut context = context(&host);
    context.state = host.path("/none");
    let status = of(&context).unwrap();
    assert_eq!((status.lock, status.asleep, status.timer), (None, None, None));
    assert!(!status.api_server_runs && !status.hostname.is_empty());
    assert!(unlock(&owner(), None, &context).is_ok() && !context.state.exists());
    host.process(9, "kube-apiserver", &["kube-apiserver"]);
    assert!(of(&context).unwrap().api_server_runs);
}

#[test]
fn one_migration_holds_a_host() {
    let host = Fixture::with_control_plane();
    let context = context(&host);
    let first = lock(&owner(), false, &context).unwrap().lock.unwrap();
    let again = lock(&owner(), false, &context).unwrap().lock.unwrap();
    assert!(again.taken_ms == first.taken_ms && again.seen_ms >= first.seen_ms);
    for take_over in [false, true] {
        let error = lock(&other_owner(), take_over, &context).unwrap_err();
        assert_eq!(error.kind, NodeErrorKind::Locked);
    }
    assert_eq!(unlock(&other_owner(), None, &context).unwrap_err().kind, NodeErrorKind::Locked);
    host.silence_holder();
    let taken = lock(&other_owner(), true, &context).unwrap().lock.unwrap();
    assert_eq!(taken.owner, other_owner());
    assert_eq!(unlock(&other_owner(), None, &context).unwrap().lock, None);
    assert!(!context.state.exists(), "nothing of ours is left");
    assert!(lock(&owner(), false, &context).is_ok());
}

#[test]
fn a_sleeping_host_is_not_given_back_unless_it_is_fenced() {
    let host = Fixture::with_control_plane();
    let context = context(&host);
    let alive = host.live_timer();
    sleep::run(&sleep_request(), &context).unwrap();
    host.file("/state/.tmp-left", "by a crash");
    host.file("/state/steps/a.reply", "done");
    host.file("/state/steps/b.reply", "done");
    let running = crate::node::guard::Guard::try_take(&host.path("/state/steps/b.lock"), "1");
    let running = running.unwrap().unwrap();
    assert_eq!(unlock(&owner(), None, &context).unwrap_err().kind, NodeErrorKind::NotAsExpected);
    let fence = Fence { run: owner().run, since_ms: 1 };
    host.state().write(Kept::Fence, &fence).unwrap();
    drop(alive);
    let status = unlock(&owner(), None, &context).unwrap();
    assert_eq!((status.lock, status.timer, status.fence), (None, None, Some(fence)));
    assert!(status.asleep.is_some());
    let left = |name: &str| host.path("/state").join(name).exists();
    assert!(!left(".tmp-left") && !left("steps/a.reply") && !left("timer.lock"));
    assert!(left("steps/b.reply") && left("steps/b.lock"));
    drop(running);
}

#[test]
fn only_what_sleeps_is_renewed() {
    let host = Fixture::with_control_plane();
    let context = context(&host);
    let alive = host.live_timer();
    assert_eq!(renew(&owner(), 60, &context).unwrap_err().kind, NodeErrorKind::Awake);
    sleep::run(&sleep_request(), &context).unwrap();
    let timer = renew(&owner(), 60, &context).unwrap().timer.unwrap();
    assert!((55..=60).contains(&timer.left_seconds) && timer.alive && !timer.restarted);
    assert_eq!(renew(&other_owner(), 60, &context).unwrap_err().kind, NodeErrorKind::Locked);
    drop(alive);
    // Nothing can be started here: the deadline stays, and so does what was known of it.
    assert_eq!(renew(&owner(), 90, &context).unwrap_err().kind, NodeErrorKind::Failed);
    assert!(!of(&context).unwrap().timer.unwrap().alive);
    let fence = Fence { run: owner().run, since_ms: 1 };
    host.state().write(Kept::Fence, &fence).unwrap();
    assert_eq!(renew(&owner(), 60, &context).unwrap_err().kind, NodeErrorKind::Fenced);
    host.state().remove(Kept::Fence).unwrap();
    wake::run(&wake_request(), &context).unwrap();
    assert_eq!(renew(&owner(), 60, &context).unwrap_err().kind, NodeErrorKind::Awake);
}

#[test]
fn a_folder_that_others_may_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let host = Fixture::new();
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(host.path("/state"), open).unwrap();
    let error = lock(&owner(), false, &context(&host)).unwrap_err();
    assert_eq!(error.kind, NodeErrorKind::Io);
    assert!(error.message.contains("only we may write"), "{error}");
    // What somebody else may have put there is not believed.
    assert_eq!(of(&context(&host)).unwrap_err().kind, NodeErrorKind::Io);
    let wake = wake::run(&wake_request(), &context(&host)).unwrap_err();
    assert_eq!(wake.kind, NodeErrorKind::Io);
}

#[test]
fn who_must_answer_at_once_asks_no_runtime() {
    let host = Fixture::with_control_plane();
    let context = context(&host);
    let _alive = host.live_timer();
    sleep::run(&sleep_request(), &context).unwrap();
    let note = host.path("/note");
    host.file("/run/containerd/containerd.sock", "");
    host.program("crictl", &format!("echo asked > {}; exec sleep 60", note.display()));
    renew(&owner(), 60, &context).unwrap();
    lock(&owner(), false, &context).unwrap();
    wake::run(&wake_request(), &context).unwrap();
    unlock(&owner(), None, &context).unwrap();
    assert!(!note.exists());
    assert!(!of(&context).unwrap().api_server_runs && note.exists());
}
