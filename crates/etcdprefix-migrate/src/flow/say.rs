//! What came of a step, in a few words without secrets.

use crate::node::preflight::Standing;
use crate::protocol::Response;

/// To a look at a host.
pub fn preflight(response: &Response) -> String {
    let Response::Preflight(look) = response else { return String::new() };
    let count = |standing| look.checks.iter().filter(|check| check.standing == standing).count();
    let (ok, warn) = (count(Standing::Ok), count(Standing::Warn));
    let (ask, fail) = (count(Standing::Ask), count(Standing::Fail));
    format!("{ok} checks well, {warn} to look at, {ask} for a person, {fail} against it")
}

/// To sleep.
pub fn slept(response: &Response) -> String {
    let Response::Slept(slept) = response else { return String::new() };
    match slept.already {
        true => format!("asleep already: {}", slept.moved.join(", ")),
        false => format!("the control plane is sleeping now: {}", slept.moved.join(", ")),
    }
}

/// To wake.
pub fn woken(response: &Response) -> String {
    let Response::Woken(woken) = response else { return String::new() };
    let runs = match woken.api_server_runs {
        Some(true) => "; the API server runs",
        Some(false) => "; the API server does not run yet",
        None => "",
    };
    match woken.already {
        true => format!("nothing was asleep{runs}"),
        false => format!("woken up: {}{runs}", woken.restored.join(", ")),
    }
}

/// To a snapshot.
pub fn snapshot(response: &Response) -> String {
    let Response::Snapshot(made) = response else { return String::new() };
    let (revision, matched, bytes) = (made.revision, made.matched, made.bytes);
    format!("revision {revision}, {matched} records rewritten, {bytes} bytes, from {}", made.member)
}

/// To the bundle: nothing of what it holds.
pub fn bundle(response: &Response) -> String {
    let Response::Bundle(bundled) = response else { return String::new() };
    format!("keys read, URL signed; {}", bundled.probe)
}

/// To the member list.
pub fn members(response: &Response) -> String {
    let Response::Members(members) = response else { return String::new() };
    match members.iter().find(|member| member.is_leader && !member.is_learner) {
        Some(leader) => format!("{} leads", leader.name.as_deref().unwrap_or(&leader.member_id)),
        None => "no leader here".into(),
    }
}

/// To the end of an object.
pub fn unpublished(response: &Response) -> String {
    let Response::Unpublished(how) = response else { return String::new() };
    format!("the snapshot in the store: {how}, and a fresh URL does not find it")
}

/// To what has nothing to tell.
pub fn done(_: &Response) -> String {
    "done".into()
}
