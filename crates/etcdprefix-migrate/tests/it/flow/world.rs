//! How all hosts and the store are, and what may never be the case.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};

use etcdprefix_migrate::protocol::{Asleep, Fence, Lock, NodeStatus, Reply, Timer};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::child::tell;
use super::host::Plan;

/// The hosts' clocks when a test begins.
pub const BEGAN_MS: u64 = 1_700_000_000_000;
/// An API server that is back takes so long until it writes: a migration must not count on its writes
/// to notice it.
const WRITES_AFTER_MS: u64 = 60_000;

/// A host. All of it outlives the orchestrator.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Node {
    pub name: String,
    /// In the kubelet's folder.
    pub manifests: BTreeSet<String>,
    /// In the backup folder.
    pub backup: BTreeSet<String>,
    pub lock: Option<Lock>,
    pub asleep: Option<Asleep>,
    /// Of which run, and when it fires.
    pub timer: Option<(String, u64)>,
    pub fence: Option<Fence>,
    pub fired: Option<String>,
    /// Since when an API server runs.
    pub api_since_ms: Option<u64>,
    /// Since when none does.
    pub quiet_since_ms: Option<u64>,
    /// What steps ended with that run on by themselves, by id: the request and the reply.
    pub replies: BTreeMap<String, (String, Reply)>,
    /// Those that are at work: calls.
    pub running: BTreeMap<String, String>,
    /// What may not begin any more.
    pub cancelled: BTreeSet<String>,
    /// Its API server doesn't stop.
    pub is_stuck: bool,
    /// Its sleep has to be killed at the limit.
    pub hangs: bool,
}

/// A snapshot, taken once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Snap {
    pub revision: i64,
    pub taken_ms: u64,
}

/// Everything that is real in this world.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    pub now_ms: u64,
    pub nodes: Vec<Node>,
    /// Objects by URL, each with its snapshot.
    pub objects: BTreeMap<String, usize>,
    pub snaps: Vec<Snap>,
    pub revision: i64,
    /// The host of etcd's leader.
    pub leader: usize,
    /// Calls that were sent to any host.
    pub calls: usize,
    /// What happened, for people who look for why.
    #[serde(skip)]
    pub trace: Vec<String>,
    /// What may never be the case and was.
    pub broken: Vec<String>,
    /// A person said that the managed side never started.
    pub never_started: bool,
    /// Where the orchestrator writes the bundle, and its journal.
    pub bundle: PathBuf,
    pub journal: PathBuf,
    /// The hand-out was looked at.
    pub is_handed_out: bool,
    /// Times that a worker saved and uploaded.
    pub uploads: usize,
    /// Until the kubelet has stopped an API server.
    pub stop_seconds: u64,
    /// Long enough for timers to be renewed meanwhile, and for API servers that were woken to write.
    pub upload_seconds: u64,
    /// A bundle so long that a limit for files can end its writing.
    pub key_bytes: usize,
    /// What every host's preflight finds to speak against the migration.
    pub against: Option<String>,
}

/// The state, its clock, and what is at work in it.
pub struct World {
    state: Mutex<State>,
    epoch: (Instant, u64),
    /// What becomes of the calls.
    pub plan: Mutex<Plan>,
    /// The orchestrator is to die now.
    pub killed: Notify,
    /// A step ended.
    pub ended: Notify,
    /// Steps at work, to be cancelled.
    pub tasks: Mutex<BTreeMap<(usize, String), AbortHandle>>,
    is_told: bool,
}

impl Node {
    fn new(name: &str) -> Self {
        let manifests = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];
        Self {
            name: name.into(),
            manifests: manifests.map(|name| format!("{name}.yaml")).into(),
            backup: BTreeSet::new(),
            lock: None,
            asleep: None,
            timer: None,
            fence: None,
            fired: None,
            api_since_ms: Some(BEGAN_MS - WRITES_AFTER_MS),
            quiet_since_ms: None,
            replies: BTreeMap::new(),
            running: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            is_stuck: false,
            hangs: false,
        }
    }

    /// Whether an API server runs or may start at any moment.
    pub fn is_awake(&self) -> bool {
        self.asleep.is_none() || self.api_since_ms.is_some()
    }

    /// As if nobody had ever migrated.
    pub fn is_untouched(&self) -> bool {
        let fresh = Self::new(&self.name);
        let is_free = self.lock.is_none() && self.timer.is_none() && self.fence.is_none();
        let is_forgotten = self.asleep.is_none() && self.fired.is_none() && self.running.is_empty();
        let files = (&self.manifests, &self.backup) == (&fresh.manifests, &fresh.backup);
        files && is_free && is_forgotten && self.api_since_ms.is_some()
    }

    /// Everything back in its place.
    pub fn put_back(&mut self, now_ms: u64) -> Vec<String> {
        let moved: Vec<String> = self.backup.iter().cloned().collect();
        self.manifests.append(&mut self.backup);
        (self.asleep, self.timer, self.quiet_since_ms) = (None, None, None);
        self.api_since_ms.get_or_insert(now_ms);
        moved
    }

    pub fn status(&self, now_ms: u64) -> NodeStatus {
        let timer = self.timer.as_ref().map(|(run, at_ms)| Timer {
            run: run.clone(),
            left_seconds: at_ms.saturating_sub(now_ms) / 1000,
            alive: true,
            restarted: false,
        });
        NodeStatus {
            hostname: self.name.clone(),
            arch: "x86_64".into(),
            version: "0".into(),
            now_ms,
            lock: self.lock.clone(),
            asleep: self.asleep.clone(),
            timer,
            fired: self.fired.clone(),
            fence: self.fence.clone(),
            api_server_runs: self.api_since_ms.is_some(),
        }
    }
}

impl State {
    pub fn new(names: &[&str], bundle: PathBuf, journal: PathBuf) -> Self {
        Self {
            now_ms: BEGAN_MS,
            nodes: names.iter().map(|name| Node::new(name)).collect(),
            objects: BTreeMap::new(),
            snaps: Vec::new(),
            revision: 1000,
            leader: 1,
            calls: 0,
            trace: Vec::new(),
            broken: Vec::new(),
            never_started: false,
            bundle,
            journal,
            is_handed_out: false,
            uploads: 0,
            stop_seconds: 3,
            upload_seconds: 65,
            key_bytes: 0,
            against: None,
        }
    }

    pub fn say(&mut self, text: impl std::fmt::Display) {
        let at = (self.now_ms - BEGAN_MS) as f64 / 1000.0;
        self.trace.push(format!("{at:8.3} {text}"));
    }

    pub fn breaks(&mut self, why: impl Into<String>) {
        let why = why.into();
        self.say(format_args!("BROKEN: {why}"));
        self.broken.push(why);
    }

    /// Timers that are due do what they are for.
    fn fire(&mut self) {
        let now_ms = self.now_ms;
        let mut fired = Vec::new();
        for node in &mut self.nodes {
            let Some((_, at_ms)) = node.timer.clone().filter(|(_, at_ms)| *at_ms <= now_ms) else {
                continue;
            };
            node.timer = None;
            if node.fence.is_none() && node.asleep.is_some() {
                node.put_back(at_ms);
                node.fired = Some("woke the host".into());
                fired.push(node.name.clone());
            }
        }
        fired.iter().for_each(|name| self.say(format_args!("{name}: the timer woke it")));
    }

    /// API servers that run write.
    fn write(&mut self) {
        let now_ms = self.now_ms;
        let writes = |node: &&Node| {
            node.api_since_ms.is_some_and(|since_ms| since_ms + WRITES_AFTER_MS <= now_ms)
        };
        self.revision += self.nodes.iter().filter(writes).count() as i64;
    }

    pub fn may_be_handed_out(&self) -> bool {
        let journal = std::fs::read_to_string(&self.journal).unwrap_or_default();
        let run = journal.rfind("\"mark\":\"run\"").map_or("", |begin| &journal[begin..]);
        run.contains("\"mark\":\"handing_out\"")
    }

    /// The promises that hold at every moment.
    fn check(&mut self) {
        let awake = self.nodes.iter().find(|node| node.is_awake()).map(|node| node.name.clone());
        let Some(awake) = awake.filter(|_| !self.never_started) else {
            return self.look_at_bundle();
        };
        if self.bundle.exists() || self.may_be_handed_out() {
            self.breaks(format!("{awake} is awake, and the bundle may be handed out"));
        }
    }

    /// The promises of the hand-out, looked at once.
    pub fn look_at_bundle(&mut self) {
        if self.is_handed_out || !self.bundle.exists() {
            return;
        }
        self.is_handed_out = true;
        self.say("the bundle is handed out");
        let Some(snap) = self.handed_out().and_then(|object| self.objects.get(&object)) else {
            return self.breaks("the bundle's URL finds no object");
        };
        let taken_ms = self.snaps[*snap].taken_ms;
        let is_sound = |node: &Node| {
            let slept = node.quiet_since_ms.is_some_and(|since_ms| since_ms <= taken_ms);
            slept && !node.is_awake() && node.fence.is_some() && node.timer.is_none()
        };
        let bad: Vec<_> = self.nodes.iter().filter(|node| !is_sound(node)).cloned().collect();
        for node in bad {
            self.breaks(format!("handed out, but {node:?} was not safely asleep at {taken_ms}"));
        }
    }

    /// The object of the bundle's URL.
    pub fn handed_out(&self) -> Option<String> {
        let json = std::fs::read(&self.bundle).ok()?;
        let bundle: serde_json::Value = serde_json::from_slice(&json).ok()?;
        let url = bundle["oss_url"].as_str()?;
        Some(url.split('?').next()?.replace("https://b.oss/", "oss://b/"))
    }
}

impl World {
    pub fn new(state: State) -> Self {
        Self {
            epoch: (Instant::now(), state.now_ms),
            state: Mutex::new(state),
            plan: Mutex::new(Plan::none()),
            killed: Notify::new(),
            ended: Notify::new(),
            tasks: Mutex::default(),
            is_told: false,
        }
    }

    /// One that prints each state, for a parent that goes on with it.
    pub fn told(state: State) -> Self {
        Self { is_told: true, ..Self::new(state) }
    }

    /// The state at this moment, with all that the time has done.
    pub fn now(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap();
        state.now_ms = self.epoch.1 + self.epoch.0.elapsed().as_millis() as u64;
        state.fire();
        state.write();
        state.check();
        state
    }

    /// Changes something, and proves that it may be so.
    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.now();
        let outcome = change(&mut state);
        state.check();
        if self.is_told {
            tell(&state);
        }
        outcome
    }
}
