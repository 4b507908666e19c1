//! The exit status, which is all that an orchestration reads. docs/cli-contract.md has the same
//! table; a test compares them.

#[cfg(feature = "migrate")]
mod migrate;

use std::fmt::Write;

use etcdprefix_core::error::BusyReason;
use etcdprefix_core::{Corruption, Error, Refusal};

macro_rules! exits {
    ($($name:ident = $code:literal, $meaning:literal;)*) => {
        /// Why the program ended.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Exit {
            $($name = $code,)*
        }

        impl Exit {
            /// Every exit, by code.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// What the code says, as help and the contract print it.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => $meaning,)*
                }
            }
        }
    };
}

exits! {
    Done = 0, "done";
    Failed = 1, "any other failure";
    Usage = 2, "wrong usage: flags, prefixes, revisions";
    Damaged = 3, "the input is damaged or is no etcd snapshot";
    Io = 4, "reading or writing failed (missing file, full disk, permissions)";
    OutputExists = 5, "the output exists already";
    Locked = 6, "the file is locked by a running etcd";
    TrailerMissing = 7, "the input has no SHA-256 trailer (--skip-hash-check accepts it)";
    Changed = 8, "the file changed while it was read";
    CutShort = 9, "the file is shorter than its pages: cut short, or copied from a running etcd";
    NothingMatches = 10, "no key matches the source prefix (--allow-empty)";
    AlreadyRewritten = 11, "already rewritten: keys lie under the destination, none under the source (--allow-empty)";
    Collision = 12, "collision: two keys would become one";
    Unmatched = 13, "unmatched keys with --unmatched fail";
    Undecryptable = 14, "values encrypted with the key as authenticated data (--allow-undecryptable)";
    RolesStraddle = 15, "roles grant ranges that have no equivalent (--allow-unmapped-roles)";
    Irreversible = 16, "not in place: the change could not be undone (--output or --in-place)";
    Unholdable = 17, "etcd could not hold the result: empty key, value over 2^31-2 bytes";
    OverQuota = 18, "the result is over --target-quota";
    RolesEscalate = 19, "roles would get at more than before";
    Unproven = 20, "the output did not prove equal to the source (change-prefix published nothing)";
    NoMember = 21, "no member can be asked or taken: silent, learner, alarmed, cut off (--from)";
    Refused = 22, "a member refused: TLS, certificate, user, role";
    Broken = 23, "a stream or answer of a member or store broke off, stalled or never came";
    Differs = 24, "members hold different data, or the saved file is not all that they hold";
    Written = 25, "somebody writes (endpoint quiet, migrate run)";
    StoreRefused = 26, "the store refused: key, policy, region, clock, Referer, no such object or bucket";
    NoCredentials = 27, "no credentials for the store, or they end too early (--shorter-ok)";
    StoreDiffers = 28, "the store holds other bytes than were sent, or it could not be proved";
    HostUnreachable = 29, "a host can't be reached, or doesn't let us in: ssh, its key, sudo, our binary";
    HostBusy = 30, "another migration or step holds a host (--take-over)";
    NotReady = 31, "checks speak against the migration, or a host is not as it has to be";
    NotRehearsed = 32, "this very migration was not rehearsed within the hour (--skip-rehearsal)";
    StillRunning = 33, "the control plane did not stop in time; it was put back";
    OutOfTime = 34, "a step on a host was ended at its time limit";
    Awake = 35, "a host was awake again before the end: its timer woke it";
    NotOverwritten = 36, "waking would overwrite a file that differs: both are left, and named";
    HandedOut = 37, "the bundle is handed out: nothing wakes any more (--managed-side-never-started)";
    NotRewritten = 38, "a host refused to rewrite the snapshot, or failed to";
    Kubernetes = 39, "the Kubernetes API can't be asked, or refuses";
    NotRolledBack = 40, "NOT ALL HOSTS ARE AS BEFORE: somebody has to look at them (migrate status)";
    Cloud = 41, "the cloud's API can't be asked, refuses, or there are no credentials for it";
    Engine = 42, "the execution on another engine failed, was cancelled, or ended without a bundle";
    Interrupted = 130, "interrupted; the target is as it was (an object: the message says)";
}

impl Exit {
    /// The status for the operating system.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The exit that an error of the library ends in.
    pub fn of(error: &Error) -> Self {
        match error {
            Error::Io { .. } => Self::Io,
            Error::Busy { why: BusyReason::Locked, .. } => Self::Locked,
            Error::Busy { why: BusyReason::Changed, .. } => Self::Changed,
            Error::Damaged { damage: Corruption::Truncated { .. }, .. } => Self::CutShort,
            Error::Damaged { .. } | Error::TrailerMismatch { .. } => Self::Damaged,
            Error::TrailerMissing { .. } => Self::TrailerMissing,
            Error::Usage { .. } | Error::NoSuchRevision { .. } => Self::Usage,
            Error::Refused { refusal, .. } => Self::of_refusal(refusal),
            Error::OutputExists { .. } => Self::OutputExists,
            Error::Unproven { .. } | Error::Differs { .. } => Self::Unproven,
            Error::Interrupted => Self::Interrupted,
            _ => Self::Failed,
        }
    }

    /// The exit that an error about live members ends in.
    #[cfg(feature = "live")]
    pub fn of_live(error: &etcdprefix_etcd::Error) -> Self {
        use etcdprefix_etcd::Error as Live;
        match error {
            Live::Usage(_) | Live::Endpoint { .. } | Live::NoRevision { .. } => Self::Usage,
            Live::File { .. } => Self::Io,
            Live::Member { failure, .. } => Self::of_failure(failure),
            // One endpoint that refuses says more than that there is no member.
            Live::NoMember { failure: Some(failure), reasons, .. }
                if reasons.len() == 1 || failure.is_refusal() =>
            {
                Self::of_failure(failure)
            }
            Live::NoMember { .. } | Live::TwoClusters { .. } => Self::NoMember,
            Live::Unsound { .. } => Self::Damaged,
            Live::Differs(_) | Live::Lagging { .. } => Self::Differs,
            Live::Overtaken { .. } => Self::Broken,
            Live::OutOfTime(_) | Live::WatchBehind { .. } => Self::Broken,
            Live::Core(error) => Self::of(error),
            Live::Interrupted => Self::Interrupted,
        }
    }

    /// The exit that an error about an object store ends in.
    #[cfg(feature = "store")]
    pub fn of_store(error: &etcdprefix_store::Error) -> Self {
        use etcdprefix_store::Error as Store;
        match error {
            Store::Usage(_) | Store::Encrypted | Store::NoIdentity => Self::Usage,
            Store::NoCredentials { .. } | Store::CredentialsEnd { .. } => Self::NoCredentials,
            Store::File { .. } | Store::Write(_) | Store::Encryption { .. } => Self::Io,
            Store::FileChanged { .. } | Store::ObjectChanged { .. } => Self::Changed,
            Store::Refused(refusal) if refusal.is_passing() => Self::Broken,
            Store::Refused(_) => Self::StoreRefused,
            Store::Unreachable { .. } => Self::Broken,
            Store::Exists(_) => Self::OutputExists,
            Store::Differs { .. } | Store::Unproved { .. } => Self::StoreDiffers,
            Store::Unsound { .. } | Store::Undecryptable => Self::Damaged,
            Store::PartsLeft { why, .. } | Store::MaybeWritten { why, .. } => Self::of_store(why),
            Store::Interrupted => Self::Interrupted,
        }
    }

    #[cfg(feature = "live")]
    fn of_failure(failure: &etcdprefix_etcd::Failure) -> Self {
        use etcdprefix_etcd::Failure as Why;
        match failure {
            Why::Unreachable(_) | Why::Learner(_) => Self::NoMember,
            Why::Tls(_) | Why::NotAccepted(_) | Why::Dated(_) => Self::Refused,
            Why::NotPinned(_) | Why::CommonNameOnly(_) => Self::Refused,
            Why::Unauthenticated(_) | Why::Denied(_) => Self::Refused,
            Why::Silent(_) | Why::Stalled { .. } | Why::Broken(_) => Self::Broken,
            Why::Damaged { .. } => Self::Damaged,
            Why::Server(_) => Self::Failed,
        }
    }

    fn of_refusal(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::NothingMatches { .. } => Self::NothingMatches,
            Refusal::AlreadyRewritten { .. } => Self::AlreadyRewritten,
            Refusal::Collision { .. } => Self::Collision,
            Refusal::Unmatched { .. } => Self::Unmatched,
            Refusal::Undecryptable { .. } => Self::Undecryptable,
            Refusal::RolesStraddle { .. } => Self::RolesStraddle,
            Refusal::RolesEscalate { .. } | Refusal::RolesOpen { .. } => Self::RolesEscalate,
            Refusal::Irreversible { .. } => Self::Irreversible,
            Refusal::EmptyKey { .. } | Refusal::ValueTooLarge { .. } => Self::Unholdable,
            Refusal::OverQuota { .. } => Self::OverQuota,
            Refusal::NoSpace { .. } => Self::Io,
            _ => Self::Failed,
        }
    }
}

/// The table at the end of `--help`.
pub fn help() -> String {
    let mut text = String::from("Exit codes:\n");
    for exit in Exit::ALL {
        let _ = writeln!(text, "  {:>3}  {}", exit.code(), exit.meaning());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_has_the_same_table() {
        let contract = include_str!("../../../docs/cli-contract.md");
        let rows: Vec<String> = contract
            .lines()
            .skip_while(|line| *line != "| code | meaning |")
            .skip(2)
            .take_while(|line| line.starts_with('|'))
            .map(|line| line.replace('`', ""))
            .collect();
        let ours: Vec<String> = Exit::ALL
            .iter()
            .map(|exit| format!("| {} | {} |", exit.code(), exit.meaning()))
            .collect();
        assert_eq!(rows, ours);
    }

    /// In a command of Cloud Assistant they turn the instance off, or start it anew.
    #[test]
    fn none_means_something_to_an_agent() {
        assert!(Exit::ALL.iter().all(|exit| ![193, 194].contains(&exit.code())));
    }

    #[test]
    fn refusals_have_their_own_codes() {
        let refused = |refusal| Exit::of(&Error::Refused { path: "s.db".into(), refusal });
        let first = "read /a of role r".to_owned();
        assert_eq!(refused(Refusal::RolesStraddle { permissions: 1, first }).code(), 15);
        let why = "1 unmatched key".to_owned();
        assert_eq!(refused(Refusal::Irreversible { why }).code(), 16);
        let key = "/registry".to_owned();
        assert_eq!(refused(Refusal::EmptyKey { key }).code(), 17);
        assert_eq!(Exit::of(&Error::Interrupted).code(), 130);
    }
}
