//! A failure as the user sees it: one line on stderr and an exit code.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::path::Path;

use etcdprefix_core::Error;

use crate::exit::Exit;
#[cfg(feature = "live")]
use crate::hint::live::live_hint;
#[cfg(feature = "migrate")]
use crate::hint::migrate::{migration_hint, step_hint};
#[cfg(feature = "store")]
use crate::hint::store::store_hint;
use crate::hint::{Asked, hint};
use crate::output::text::one_line;

/// Why the command ends without its result.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// A failure in a few words, `hint` saying what to try.
    pub fn new(exit: Exit, message: impl Into<String>, hint: Option<String>) -> Self {
        Self { exit, message: message.into(), hint }
    }

    /// An error of the library, met when doing what was `asked`.
    pub fn core(error: &Error, asked: &Asked) -> Self {
        let exit = Exit::of(error);
        if let Error::Interrupted = error {
            return Self::new(exit, format!("interrupted{}", asked.state_of_target()), None);
        }
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            message.push_str(&format!(": {error}"));
            source = error.source();
        }
        Self::new(exit, message, hint(error, asked))
    }

    /// An error about live members.
    #[cfg(feature = "live")]
    pub fn live(error: &etcdprefix_etcd::Error) -> Self {
        Self::live_when(error, &Asked::Look)
    }

    /// An error about live members, met when doing what was `asked`.
    #[cfg(feature = "live")]
    pub fn live_when(error: &etcdprefix_etcd::Error, asked: &Asked) -> Self {
        match error {
            etcdprefix_etcd::Error::Core(error) => Self::core(error, asked),
            etcdprefix_etcd::Error::Interrupted => Self::core(&Error::Interrupted, asked),
            error => Self::new(Exit::of_live(error), error.to_string(), live_hint(error, asked)),
        }
    }

    /// An error about an object store, met when doing what was `asked`.
    #[cfg(feature = "store")]
    pub fn store(error: &etcdprefix_store::Error, asked: &Asked) -> Self {
        use etcdprefix_store::Error as Store;
        if let Store::Interrupted = error {
            return Self::core(&Error::Interrupted, asked);
        }
        if let Store::Write(source) = error {
            return Self::passed_on(source, asked);
        }
        Self::new(Exit::of_store(error), error.to_string(), store_hint(error))
    }

    /// What kept downloaded bytes from being written.
    #[cfg(feature = "store")]
    fn passed_on(source: &io::Error, asked: &Asked) -> Self {
        match source.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(error) => Self::core(error, asked),
            None => Self::temporary(source, asked),
        }
    }

    /// An error of the orchestrator's. What was done about it is told behind its cause, and what to
    /// try is the cause's.
    #[cfg(feature = "migrate")]
    pub fn migration(error: &etcdprefix_migrate::Error) -> Self {
        use etcdprefix_migrate::Error as Migration;
        let behind = |why: &Migration, words: String| {
            let cause = Self::migration(why);
            Self { message: format!("{}; {words}", cause.message), ..cause }
        };
        let told = match error {
            Migration::RolledBack(why) => {
                behind(why, "every host is awake again, as before".into())
            }
            Migration::LeftAsIs(why) => behind(why, "the hosts are left as they are".into()),
            Migration::NotRolledBack { why, rollback } => {
                behind(why, format!("and then: {rollback}"))
            }
            Migration::PutBack(why) => behind(why, "the hosted cluster is as before".into()),
            Migration::NotPutBack { why: Some(why), left } => {
                behind(why, format!("and then: the hosted cluster is not as before: {left}"))
            }
            error => Self::new(Exit::Failed, error.to_string(), None).advised(),
        };
        Self { exit: Exit::of_migration(error), hint: migration_hint(error).or(told.hint), ..told }
    }

    /// An error of a step on this host.
    #[cfg(feature = "migrate")]
    pub fn step(error: &etcdprefix_migrate::NodeError) -> Self {
        let told = Self::new(Exit::of_step(error), error.to_string(), None).advised();
        Self { hint: told.hint.or(step_hint(error)), ..told }
    }

    /// Takes what the message itself says to try for the hint.
    #[cfg(feature = "migrate")]
    fn advised(self) -> Self {
        match self.message.split_once("; try: ") {
            Some((message, hint)) => Self::new(self.exit, message, Some(hint.into())),
            None => self,
        }
    }

    /// A temporary file of the command's own.
    #[cfg(feature = "store")]
    pub fn temporary(source: &io::Error, asked: &Asked) -> Self {
        let message = format!("cannot write a temporary file: {source}{}", asked.state_of_target());
        let hint = "TMPDIR on a file system with room that you may write to";
        Self::new(Exit::Io, message, Some(hint.into()))
    }

    /// The same with other words in front.
    #[cfg(any(feature = "live", feature = "store"))]
    pub fn after(self, words: &str) -> Self {
        Self { message: format!("{words}: {}", self.message), ..self }
    }

    /// The same in other words.
    #[cfg(feature = "store")]
    pub fn reworded(self, reword: impl Fn(&str) -> String) -> Self {
        let hint = self.hint.map(|hint| reword(&hint));
        Self { message: reword(&self.message), hint, ..self }
    }

    /// A mapped file that is no longer all there.
    pub fn unmapped(db: &Path, asked: &Asked) -> Self {
        let (path, state) = (db.display(), asked.state_of_target());
        let message =
            format!("cannot read {path}: it was cut short meanwhile, or its disk failed{state}");
        let hint = match asked {
            #[cfg(feature = "store")]
            Asked::Put => "again when nothing writes to it",
            _ => "again when nothing writes to it, or --no-mmap to be told which",
        };
        Self::new(Exit::Io, message, Some(hint.into()))
    }

    /// The work was done but its result could not be told.
    pub fn stdout(source: &io::Error) -> Self {
        let message = format!("the result cannot be written to standard output: {source}");
        let hint =
            "what was to be done is done nevertheless; `etcdprefix snapshot status` shows the file";
        Self::new(Exit::Io, message, Some(hint.into()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", one_line(&self.message))?;
        match &self.hint {
            Some(hint) => write!(f, "; try: {}", one_line(hint)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_with_source_and_hint() {
        let source = io::Error::new(io::ErrorKind::NotFound, "No such file or directory");
        let error = Error::io("open", "a\nb.db")(source);
        let failure = Failure::core(&error, &Asked::Status);
        assert_eq!(
            failure.to_string(),
            "cannot open a\\nb.db: No such file or directory; try: the path of an existing snapshot"
        );
        assert_eq!(failure.exit, Exit::Io);
    }

    #[test]
    fn an_interruption_says_what_became_of_the_target() {
        let text = |asked| Failure::core(&Error::Interrupted, &asked).to_string();
        let in_place = Asked::InPlace("s.db".into());
        assert_eq!(text(in_place), "interrupted; s.db is as it was");
        let output = Asked::Output("new.db".into());
        assert_eq!(text(output), "interrupted; new.db was not written");
        assert_eq!(text(Asked::Status), "interrupted");
    }
}
