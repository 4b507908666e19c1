//! A migration of three hosts, in a folder of its own.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use etcdprefix_migrate::flow::{
    Event, HandedOut, RollbackOptions, RolledBack, RunOptions, Setup, View, resume, rollback, run,
};
use etcdprefix_migrate::host::Host;
use etcdprefix_migrate::{Config, Error};
use tempfile::TempDir;
use tokio::time::sleep;

use super::host::{Ask, FakeHost, Fate, Plan};
use super::world::{Node, State, World};

pub const HOSTS: [&str; 3] = ["m1", "m2", "m3"];
/// After it every timer of a run that is dead has fired.
pub const TIMERS: Duration = Duration::from_secs(21 * 60);

pub const CONFIG: &str = "
cluster_id: c123
hosts: [m1, m2, m3]
store: {url: 'oss://b/x', region: cn-hangzhou}
";

/// All that a test needs.
pub struct Bench {
    pub folder: PathBuf,
    pub world: Arc<World>,
    pub setup: Setup,
    pub events: Arc<Recorder>,
    _dir: Option<TempDir>,
}

/// What was shown.
#[derive(Default)]
pub struct Recorder(Mutex<Vec<Event>>);

impl View for Recorder {
    fn show(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

impl Recorder {
    pub fn all(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }

    /// Whether something was warned of.
    pub fn warned(&self, of: &str) -> bool {
        self.all().iter().any(|it| matches!(it, Event::Warning(text) if text.contains(of)))
    }
}

/// In memory if that can be had: every line of a journal is brought to the disk.
pub fn new_dir() -> TempDir {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("etcdprefix-sim-").tempdir_in(parent).unwrap()
}

impl Bench {
    pub fn new() -> Self {
        Self::of(CONFIG)
    }

    pub fn of(config: &str) -> Self {
        let dir = new_dir();
        let folder = dir.path().join("c123");
        let state = State::new(&HOSTS, folder.join("bundle.json"), folder.join("journal.jsonl"));
        Self { _dir: Some(dir), ..Self::around(folder, World::new(state), config) }
    }

    /// In a folder of another process.
    pub fn around(folder: PathBuf, world: World, config: &str) -> Self {
        let world = Arc::new(world);
        let events = Arc::<Recorder>::default();
        let host = |place: usize| -> Arc<dyn Host> {
            Arc::new(FakeHost { world: Arc::clone(&world), place, name: HOSTS[place].into() })
        };
        let setup = Setup {
            config: Config::parse(config).unwrap(),
            folder: folder.clone(),
            hosts: (0..HOSTS.len()).map(host).collect(),
            environment: BTreeMap::from([("SECRET_KEY".into(), "env-s3cr3t".into())]),
            view: events.clone(),
            interrupted: Arc::new(AtomicBool::new(false)),
        };
        Self { folder, world, setup, events, _dir: None }
    }

    /// From now on, what becomes of calls.
    pub fn plan(&self, plan: impl FnMut(&Ask) -> Fate + Send + 'static) {
        *self.world.plan.lock().unwrap() = Plan(Box::new(plan));
    }

    /// So many calls of a kind to one host go wrong.
    pub fn spoil(&self, what: &'static str, host: usize, times: usize, fate: Fate) {
        let mut left = times;
        self.plan(move |ask| {
            if ask.what != what || ask.host != host || left == 0 {
                return Fate::Done;
            }
            left -= 1;
            fate.clone()
        });
    }

    /// The orchestrator dies at its `n`th call from now on.
    pub fn kill_at(&self, n: usize, fate: Fate) {
        let n = self.world.now().calls + n;
        self.plan(move |ask| if ask.n == n { fate.clone() } else { Fate::Done });
    }

    /// Everything works from now on.
    pub fn mend(&self) {
        *self.world.plan.lock().unwrap() = Plan::none();
        self.setup.interrupted.store(false, Ordering::Relaxed);
    }

    /// What comes of it, unless the orchestrator dies first.
    pub async fn until_killed<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.world.killed.notified() => None,
            done = work => Some(done),
        }
    }

    pub async fn run(&self) -> Result<HandedOut, Error> {
        let options = RunOptions { skip_rehearsal: true, ..RunOptions::default() };
        run(&self.setup, &options).await
    }

    pub async fn resume(&self) -> Result<HandedOut, Error> {
        resume(&self.setup, &RunOptions::default()).await
    }

    pub async fn rollback(&self) -> Result<RolledBack, Error> {
        rollback(&self.setup, RollbackOptions::default()).await
    }

    /// A person says that the managed side never started.
    pub async fn rollback_never_started(&self) -> Result<RolledBack, Error> {
        self.world.change(|state| state.never_started = true);
        let options = RollbackOptions { managed_side_never_started: true, take_over: false };
        rollback(&self.setup, options).await
    }

    /// For everything that is still under way.
    pub async fn settle(&self) {
        sleep(Duration::from_secs(200)).await;
    }

    pub fn nodes(&self) -> Vec<Node> {
        self.world.now().nodes.clone()
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.world.now()
    }

    /// That all promises were kept so far.
    #[track_caller]
    pub fn sound(&self, case: &str) {
        self.world.change(State::look_at_bundle);
        let broken = self.world.now().broken.clone();
        assert!(broken.is_empty(), "{case}: {broken:#?}\n{}", self.trace());
    }

    /// That the migration is handed out, once and for all.
    #[track_caller]
    pub fn handed_out(&self, case: &str) {
        self.sound(case);
        let state = self.world.now();
        let is_out = state.is_handed_out && state.nodes.iter().all(|node| node.fence.is_some());
        let objects = state.objects.clone();
        drop(state);
        assert!(is_out, "{case}: not handed out\n{}", self.trace());
        assert_eq!(objects.len(), 1, "{case}: {objects:?}\n{}", self.trace());
    }

    /// That nothing of the migration is left on any host, nor in the store.
    #[track_caller]
    pub fn untouched(&self, case: &str) {
        self.sound(case);
        let state = self.world.now();
        let touched = state.nodes.iter().find(|node| !node.is_untouched()).cloned();
        let objects = state.objects.clone();
        drop(state);
        assert!(touched.is_none(), "{case}: {touched:#?}\n{}", self.trace());
        assert!(objects.is_empty(), "{case}: {objects:?} is left\n{}", self.trace());
    }

    pub fn trace(&self) -> String {
        let journal = std::fs::read_to_string(self.folder.join("journal.jsonl"));
        let journal: Vec<String> = journal.unwrap_or_default().lines().map(short).collect();
        let trace = self.world.now().trace.join("\n");
        format!("{trace}\njournal:\n{}", journal.join("\n"))
    }

    pub fn journal(&self) -> String {
        std::fs::read_to_string(self.folder.join("journal.jsonl")).unwrap_or_default()
    }
}

fn short(line: &str) -> String {
    let json: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
    let pick = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
    format!("{} {} {} {}", pick("mark"), pick("step"), pick("host"), pick("why"))
}
