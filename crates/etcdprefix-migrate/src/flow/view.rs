//! What the orchestrator tells while it works. No event holds a secret.

use crate::node::preflight::Check;

/// Who is told.
pub trait View: Send + Sync {
    /// Something happened. Called from several tasks; should return at once.
    fn show(&self, event: &Event);
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A step began, on a host or on all.
    Began {
        /// `preflight`, `sleep`, `snapshot`, …
        step: &'static str,
        /// Where; `None` for all.
        host: Option<String>,
    },
    /// It ended well.
    Ended {
        /// Which.
        step: &'static str,
        /// Where.
        host: Option<String>,
        /// How long it took.
        seconds: f64,
        /// What came of it, in a few words.
        summary: String,
    },
    /// It failed.
    Failed {
        /// Which.
        step: &'static str,
        /// Where.
        host: Option<String>,
        /// Why.
        why: String,
    },
    /// Everything was looked at, also if something speaks against the migration, which the error
    /// that ends it only names.
    Checked {
        /// Where; `None` for what only all hosts together show.
        host: Option<String>,
        /// What was found.
        checks: Vec<Check>,
    },
    /// The first host is put to sleep: from now the API is away. Or it was, before a run was resumed.
    OutageBegan {
        /// Since then.
        seconds: f64,
    },
    /// The URL is there, after so many seconds. The API comes back with the managed side.
    UrlReady {
        /// Since [`Event::OutageBegan`].
        seconds: f64,
    },
    /// All hosts are awake again, after so many seconds.
    OutageEnded {
        /// Since [`Event::OutageBegan`].
        seconds: f64,
    },
    /// For people.
    Note(String),
    /// For people, and it matters.
    Warning(String),
}
