//! The lines of a journal, and what they tell together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::flow::Phase;
use crate::node::preflight::Facts;
use crate::protocol::Snapshotted;

/// One line. Holds no secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Line {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// The same, for people.
    pub at: String,
    /// Of which run.
    pub run: String,
    /// What happened.
    #[serde(flatten)]
    pub mark: Mark,
}

/// What happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "mark", rename_all = "snake_case")]
pub enum Mark {
    /// A run begins.
    Run {
        /// The cluster's id on the managed side.
        cluster: String,
        /// The hosts.
        hosts: Vec<String>,
        /// Of the configuration.
        config_digest: String,
        /// Of the part of it that says where objects go.
        store_digest: String,
        /// Whether snapshots are kept in the hosts' working folders.
        keep: bool,
    },
    /// What the hosts said while their control plane was up: asleep they can't any more.
    Facts {
        /// By host.
        facts: BTreeMap<String, Facts>,
    },
    /// The hosts are put to sleep anew; snapshots of before are void.
    Attempt {
        /// 1 for the first.
        number: u32,
    },
    /// A step is about to begin.
    Begin {
        /// Which.
        step: String,
        /// Where; `None` for all hosts.
        host: Option<String>,
    },
    /// It ended well.
    Done {
        /// Which.
        step: String,
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
        step: String,
        /// Where.
        host: Option<String>,
        /// Why.
        why: String,
    },
    /// There may be an object of this name from now on.
    Object {
        /// Its URL: no secret.
        object: String,
        /// The host that writes it.
        host: String,
    },
    /// The snapshot is made and uploaded.
    Snapshot(Box<Snapshotted>),
    /// The URL was signed and tried: the outage's first clock stops.
    UrlReady,
    /// The bundle is about to be written: from now on nothing wakes by itself.
    HandingOut,
    /// It was.
    HandedOut {
        /// Where.
        bundle: String,
        /// Whether it is encrypted.
        encrypted: bool,
        /// When its URL ends.
        url_ends_ms: u64,
    },
    /// The hosts are about to be woken.
    RollingBack {
        /// Why.
        why: String,
    },
    /// All are awake, as before.
    RolledBack,
    /// The managed side serves: closed.
    Finished,
}

impl Line {
    /// With this moment's time.
    pub fn now(run: &str, mark: Mark) -> Self {
        let now = jiff::Timestamp::now();
        let at_ms = u64::try_from(now.as_millisecond()).unwrap_or_default();
        Self { at_ms, at: now.to_string(), run: run.into(), mark }
    }
}

/// What a run did, by its lines.
#[derive(Clone, Debug)]
pub struct Story {
    /// Its id.
    pub run: String,
    /// When it was begun.
    pub began_ms: u64,
    /// How far it is.
    pub phase: Phase,
    /// How many times the hosts were put to sleep.
    pub attempt: u32,
    /// The hosts that it was begun with.
    pub hosts: Vec<String>,
    /// Of the configuration that it was begun with.
    pub config_digest: String,
    /// Of the part of it that says where objects go.
    pub store_digest: String,
    /// Whether snapshots are kept in the hosts' working folders.
    pub keep: bool,
    /// What the hosts said before anything was changed; nothing was if it isn't there.
    pub facts: Option<BTreeMap<String, Facts>>,
    /// Objects that may be there, of all attempts.
    pub objects: Vec<String>,
    /// The one of this attempt, and the host that writes it.
    pub object: Option<(String, String)>,
    /// The snapshot of this attempt.
    pub snapshot: Option<Snapshotted>,
    /// Whether a step of this attempt failed.
    pub failed: bool,
    /// Whether it was about to wake the hosts.
    pub rolling_back: bool,
    /// Whether the bundle was certainly written, and when its URL ends.
    pub handed_out: Option<(String, u64)>,
    /// When the first host was put to sleep.
    pub outage_began_ms: Option<u64>,
    /// When the URL was there.
    pub url_ready_ms: Option<u64>,
    /// The last line, for people.
    pub last: String,
}

impl Story {
    /// Of the last run in a journal.
    pub fn last(lines: &[Line]) -> Option<Self> {
        let begin = lines.iter().rposition(|line| matches!(line.mark, Mark::Run { .. }))?;
        let mut story = Self::new(&lines[begin].run);
        for line in &lines[begin..] {
            story.take(line);
        }
        Some(story)
    }

    fn new(run: &str) -> Self {
        Self {
            run: run.into(),
            began_ms: 0,
            phase: Phase::Running,
            attempt: 1,
            hosts: Vec::new(),
            config_digest: String::new(),
            store_digest: String::new(),
            keep: false,
            facts: None,
            objects: Vec::new(),
            object: None,
            snapshot: None,
            failed: false,
            rolling_back: false,
            handed_out: None,
            outage_began_ms: None,
            url_ready_ms: None,
            last: String::new(),
        }
    }

    fn take(&mut self, line: &Line) {
        self.last = format!("{} {}", line.at, line.mark.text());
        match &line.mark {
            Mark::Run { hosts, config_digest, store_digest, keep, .. } => {
                self.began_ms = line.at_ms;
                self.hosts.clone_from(hosts);
                self.config_digest.clone_from(config_digest);
                self.store_digest.clone_from(store_digest);
                self.keep = *keep;
            }
            Mark::Facts { facts } => self.facts = Some(facts.clone()),
            Mark::Attempt { number } => self.begin_attempt(*number),
            Mark::Begin { step, .. } if step == "sleep" => {
                self.outage_began_ms.get_or_insert(line.at_ms);
            }
            // What else fails is tolerated, or ends the run before anything sleeps.
            Mark::Failed { step, .. } => {
                self.failed |= ["sleep", "snapshot", "bundle", "fence"].contains(&step.as_str());
            }
            Mark::Object { object, host } => {
                self.objects.push(object.clone());
                self.object = Some((object.clone(), host.clone()));
            }
            Mark::Snapshot(snapshot) => {
                self.snapshot = Some(*snapshot.clone());
                // On another host after the first one had lost the lead.
                self.failed = false;
            }
            Mark::UrlReady => {
                self.url_ready_ms.get_or_insert(line.at_ms);
            }
            Mark::HandingOut => self.phase = Phase::HandedOut,
            Mark::HandedOut { bundle, url_ends_ms, .. } => {
                self.handed_out = Some((bundle.clone(), *url_ends_ms));
            }
            Mark::RollingBack { .. } => self.rolling_back = true,
            Mark::RolledBack => self.phase = Phase::RolledBack,
            Mark::Finished => self.phase = Phase::Finished,
            Mark::Begin { .. } | Mark::Done { .. } => {}
        }
    }

    fn begin_attempt(&mut self, number: u32) {
        self.attempt = number;
        self.snapshot = None;
        self.object = None;
        self.failed = false;
        self.url_ready_ms = None;
    }
}

impl Mark {
    /// For people.
    fn text(&self) -> String {
        let at = |host: &Option<String>| match host {
            Some(host) => format!(" on {host}"),
            None => String::new(),
        };
        match self {
            Self::Run { cluster, hosts, .. } => {
                format!("run for {cluster} on {} hosts began", hosts.len())
            }
            Self::Facts { .. } => "nothing speaks against it".into(),
            Self::Attempt { number } => format!("attempt {number} began"),
            Self::Begin { step, host } => format!("{step}{} began", at(host)),
            Self::Done { step, host, summary, .. } => format!("{step}{}: {summary}", at(host)),
            Self::Failed { step, host, why } => format!("{step}{} failed: {why}", at(host)),
            Self::Object { object, .. } => format!("object {object}"),
            Self::Snapshot(snapshot) => format!("snapshot at revision {}", snapshot.revision),
            Self::UrlReady => "the URL is ready".into(),
            Self::HandingOut => "the bundle is being handed out".into(),
            Self::HandedOut { bundle, .. } => format!("the bundle is handed out: {bundle}"),
            Self::RollingBack { why } => format!("rolling back: {why}"),
            Self::RolledBack => "rolled back".into(),
            Self::Finished => "finished".into(),
        }
    }
}
