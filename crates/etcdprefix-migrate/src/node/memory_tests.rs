use super::*;
use crate::node::fixture::{Fixture, context, other_owner, owner};
use crate::protocol::Fence;

fn store() -> StoreAccess {
    StoreAccess { url: "oss://b/etcd_c1".into(), ..StoreAccess::default() }
}

fn snapshot() -> Snapshotted {
    let made = serde_json::json!({
        "object": "oss://b/etcd_c1", "bytes": 1, "sha256": "ab", "revision": 64, "matched": 1,
        "unmatched": 0, "member": "a", "chosen": "b", "hashkv": 7, "quiet_until": 65,
        "quiet": null, "phases": [], "kept": [], "warnings": [],
    });
    serde_json::from_value(made).unwrap()
}

fn with_snapshot() -> (Fixture, Context) {
    let host = Fixture::with_control_plane();
    let context = context(&host);
    begin(&owner(), &store(), &context).unwrap();
    made(&owner(), &snapshot(), &context).unwrap();
    (host, context)
}

fn raise_fence(host: &Fixture) {
    let fence = Fence { run: owner().run, since_ms: 1 };
    host.state().write(Kept::Fence, &fence).unwrap();
}

#[test]
fn a_bundle_needs_a_whole_snapshot_and_a_fence() {
    let host = Fixture::with_control_plane();
    let there = context(&host);
    let kind = |there: &Context| uploaded(&owner().run, there).unwrap_err().kind;
    assert_eq!(kind(&there), NodeErrorKind::NotAsExpected);
    begin(&owner(), &store(), &there).unwrap();
    assert_eq!(kind(&there), NodeErrorKind::NotAsExpected);
    let (host, there) = with_snapshot();
    assert!(uploaded(&owner().run, &there).unwrap_err().message.contains("no fence"));
    assert!(handing_out(&owner(), &store(), &there).is_err());
    raise_fence(&host);
    let (place, made) = uploaded(&owner().run, &there).unwrap();
    assert_eq!((place, made.revision, made.quiet_until), (store(), 64, 65));
    assert!(uploaded(&other_owner().run, &there).is_err());
    let text = std::fs::read_to_string(host.path("/state/snapshot.json")).unwrap();
    assert!(text.contains("oss://b/etcd_c1"), "{text}");
}

#[test]
fn what_is_closed_makes_nothing_more() {
    let (host, there) = with_snapshot();
    raise_fence(&host);
    let memory = close(&owner(), true, &there).unwrap().unwrap();
    assert!(memory.closed && !memory.is_out());
    for refused in [
        begin(&owner(), &store(), &there),
        made(&owner(), &snapshot(), &there),
        handing_out(&owner(), &store(), &there),
        uploaded(&owner().run, &there).map(drop),
    ] {
        assert_eq!(refused.unwrap_err().kind, NodeErrorKind::Locked);
    }
}

/// A step of the run that comes after this finds a host that nothing was made on closed, too.
#[test]
fn a_host_without_a_snapshot_is_closed_too() {
    let host = Fixture::with_control_plane();
    let there = context(&host);
    assert!(close(&owner(), true, &there).unwrap().unwrap().store.is_none());
    assert!(begin(&owner(), &store(), &there).is_err());
    // Where nobody holds the host there is nothing to close.
    let other = Fixture::new();
    assert_eq!(close(&owner(), true, &context(&other)).unwrap(), None);
}

#[test]
fn what_is_out_stays_until_it_is_dead() {
    let (host, there) = with_snapshot();
    raise_fence(&host);
    handing_out(&owner(), &store(), &there).unwrap();
    assert_eq!(close(&owner(), true, &there).unwrap_err().kind, NodeErrorKind::Fenced);
    assert_eq!(begin(&owner(), &store(), &there).unwrap_err().kind, NodeErrorKind::Fenced);
    assert!(read(&owner().run, &there).unwrap().unwrap().is_out());
    assert!(close(&owner(), false, &there).unwrap().unwrap().is_out());
    dead(&owner(), &there).unwrap();
    assert!(!close(&owner(), true, &there).unwrap().unwrap().is_out());
}

#[test]
fn a_fence_knows_whose_proof_lifts_it() {
    let run = owner().run;
    let proof = format!("m1/{run}");
    // On the host that made it: what it remembers.
    let (host, there) = with_snapshot();
    fencing(&owner(), None, &there).unwrap();
    raise_fence(&host);
    may_lift(&run, &[], &host.state()).unwrap();
    assert_eq!(read(&run, &there).unwrap().unwrap().proof("m1"), None);
    assert_eq!(close(&owner(), true, &there).unwrap().unwrap().proof("m1"), Some(proof.clone()));
    // On the others: that of the one that made it, of this run.
    let (host, there) = with_snapshot();
    fencing(&owner(), Some("m1"), &there).unwrap();
    raise_fence(&host);
    let other = |name: &str| vec![format!("m2/{run}"), "m1/other".into(), name.to_owned()];
    let refused = may_lift(&run, &other("m1"), &host.state()).unwrap_err();
    assert_eq!(refused.kind, NodeErrorKind::Fenced);
    may_lift(&run, &other(&proof), &host.state()).unwrap();
    assert!(fencing(&owner(), Some("m2"), &there).is_err());
    // Its own snapshot is not the one that counts.
    assert!(handing_out(&owner(), &store(), &there).unwrap_err().message.contains("of m1"));
    // Nobody said, or something else than an engine's steps raised it.
    let host = Fixture::with_control_plane();
    assert!(may_lift(&run, std::slice::from_ref(&proof), &host.state()).is_err());
    fencing(&owner(), None, &context(&host)).unwrap();
    assert!(may_lift(&run, &[proof], &host.state()).is_err());
}

#[test]
fn one_object_is_handed_out_and_what_undoes_it_knows_which() {
    let (host, there) = with_snapshot();
    raise_fence(&host);
    let other = StoreAccess { url: "oss://b/other".into(), ..StoreAccess::default() };
    assert!(handing_out(&owner(), &other, &there).is_err());
    let host = Fixture::with_control_plane();
    let there = context(&host);
    assert!(handing_out(&owner(), &other, &there).unwrap_err().message.contains("no fence"));
    raise_fence(&host);
    handing_out(&owner(), &other, &there).unwrap();
    assert_eq!(read(&owner().run, &there).unwrap().unwrap().store, Some(other));
}

/// Whose it is would be a guess.
#[test]
fn a_host_that_was_left_asleep_is_no_clusters_at_hand() {
    let host = Fixture::new();
    assert_eq!(holder(&owner().cluster, &context(&host)).unwrap(), None);
    raise_fence(&host);
    let refused = holder(&owner().cluster, &context(&host)).unwrap_err();
    assert_eq!(refused.kind, NodeErrorKind::Locked);
}

/// A command that the cloud delivers late finds that its run has ended here.
#[test]
fn a_run_that_was_undone_begins_no_more() {
    let (host, there) = with_snapshot();
    refuse_ended(&owner().run, &there).unwrap();
    close(&owner(), true, &there).unwrap();
    lock::release(&host.state(), &owner()).unwrap();
    assert_eq!(refuse_ended(&owner().run, &there).unwrap_err().kind, NodeErrorKind::Locked);
    refuse_ended("another", &there).unwrap();
    // Other hosts may still need its proof, and whoever rolls back once more finds its name.
    assert_eq!(holder(&owner().cluster, &there).unwrap(), Some(owner().run));
    assert!(read(&owner().run, &there).unwrap().unwrap().proof("m1").is_some());
    // Its object may be left, until somebody has proven that it is gone.
    assert!(!close(&owner(), true, &there).unwrap().unwrap().dead);
    dead(&owner(), &there).unwrap();
    assert!(close(&owner(), true, &there).unwrap().unwrap().dead);
}

/// Its way back did not reach it, so nobody said that its run is over; hosts that are fenced still wait
/// for its word.
#[test]
fn a_host_that_is_given_back_proves_what_it_knows() {
    let (host, there) = with_snapshot();
    fencing(&owner(), None, &there).unwrap();
    lock::release(&host.state(), &owner()).unwrap();
    let left = read(&owner().run, &there).unwrap().unwrap();
    assert!(left.closed && left.proof("m1").is_some());
    assert!(handing_out(&owner(), &store(), &there).is_err());
}

#[test]
fn what_another_kind_of_run_fenced_is_not_undone() {
    let host = Fixture::with_control_plane();
    let there = context(&host);
    lock::hold(&host.state(), &owner(), false).unwrap();
    raise_fence(&host);
    for keep in [true, false] {
        let refused = close(&owner(), keep, &there).unwrap_err();
        assert_eq!(refused.kind, NodeErrorKind::Fenced);
    }
    assert_eq!(read(&owner().run, &there).unwrap(), None);
}

/// What comes late after the way back found nothing to undo is refused too; and of many runs those with
/// an object are kept.
#[test]
fn runs_that_are_over_are_remembered_and_not_for_ever() {
    let (host, there) = with_snapshot();
    lock::release(&host.state(), &owner()).unwrap();
    for number in 0..2 * CLOSED_MAX {
        let run = format!("other-{number}");
        let other = Owner { run: run.clone(), ..owner() };
        assert_eq!(close(&other, true, &there).unwrap(), None);
        assert!(refuse_ended(&run, &there).is_err());
    }
    assert_eq!(closed(&host.state()).unwrap().len(), CLOSED_MAX);
    refuse_ended("other-0", &there).unwrap();
    assert_eq!(holder(&owner().cluster, &there).unwrap(), Some(owner().run));
    let by_hand = Owner { run: BY_HAND.into(), ..owner() };
    assert_eq!(close(&by_hand, true, &there).unwrap(), None);
    refuse_ended(BY_HAND, &there).unwrap();
}
