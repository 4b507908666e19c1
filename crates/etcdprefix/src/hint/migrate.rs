//! What to try when a migration does not go on.

use std::io;

use etcdprefix_migrate::{Error, NodeError, NodeErrorKind};

/// The advice for an error of the orchestrator, if there is any that helps. What the message itself says
/// to try comes after it.
pub fn migration_hint(error: &Error) -> Option<String> {
    let advice = match error {
        Error::Step { error, .. } => return step_hint(error),
        Error::File { source, .. } => return file_hint(source),
        // What to try there is the agent's affair, and stands in the message.
        Error::Unreachable { host, .. } if host.starts_with("ecs:") => return None,
        Error::Unreachable { .. } => {
            "`ssh HOST true` from here, which must work without any question; `sudo -n true` there \
             with --become; --binary for hosts of another architecture"
        }
        Error::NotReady { .. } => {
            "`etcdprefix migrate rehearse`, which tells of each why it matters and what to do"
        }
        Error::Written(_) => {
            "to stop whoever writes (`etcdprefix endpoint quiet -w json` has the keys), then again"
        }
        Error::NotAwake(_) | Error::NotRolledBack { .. } => {
            "`etcdprefix migrate rollback`, again once the hosts can be reached; \
             `etcdprefix migrate status` shows them, `etcdprefix node wake` on a host wakes it"
        }
        Error::LeftAsIs(_) => {
            "`etcdprefix migrate resume` to go on, `etcdprefix migrate rollback` to wake all hosts; \
             else their timers will"
        }
        Error::NotPutBack { .. } => {
            "`etcdprefix migrate hosted rollback`, again once the API server can be reached; \
             `etcdprefix migrate hosted status` shows what is and what was"
        }
        Error::RolledBack(why) | Error::PutBack(why) => return migration_hint(why),
        Error::Kubernetes(_) => return None,
        _ => return None,
    };
    Some(advice.into())
}

/// The advice for an error of a step: its own, or what helps with its kind.
pub fn step_hint(error: &NodeError) -> Option<String> {
    if let Some(hint) = &error.hint {
        return Some(hint.clone());
    }
    let advice = match error.kind {
        NodeErrorKind::Locked => {
            "`etcdprefix node status` there, to see who; --take-over once they were not heard of \
             for two minutes"
        }
        NodeErrorKind::Fenced => {
            "nothing, if the managed side has the cluster; --managed-side-never-started if it has \
             never started with the bundle, and never will"
        }
        NodeErrorKind::Differs => {
            "to compare the two, to remove the one that is wrong, then to wake again"
        }
        NodeErrorKind::StillRunning => {
            "to see on the host what keeps it (`crictl ps`, `journalctl -u kubelet`), then again"
        }
        NodeErrorKind::OutOfTime => "again; --snapshot-limit if it was the snapshot",
        NodeErrorKind::Awake => {
            "`etcdprefix migrate rollback`, then again with a longer --wake-after"
        }
        NodeErrorKind::NotLeader => "again, once the cluster has a leader that stays",
        NodeErrorKind::Written => "to stop whoever writes, then again",
        NodeErrorKind::Credentials => {
            "credentials that last longer than --presign-lifetime, in the environment here or on \
             the hosts (--host-credentials)"
        }
        NodeErrorKind::Store => "`etcdprefix store check` from there, with the same credentials",
        _ => return None,
    };
    Some(advice.into())
}

fn file_hint(source: &io::Error) -> Option<String> {
    let advice = match source.kind() {
        io::ErrorKind::NotFound => "the path of an existing file",
        io::ErrorKind::PermissionDenied => "the owner's account, or another --folder",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "a --folder on a file system with room"
        }
        _ => return None,
    };
    Some(advice.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;

    fn told(error: Error) -> String {
        Failure::migration(&error).to_string()
    }

    #[test]
    fn a_cause_comes_first_and_its_advice_last() {
        let error =
            NodeError::new(NodeErrorKind::StillRunning, "kube-apiserver runs").try_("to wait");
        let step = || Error::Step { host: "m1".into(), error: error.clone() };
        assert_eq!(told(step()), "m1: kube-apiserver runs; try: to wait");
        assert_eq!(
            told(Error::RolledBack(step().into())),
            "m1: kube-apiserver runs; every host is awake again, as before; try: to wait"
        );
        let left = told(Error::LeftAsIs(step().into()));
        assert!(left.contains("left as they are; try: `etcdprefix migrate resume`"), "{left}");
        let rollback = "m2: no answer".to_owned();
        let not = told(Error::NotRolledBack { why: step().into(), rollback });
        let start =
            "m1: kube-apiserver runs; and then: m2: no answer; try: `etcdprefix migrate roll";
        assert!(not.starts_with(start), "{not}");
    }

    #[test]
    fn advice_is_given_once() {
        let text = "there is no run to resume; try: migrate run".to_owned();
        assert_eq!(told(Error::Usage(text.clone())), text);
        let text = told(Error::HandedOut("m1: it is fenced; try: nothing".into()));
        assert_eq!(text.matches("; try: ").count(), 1, "{text}");
    }
}
