//! A run, as it goes: who it is, what it has written down, and how it reaches its hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::calls::Step;
use super::rehearse::{config_digest, store_digest};
use super::view::Event;
use super::{PhaseTime, Setup};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::journal::{Journal, Line, Mark};
use crate::protocol::{Owner, Request, Response};

/// A run.
pub struct Session<'a> {
    pub setup: &'a Setup,
    pub journal: &'a Journal,
    owner: Owner,
    attempt: AtomicU32,
    keep: AtomicBool,
    /// Hosts that this process has seen fall asleep.
    asleep: Arc<Mutex<Vec<Arc<dyn Host>>>>,
    /// Whether this process has begun to fence: timers may be disarmed.
    is_fencing: AtomicBool,
    /// Whether this is not the run of a process before.
    is_new: bool,
    /// A rehearsal writes nothing into the journal: it changes nothing.
    is_rehearsal: bool,
    /// Hosts that this run has fenced, before it was killed.
    fenced: Mutex<BTreeSet<String>>,
    /// Hosts that could not be reached when they were to be locked.
    unreached: Mutex<BTreeSet<String>>,
    is_journal_lost: AtomicBool,
    times: Mutex<Vec<PhaseTime>>,
    warnings: Mutex<Vec<String>>,
}

impl<'a> Session<'a> {
    /// A run of that id, or a new one.
    pub fn new(setup: &'a Setup, journal: &'a Journal, run: Option<&str>) -> Self {
        let is_new = run.is_none();
        let run = run.map_or_else(new_run, str::to_owned);
        let owner = Owner { run, cluster: setup.config.cluster_id.clone(), by: us() };
        Self {
            setup,
            journal,
            owner,
            attempt: AtomicU32::new(1),
            keep: AtomicBool::new(false),
            asleep: Arc::default(),
            is_fencing: AtomicBool::new(false),
            is_new,
            is_rehearsal: false,
            fenced: Mutex::default(),
            unreached: Mutex::default(),
            is_journal_lost: AtomicBool::new(false),
            times: Mutex::default(),
            warnings: Mutex::default(),
        }
    }

    /// One that leaves no trace in the journal.
    pub fn rehearsal(setup: &'a Setup, journal: &'a Journal) -> Self {
        Self { is_rehearsal: true, ..Self::new(setup, journal, None) }
    }

    pub fn is_new(&self) -> bool {
        self.is_new
    }

    pub fn run(&self) -> &str {
        &self.owner.run
    }

    pub fn owner(&self) -> Owner {
        self.owner.clone()
    }

    pub fn attempt(&self) -> u32 {
        self.attempt.load(Ordering::Relaxed)
    }

    pub fn set_attempt(&self, number: u32) {
        self.attempt.store(number, Ordering::Relaxed);
    }

    /// Whether snapshots are kept on the hosts.
    pub fn set_keep(&self, keep: bool) {
        self.keep.store(keep, Ordering::Relaxed);
    }

    pub fn keeps(&self) -> bool {
        self.keep.load(Ordering::Relaxed)
    }

    /// Hosts that sleep, more of them as time goes by.
    pub fn asleep(&self) -> Arc<Mutex<Vec<Arc<dyn Host>>>> {
        Arc::clone(&self.asleep)
    }

    pub fn note_fencing(&self) {
        self.is_fencing.store(true, Ordering::Relaxed);
    }

    pub fn is_fencing(&self) -> bool {
        self.is_fencing.load(Ordering::Relaxed) || !self.fenced().is_empty()
    }

    fn fenced(&self) -> BTreeSet<String> {
        self.fenced.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn is_interrupted(&self) -> bool {
        self.setup.interrupted.load(Ordering::Relaxed)
    }

    /// That a host could not be reached when it was to be locked: nothing of ours is there.
    pub fn note_unreached(&self, host: &str) {
        self.unreached.lock().unwrap_or_else(PoisonError::into_inner).insert(host.into());
    }

    pub fn is_unreached(&self, host: &str) -> bool {
        self.unreached.lock().unwrap_or_else(PoisonError::into_inner).contains(host)
    }

    /// That a host was fenced before.
    pub fn note_fenced(&self, host: &str) {
        self.fenced.lock().unwrap_or_else(PoisonError::into_inner).insert(host.into());
    }

    /// Hosts that still may wake by themselves.
    pub fn unfenced(&self) -> Vec<Arc<dyn Host>> {
        let fenced = self.fenced();
        let hosts = self.setup.hosts.iter().filter(|host| !fenced.contains(host.name()));
        hosts.cloned().collect()
    }

    /// An interruption between two steps.
    pub fn go_on(&self) -> Result<()> {
        if self.is_interrupted() { Err(Error::Interrupted) } else { Ok(()) }
    }

    pub fn mark(&self, mark: Mark) -> Result<()> {
        if self.is_rehearsal {
            return Ok(());
        }
        self.journal.write(Line::now(self.run(), mark))
    }

    /// For what puts things back: it is done even if it can't be written down, and may be repeated.
    pub fn mark_if_possible(&self, mark: Mark) {
        let Err(error) = self.mark(mark) else { return };
        if !self.is_journal_lost.swap(true, Ordering::Relaxed) {
            self.warn(format!("{error}; the hosts are woken all the same"));
        }
    }

    fn mark_step(&self, step: &Step, mark: Mark) -> Result<()> {
        if step.stoppable {
            return self.mark(mark);
        }
        self.mark_if_possible(mark);
        Ok(())
    }

    /// The first line of a run.
    pub fn mark_run(&self) -> Result<()> {
        self.mark(self.beginning())
    }

    /// The same for a run that only puts things back.
    pub fn mark_run_if_possible(&self) {
        self.mark_if_possible(self.beginning());
    }

    fn beginning(&self) -> Mark {
        Mark::Run {
            cluster: self.setup.config.cluster_id.to_string(),
            hosts: self.setup.hosts.iter().map(|host| host.name().to_owned()).collect(),
            config_digest: config_digest(self.setup),
            store_digest: store_digest(self.setup),
            keep: self.keep.load(Ordering::Relaxed),
        }
    }

    pub fn show(&self, event: Event) {
        self.setup.view.show(&event);
    }

    pub fn warn(&self, text: String) {
        self.show(Event::Warning(text.clone()));
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    pub fn warnings(&self) -> Vec<String> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How long something took, for the table at the end.
    pub fn took(&self, name: &str, seconds: f64) {
        let time = PhaseTime { name: name.into(), seconds };
        self.times.lock().unwrap_or_else(PoisonError::into_inner).push(time);
    }

    pub fn times(&self) -> Vec<PhaseTime> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes a step another one than its namesake of before.
    pub fn moment(&self) -> String {
        static MOMENTS: AtomicU64 = AtomicU64::new(0);
        let number = MOMENTS.fetch_add(1, Ordering::Relaxed);
        format!("{}-{number}", Line::now(self.run(), Mark::RolledBack).at_ms)
    }

    /// Only steps that talk to the store get its credentials.
    pub fn environment_for(&self, request: &Request) -> BTreeMap<String, String> {
        match request {
            Request::Preflight(request) if request.store.is_none() => BTreeMap::new(),
            Request::Preflight(_)
            | Request::Snapshot(_)
            | Request::Bundle(_)
            | Request::Presign(_)
            | Request::Unpublish(_) => self.setup.environment.clone(),
            _ => BTreeMap::new(),
        }
    }

    /// A step on one host, in journal and view.
    pub async fn step(
        &self,
        host: &Arc<dyn Host>,
        step: Step,
        summary: impl Fn(&Response) -> String,
    ) -> Result<Response> {
        let (name, at) = (step.name, Some(host.name().to_owned()));
        self.mark_step(&step, Mark::Begin { step: name.into(), host: at.clone() })?;
        self.show(Event::Began { step: name, host: at.clone() });
        let start = Instant::now();
        let answer = self.ask(host.as_ref(), &step).await;
        let seconds = start.elapsed().as_secs_f64();
        match &answer {
            Ok(response) => {
                if let Response::Slept(_) = response {
                    let mut asleep = self.asleep.lock().unwrap_or_else(PoisonError::into_inner);
                    asleep.push(Arc::clone(host));
                }
                let summary = summary(response);
                let done = Mark::Done {
                    step: name.into(),
                    host: at.clone(),
                    seconds,
                    summary: summary.clone(),
                };
                self.mark_step(&step, done)?;
                self.show(Event::Ended { step: name, host: at, seconds, summary });
            }
            Err(error) => {
                let why = error.to_string();
                let failed = Mark::Failed { step: name.into(), host: at.clone(), why: why.clone() };
                self.mark_step(&step, failed)?;
                self.show(Event::Failed { step: name, host: at, why });
            }
        }
        answer
    }

    /// The same step on all hosts, as many at once as the rate control says. Begins no more once more
    /// than `may_fail` have failed; those have no answer.
    pub async fn on_all(
        &self,
        may_fail: usize,
        make: impl Fn(&Arc<dyn Host>) -> Step,
        summary: impl Fn(&Response) -> String,
    ) -> Vec<Answer> {
        let at_once = self.setup.config.rate_control.at_once(self.setup.hosts.len());
        self.on(self.setup.hosts.clone(), at_once, may_fail, make, summary).await
    }

    /// The same on some, so many at once.
    pub async fn on(
        &self,
        hosts: Vec<Arc<dyn Host>>,
        at_once: usize,
        may_fail: usize,
        make: impl Fn(&Arc<dyn Host>) -> Step,
        summary: impl Fn(&Response) -> String,
    ) -> Vec<Answer> {
        let failed = AtomicUsize::new(0);
        let (make, summary, failed) = (&make, &summary, &failed);
        let one = |host: &Arc<dyn Host>| {
            let host = Arc::clone(host);
            async move {
                if failed.load(Ordering::Relaxed) > may_fail {
                    return Answer { host, outcome: None };
                }
                let step = make(&host);
                let outcome = self.step(&host, step, summary).await;
                failed.fetch_add(usize::from(outcome.is_err()), Ordering::Relaxed);
                Answer { host, outcome: Some(outcome) }
            }
        };
        let works: Vec<_> = hosts.iter().map(one).collect();
        let mut answers: Vec<Answer> =
            stream::iter(works).buffer_unordered(at_once).collect().await;
        let place =
            |answer: &Answer| hosts.iter().position(|host| host.name() == answer.host.name());
        answers.sort_by_key(place);
        answers
    }
}

/// What came of a step on a host.
pub struct Answer {
    pub host: Arc<dyn Host>,
    /// `None` if it was not begun.
    pub outcome: Option<Result<Response>>,
}

/// The answers of all, or the first error.
pub fn all(answers: Vec<Answer>) -> Result<Vec<(Arc<dyn Host>, Response)>> {
    let mut done = Vec::new();
    let mut missing = None;
    for Answer { host, outcome } in answers {
        match outcome {
            Some(outcome) => done.push((host, outcome?)),
            None => missing = Some(host),
        }
    }
    match missing {
        // Only if others failed, which is returned above; kept so that nothing is ever left out.
        Some(host) => Err(Error::Usage(format!("{} was not begun", host.name()))),
        None => Ok(done),
    }
}

/// Sortable by time, and no two alike.
pub fn new_run() -> String {
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let random = RandomState::new().build_hasher().finish();
    format!("{now}-{:08x}", random as u32)
}

/// For people who find the lock.
pub fn us() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    let user = user.unwrap_or_else(|_| "unknown".into());
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{user}@{host}, process {}", std::process::id())
}
