//! The exits of migrations.

use etcdprefix_migrate::{Error, NodeError, NodeErrorKind};

use super::Exit;

impl Exit {
    /// The exit that an error of the orchestrator ends in: that of its first cause, unless something is
    /// left behind that somebody has to look at.
    pub fn of_migration(error: &Error) -> Self {
        match error {
            Error::NotRolledBack { .. } | Error::NotAwake(_) => Self::NotRolledBack,
            Error::NotPutBack { .. } => Self::NotRolledBack,
            Error::RolledBack(why) | Error::LeftAsIs(why) => Self::of_migration(why),
            Error::PutBack(why) => Self::of_migration(why),
            Error::NotFit(_) => Self::NotReady,
            Error::Usage(_) => Self::Usage,
            Error::File { .. } => Self::Io,
            Error::Unreachable { .. } => Self::HostUnreachable,
            Error::Step { error, .. } => Self::of_step(error),
            Error::NotReady { .. } => Self::NotReady,
            Error::NotRehearsed(_) => Self::NotRehearsed,
            Error::Written(_) => Self::Written,
            Error::HandedOut(_) => Self::HandedOut,
            Error::Busy(_) => Self::HostBusy,
            Error::Kubernetes(_) => Self::Kubernetes,
            Error::Cloud(_) => Self::Cloud,
            Error::Engine(_) => Self::Engine,
            Error::Interrupted => Self::Interrupted,
            _ => Self::Failed,
        }
    }

    /// The exit that a step on a host ends in.
    pub fn of_step(error: &NodeError) -> Self {
        match error.kind {
            NodeErrorKind::Usage => Self::Usage,
            NodeErrorKind::Io => Self::Io,
            NodeErrorKind::Locked | NodeErrorKind::Busy => Self::HostBusy,
            NodeErrorKind::Fenced => Self::HandedOut,
            NodeErrorKind::NotAsExpected => Self::NotReady,
            NodeErrorKind::Differs => Self::NotOverwritten,
            NodeErrorKind::StillRunning => Self::StillRunning,
            NodeErrorKind::OutOfTime => Self::OutOfTime,
            NodeErrorKind::Awake => Self::Awake,
            NodeErrorKind::NotLeader | NodeErrorKind::Etcd => Self::NoMember,
            NodeErrorKind::Written => Self::Written,
            NodeErrorKind::Rewrite => Self::NotRewritten,
            NodeErrorKind::Store => Self::StoreRefused,
            NodeErrorKind::Credentials => Self::NoCredentials,
            NodeErrorKind::Interrupted => Self::Interrupted,
            NodeErrorKind::Failed => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(error: Error) -> u8 {
        Exit::of_migration(&error).code()
    }

    fn step(kind: NodeErrorKind) -> Error {
        Error::Step { host: "m1".into(), error: NodeError::new(kind, "why") }
    }

    #[test]
    fn what_was_undone_exits_as_its_first_cause() {
        for (kind, code) in [
            (NodeErrorKind::StillRunning, 33),
            (NodeErrorKind::OutOfTime, 34),
            (NodeErrorKind::Store, 26),
            (NodeErrorKind::Interrupted, 130),
        ] {
            assert_eq!(of(step(kind)), code);
            assert_eq!(of(Error::RolledBack(step(kind).into())), code);
            assert_eq!(of(Error::LeftAsIs(step(kind).into())), code);
        }
        assert_eq!(of(Error::RolledBack(Error::Interrupted.into())), 130);
    }

    #[test]
    fn what_somebody_has_to_look_at_is_louder_than_any_cause() {
        let rollback = "m2: no answer".to_owned();
        let why = Box::new(Error::Interrupted);
        assert_eq!(of(Error::NotRolledBack { why, rollback: rollback.clone() }), 40);
        assert_eq!(of(Error::NotAwake(rollback)), 40);
    }

    #[test]
    fn the_point_of_no_return_has_one_code() {
        assert_eq!(of(Error::HandedOut("no".into())), 37);
        assert_eq!(of(step(NodeErrorKind::Fenced)), 37);
    }
}
