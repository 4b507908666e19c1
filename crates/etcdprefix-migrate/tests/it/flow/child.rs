//! An orchestrator in a process of its own, which a limit for the size of files ends, or hinders, while
//! it writes its journal: the kernel does it at the very byte.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use etcdprefix_migrate::flow::{RunOptions, run};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};

use super::bench::{Bench, CONFIG};
use super::world::{State, World};

/// Tells the process that it is the child. Its work is on its stdin.
const CHILD: &str = "ETCDPREFIX_SIMULATED_CHILD";

/// What a child does.
#[derive(Clone, Serialize, Deserialize)]
pub struct Work {
    pub state: State,
    pub folder: PathBuf,
    pub command: String,
    /// No file gets longer.
    pub limit_bytes: Option<u64>,
}

/// What a child printed: states as they came, at last perhaps how it ended.
#[derive(Serialize, Deserialize)]
enum Said {
    State(Box<State>),
    End(String),
}

/// What is left of it.
pub struct Left {
    pub state: State,
    /// `ok`, or the error; `None` if it was killed.
    pub end: Option<String>,
}

/// What happens at the limit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum AtLimit {
    Killed,
    Fails,
}

pub fn tell(state: &State) {
    say(&Said::State(Box::new(state.clone())));
}

fn say(said: &Said) {
    let mut json = serde_json::to_vec(said).unwrap();
    json.push(b'\n');
    std::io::stdout().write_all(&json).unwrap();
}

impl Work {
    /// In another process.
    pub fn done(&self, at_limit: AtLimit) -> Left {
        let program = std::env::current_exe().unwrap();
        // What is ignored stays so in the program.
        let signal = if at_limit == AtLimit::Fails { "trap '' XFSZ; " } else { "" };
        let script = format!("{signal}exec \"$0\" --exact flow::child::works --nocapture");
        let mut child = Command::new("sh")
            .args(["-c", &script])
            .arg(program)
            .env(CHILD, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let json = serde_json::to_vec(self).unwrap();
        child.stdin.take().unwrap().write_all(&json).unwrap();
        let output = child.wait_with_output().unwrap();
        let mut left = Left { state: self.state.clone(), end: None };
        for line in output.stdout.split(|byte| *byte == b'\n') {
            match serde_json::from_slice(line) {
                Ok(Said::State(state)) => left.state = *state,
                Ok(Said::End(end)) => left.end = Some(end),
                Err(_) => {}
            }
        }
        let was_killed = output.status.signal().is_some();
        assert!(was_killed || output.status.success(), "{:?}", output.status);
        assert_eq!(left.end.is_none(), was_killed);
        left
    }
}

/// Only a child has something to do here.
#[test]
fn works() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let mut json = Vec::new();
    std::io::stdin().read_to_end(&mut json).unwrap();
    let work: Work = serde_json::from_slice(&json).unwrap();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let world = World::told(work.state);
        let bench = Bench::around(work.folder, world, CONFIG);
        bench.world.go_on();
        limit(work.limit_bytes);
        let end = act(&bench, &work.command).await;
        bench.world.change(State::look_at_bundle);
        say(&Said::End(end));
    });
}

fn limit(bytes: Option<u64>) {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).unwrap();
    setrlimit(Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

async fn act(bench: &Bench, command: &str) -> String {
    let outcome = match command {
        "run" => {
            let options = RunOptions { skip_rehearsal: true, ..RunOptions::default() };
            run(&bench.setup, &options).await.map(drop)
        }
        "resume" => bench.resume().await.map(drop),
        "rollback" => bench.rollback().await.map(drop),
        _ => bench.rollback_never_started().await.map(drop),
    };
    outcome.map_or_else(|error| format!("{error:?}"), |()| "ok".into())
}

/// Another folder with the same files, for another way to go on.
pub fn copied(state: &State, from: &Path, to: &Path) -> State {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
    let file = |path: &Path| to.join(path.file_name().unwrap());
    State { bundle: file(&state.bundle), journal: file(&state.journal), ..state.clone() }
}
