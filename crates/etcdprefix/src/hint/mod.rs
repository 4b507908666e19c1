//! What to try after an error. Overrides are named by their flags, spelled as the user types them.

#[cfg(feature = "live")]
pub mod live;
#[cfg(feature = "migrate")]
pub mod migrate;
#[cfg(feature = "store")]
pub mod store;

use std::io;
use std::path::PathBuf;

use etcdprefix_core::error::BusyReason;
use etcdprefix_core::{Corruption, Error, Refusal};

/// What was being done, as far as advice depends on it.
#[derive(Clone, Debug)]
pub enum Asked {
    /// Replacing this file.
    InPlace(PathBuf),
    /// Writing this new file.
    Output(PathBuf),
    /// Only looking, without publishing anything.
    DryRun,
    /// `snapshot status`.
    Status,
    /// `verify`.
    Verify,
    /// Saving a snapshot to this file.
    #[cfg(feature = "live")]
    Save(PathBuf),
    /// Looking at a snapshot before it is sent to a store.
    #[cfg(feature = "store")]
    Put,
    /// Sending to this object.
    #[cfg(feature = "store")]
    Send(String),
    /// Fetching an object to this file.
    #[cfg(feature = "store")]
    Fetch(PathBuf),
    /// Looking at a file in any other way.
    Look,
}

impl Asked {
    /// What an interruption leaves behind, to follow "interrupted".
    pub fn state_of_target(&self) -> String {
        match self {
            Self::InPlace(file) => format!("; {} is as it was", file.display()),
            Self::Output(file) => format!("; {} was not written", file.display()),
            #[cfg(feature = "live")]
            Self::Save(file) => format!("; {} is as it was", file.display()),
            #[cfg(feature = "store")]
            Self::Fetch(file) => format!("; {} is as it was", file.display()),
            #[cfg(feature = "store")]
            Self::Send(object) => format!("; {object} was not written"),
            #[cfg(feature = "store")]
            Self::Put => String::new(),
            Self::DryRun | Self::Status | Self::Verify | Self::Look => String::new(),
        }
    }
}

/// The advice for `error`, if there is any that helps.
pub fn hint(error: &Error, asked: &Asked) -> Option<String> {
    let advice = match error {
        Error::Io { source, .. } => return io_hint(source, asked),
        Error::Busy { why, .. } => busy_hint(*why),
        Error::Damaged { damage, .. } => damage_hint(damage),
        Error::TrailerMissing { .. } => trailer_hint(asked),
        Error::TrailerMismatch { .. } => mismatch_hint(asked),
        Error::Usage { .. } => "another --dest-prefix or --src-prefix",
        Error::Refused { refusal: Refusal::AlreadyRewritten { .. }, .. }
            if matches!(asked, Asked::Verify) =>
        {
            "the file before the change first, then the file after it"
        }
        Error::Refused { refusal: Refusal::NothingMatches { .. }, .. }
            if matches!(asked, Asked::Verify) =>
        {
            "--src-prefix with the prefix these keys have"
        }
        Error::Differs { .. } => {
            "the --src-prefix, --dest-prefix and --unmatched that the output was made with, \
             or to make it again"
        }
        Error::NoSuchRevision { .. } => "a --rev from that range, or none for the latest",
        Error::Refused { refusal, .. } => refusal_hint(refusal)?,
        #[cfg(feature = "live")]
        Error::OutputExists { .. } if matches!(asked, Asked::Save(_)) => {
            "another FILE; one that exists is replaced only without --change-prefix"
        }
        Error::OutputExists { .. } => {
            "another --output; without --output the file of --db is replaced"
        }
        Error::Unproven { .. } => {
            "the source is untouched: keep it, check disk and memory, and report this as a fault"
        }
        _ => return None,
    };
    Some(spelled(advice, asked))
}

/// Some flags have another name where a change goes along with a save.
fn spelled(advice: &str, asked: &Asked) -> String {
    match asked {
        #[cfg(feature = "live")]
        Asked::Save(_) => {
            advice.replace("--dest-prefix", "--change-prefix").replace("--output on", "FILE on")
        }
        _ => advice.into(),
    }
}

fn io_hint(source: &io::Error, asked: &Asked) -> Option<String> {
    let advice = match (source.kind(), asked) {
        #[cfg(feature = "live")]
        (kind, Asked::Save(_)) => return new_file_hint(kind).map(Into::into),
        #[cfg(feature = "store")]
        (kind, Asked::Fetch(_)) => return new_file_hint(kind).map(Into::into),
        (io::ErrorKind::NotFound, Asked::Output(_)) => {
            "the path of an existing snapshot, and an --output in an existing folder"
        }
        (io::ErrorKind::NotFound, _) => "the path of an existing snapshot",
        (
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded,
            Asked::Look | Asked::Status | Asked::Verify,
        ) => "TMPDIR on a file system with more room",
        (io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded, _) => {
            "--output on a file system with room for a second copy, or TMPDIR for temporary files"
        }
        (io::ErrorKind::FileTooLarge, _) => {
            "a higher limit of file sizes (ulimit -f), or a file system that takes larger files"
        }
        (
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem,
            Asked::InPlace(_),
        ) => "the owner's account, or --output in a folder you may write to",
        (io::ErrorKind::PermissionDenied, _) => "the owner's account",
        _ => return None,
    };
    Some(advice.into())
}

#[cfg(any(feature = "live", feature = "store"))]
fn new_file_hint(kind: io::ErrorKind) -> Option<&'static str> {
    Some(match kind {
        io::ErrorKind::NotFound => "FILE in an existing folder",
        io::ErrorKind::InvalidInput => "another FILE; only a regular file is replaced",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "FILE on a file system with more room"
        }
        io::ErrorKind::FileTooLarge => {
            "a higher limit of file sizes (ulimit -f), or a file system that takes larger files"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "FILE in a folder you may write to"
        }
        _ => return None,
    })
}

fn busy_hint(why: BusyReason) -> &'static str {
    match why {
        BusyReason::Locked => "a file saved with `etcdctl snapshot save`, or stop that etcd first",
        BusyReason::Changed => "again when the file is complete and nothing writes to it",
    }
}

fn damage_hint(damage: &Corruption) -> &'static str {
    match damage {
        Corruption::FileTooSmall { .. }
        | Corruption::NoValidMeta { .. }
        | Corruption::BucketMissing { .. } => "a file saved with `etcdctl snapshot save`",
        Corruption::Truncated { .. } => "a complete copy, or a new `etcdctl snapshot save`",
        _ => "another copy, or a new `etcdctl snapshot save`",
    }
}

#[cfg(feature = "store")]
const AS_IT_IS: &str = "another copy; --no-check if these bytes are what you mean";

fn trailer_hint(asked: &Asked) -> &'static str {
    match asked {
        #[cfg(feature = "live")]
        Asked::Save(_) => "to save again",
        #[cfg(feature = "store")]
        Asked::Put | Asked::Fetch(_) => AS_IT_IS,
        Asked::Status => "without --check-trailer if it is a copied member/snap/db",
        _ => "--skip-hash-check if it is a copied member/snap/db",
    }
}

fn mismatch_hint(asked: &Asked) -> &'static str {
    match asked {
        #[cfg(feature = "live")]
        Asked::Save(_) => "to save again",
        #[cfg(feature = "store")]
        Asked::Put | Asked::Fetch(_) => AS_IT_IS,
        Asked::Status | Asked::Verify => "another copy, or a new `etcdctl snapshot save`",
        _ => {
            "another copy, or a new `etcdctl snapshot save`; \
             if this is all there is: --skip-hash-check --accept-corrupt-trailer"
        }
    }
}

fn refusal_hint(refusal: &Refusal) -> Option<&'static str> {
    Some(match refusal {
        Refusal::NothingMatches { .. } => {
            "--src-prefix with the prefix these keys have, or --allow-empty"
        }
        Refusal::AlreadyRewritten { .. } => {
            "the file as it is, or the --src-prefix that these keys still have; --allow-empty rewrites the file all the same"
        }
        Refusal::Collision { .. } => "another --dest-prefix",
        Refusal::Unmatched { .. } => {
            "--unmatched keep to leave them as they are, --unmatched drop to leave them out"
        }
        Refusal::Undecryptable { .. } => {
            "to rewrite these objects under identity, aescbc or secretbox before the snapshot, \
             or --allow-undecryptable"
        }
        Refusal::RolesStraddle { .. } => {
            "`etcdctl role grant-permission` with ranges inside of the prefix before the snapshot, or \
             --allow-unmapped-roles to keep such ranges as they are"
        }
        Refusal::RolesEscalate { .. } | Refusal::RolesOpen { .. } => {
            "`etcdctl role revoke-permission` before the snapshot, or another --dest-prefix"
        }
        Refusal::Irreversible { .. } => "--output FILE to keep the source, or --in-place",
        Refusal::EmptyKey { .. } => "a --dest-prefix that is not empty",
        Refusal::ValueTooLarge { .. } => "a shorter --dest-prefix",
        Refusal::OverQuota { .. } => {
            "a higher --target-quota if etcd gets it too (--quota-backend-bytes), \
             or compact before the snapshot"
        }
        Refusal::NoSpace { .. } => "--output on a file system with room for it",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(refusal: Refusal) -> Error {
        Error::Refused { path: "s.db".into(), refusal }
    }

    #[test]
    fn hints_name_the_flag_that_overrides() {
        let records = 1;
        let cases = [
            (Error::TrailerMissing { path: "s".into() }, "--skip-hash-check"),
            (
                Error::TrailerMismatch {
                    path: "s".into(),
                    found: String::new(),
                    computed: String::new(),
                },
                "--accept-corrupt-trailer",
            ),
            (
                refused(Refusal::NothingMatches {
                    src_prefix: "/a".into(),
                    components: "/b".into(),
                }),
                "--allow-empty",
            ),
            (
                refused(Refusal::Undecryptable { records, resources: "aesgcm secrets (1)".into() }),
                "--allow-undecryptable",
            ),
            (
                refused(Refusal::RolesStraddle { permissions: 1, first: "r".into() }),
                "--allow-unmapped-roles",
            ),
            (refused(Refusal::Irreversible { why: "x".into() }), "--in-place"),
        ];
        for (error, flag) in cases {
            let advice = hint(&error, &Asked::InPlace("s".into())).unwrap();
            assert!(advice.contains(flag), "{advice}");
        }
    }

    #[cfg(feature = "live")]
    #[test]
    fn a_save_advises_only_flags_that_it_has() {
        let path = || "s.db".into();
        let key = || "/registry".to_owned();
        for error in [
            Error::TrailerMissing { path: path() },
            Error::OutputExists { path: path() },
            Error::Usage { why: key() },
            Error::io("write", "s.db")(io::ErrorKind::StorageFull.into()),
            Error::io("open", "s.db")(io::ErrorKind::NotFound.into()),
            Error::io("open", "s.db")(io::ErrorKind::PermissionDenied.into()),
            refused(Refusal::EmptyKey { key: key() }),
            refused(Refusal::NoSpace { bytes: 2, free_bytes: 1 }),
        ] {
            let advice = hint(&error, &Asked::Save(path())).unwrap();
            for flag in ["--output", "--dest-prefix", "--skip-hash-check", "TMPDIR"] {
                assert!(!advice.contains(flag), "{error}: {advice}");
            }
        }
    }

    #[test]
    fn status_never_advises_flags_it_does_not_have() {
        let error = Error::TrailerMissing { path: "s".into() };
        let advice = hint(&error, &Asked::Status).unwrap();
        assert!(advice.contains("--check-trailer"), "{advice}");
        assert!(!advice.contains("--skip-hash-check"), "{advice}");
    }
}
