//! Wakes a host if nobody is heard of: a process of its own, that holds `timer.lock` as long as it lives.
//!
//! It trusts nothing that it read before it had `host.lock`: whoever renews, disarms or fences does it
//! under that lock, so that the timer sees it or has fired before.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::setsid;

use crate::error::{NodeError, NodeErrorKind};
use crate::node::cancel::{self, Task};
use crate::node::clock::{Moment, now_ms, text_of};
use crate::node::guard::{self, Guard};
use crate::node::process::{Machine, ask, kept_variables};
use crate::node::state::{Fired, Kept, Record, State, TimerFile};
use crate::node::{Context, Launcher, lock, unit, wake};
use crate::protocol::Timer;

const POLL: Duration = Duration::from_secs(1);
/// Between two attempts to wake a host of which something can't go back.
const RETRY: Duration = Duration::from_secs(30);
/// Its process says within so long that it lives.
const START_LIMIT: Duration = Duration::from_secs(5);
/// For all that systemd is asked for; then it is done without.
const SYSTEMD_LIMIT: Duration = Duration::from_secs(10);
/// Another process holds it only for moments, to look whether we live.
const LIFE_LIMIT: Duration = Duration::from_secs(3);

/// Sets the first deadline, and starts the process. Under `host.lock`.
pub(crate) fn arm(
    state: &State,
    context: &Context,
    run: &str,
    seconds: u64,
) -> Result<bool, NodeError> {
    renew(state, context, run, seconds).inspect_err(|_| {
        // Without its process it would only mislead.
        let _ = disarm(state);
    })
}

/// Nothing wakes the host by itself any more. Under `host.lock`.
pub(crate) fn disarm(state: &State) -> Result<(), NodeError> {
    state.remove(Kept::Timer)?;
    // What is left of it finds no timer, and does nothing.
    let _ = unit::remove(state);
    Ok(())
}

/// Sets the deadline, and starts the process unless it lives. Whether it was started. Under
/// `host.lock`.
pub(crate) fn renew(
    state: &State,
    context: &Context,
    run: &str,
    seconds: u64,
) -> Result<bool, NodeError> {
    let deadline = Moment::now().after_seconds(seconds);
    state.write(Kept::Timer, &TimerFile { run: run.to_owned(), deadline })?;
    start(state, context)
}

/// For [`crate::protocol::NodeStatus`].
pub(crate) fn shown(state: &State) -> Result<Option<Timer>, NodeError> {
    let Some(TimerFile { run, deadline }) = state.read(Kept::Timer)? else { return Ok(None) };
    let left_seconds = deadline.since_ms(&Moment::now()).div_ceil(1000);
    Ok(Some(Timer { run, left_seconds, alive: is_alive(state)?, restarted: false }))
}

fn is_alive(state: &State) -> Result<bool, NodeError> {
    let path = state.timer_lock();
    guard::is_held(&path).map_err(NodeError::io("look at", path))
}

fn start(state: &State, context: &Context) -> Result<bool, NodeError> {
    if is_alive(state)? {
        return Ok(false);
    }
    let Context { launcher, machine, .. } = context;
    let end = Instant::now() + SYSTEMD_LIMIT;
    let started = start_as_unit(launcher, machine, state, end)
        .or_else(|_| start_by_systemd(launcher, machine, state, end))
        .or_else(|_| start_plainly(launcher, state));
    match started {
        Ok(()) => Ok(true),
        Err(why) => Err(NodeError::new(NodeErrorKind::Failed, format!("no timer: {why}"))),
    }
}

/// So that it comes back if it is killed, and if the host is. If it can't be started now, it stays for
/// the next start of the host.
fn start_as_unit(
    launcher: &Launcher,
    machine: &Machine,
    state: &State,
    end: Instant,
) -> Result<(), String> {
    let name = unit::install(state, launcher, machine)?;
    unit::start(machine, &name, end)?;
    await_life(state, end, || false).inspect_err(|_| unit::stop(machine, &name))
}

/// Outside of the cgroup of the login, which may be emptied when the login ends.
fn start_by_systemd(
    launcher: &Launcher,
    machine: &Machine,
    state: &State,
    end: Instant,
) -> Result<(), String> {
    if !unit::is_systemd(machine) {
        return Err("no systemd".into());
    }
    let program = machine.program("systemd-run").ok_or("no systemd-run")?;
    let unit = format!("--unit=etcdprefix-timer-{}-{}", std::process::id(), now_ms());
    let words = launcher.words("timer", state.dir());
    // No more flags: systemd 219 knows few.
    let mut args = vec![unit.as_str(), "--"];
    args.extend(words.iter().map(String::as_str));
    ask(&program, &args, end.saturating_duration_since(Instant::now()))?;
    await_life(state, end, || false)
}

fn start_plainly(launcher: &Launcher, state: &State) -> Result<(), String> {
    let mut command = launcher.command("timer", state.dir());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let end = Instant::now() + START_LIMIT;
    let lives = await_life(state, end, || !matches!(child.try_wait(), Ok(None)));
    // If it ends before us, it must not stay behind as a zombie.
    thread::spawn(move || child.wait());
    lives
}

fn await_life(
    state: &State,
    end: Instant,
    mut has_ended: impl FnMut() -> bool,
) -> Result<(), String> {
    let end = end.min(Instant::now() + START_LIMIT);
    while Instant::now() < end && !has_ended() {
        if is_alive(state).map_err(|error| error.message)? {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(10));
    }
    Err("its process has not started".into())
}

/// The process, `etcdprefix node timer`. Returns when there is nothing left to do, or another does it.
///
/// # Errors
/// If the folder can't be used.
pub fn run_timer(dir: &Path) -> Result<(), NodeError> {
    // Neither the login that started us nor a lack of memory may end us.
    let _ = setsid();
    let _ = fs::write("/proc/self/oom_score_adj", "-900");
    let Some(state) = State::existing(dir)? else { return Ok(()) };
    let path = state.timer_lock();
    let taken = Guard::take(&path, &format!("process {}", std::process::id()), LIFE_LIMIT);
    let Some(mut life) = taken.map_err(NodeError::io("lock", path))? else { return Ok(()) };
    let mut next = Instant::now();
    loop {
        match look(&state, next <= Instant::now()) {
            Ok(Look::Wait) => (),
            Ok(Look::Retry) => next = Instant::now() + RETRY,
            Ok(Look::Leave) => match leave(&state, life)? {
                None => return Ok(()),
                Some(again) => life = again,
            },
            // The disk may come back; giving up would leave the host asleep.
            Err(_) if dir.is_dir() => (),
            Err(_) => return Ok(()),
        }
        thread::sleep(POLL);
    }
}

enum Look {
    Wait,
    Retry,
    Leave,
}

fn look(state: &State, may_fire: bool) -> Result<Look, NodeError> {
    match state.read::<TimerFile>(Kept::Timer)? {
        None => Ok(Look::Leave),
        Some(timer) if may_fire && is_over(&timer) => fire(state),
        Some(_) => Ok(Look::Wait),
    }
}

fn is_over(timer: &TimerFile) -> bool {
    timer.deadline.since_ms(&Moment::now()) == 0
}

/// Wakes the host, unless somebody renewed, disarmed or fenced it before we had the lock.
fn fire(state: &State) -> Result<Look, NodeError> {
    let Some(guard) = state.try_lock_host("timer", POLL)? else { return Ok(Look::Wait) };
    if let Err(look) = due(state)? {
        return Ok(look);
    }
    drop(guard);
    // Nothing is saved or uploaded any more when the API server is back.
    cancel::stop(state, &[Task::Snapshot]);
    let Some(_guard) = state.try_lock_host("timer", POLL)? else { return Ok(Look::Wait) };
    match due(state)? {
        Ok(record) => wake_up(state, record),
        Err(look) => Ok(look),
    }
}

/// What is to be put back now, or else what to do. Under `host.lock`.
fn due(state: &State) -> Result<Result<Record, Look>, NodeError> {
    match state.read::<TimerFile>(Kept::Timer)? {
        None => return Ok(Err(Look::Leave)),
        Some(timer) if !is_over(&timer) => return Ok(Err(Look::Wait)),
        Some(_) => (),
    }
    // A fence that can't be read may be one.
    match (state.fence()?, state.record()?) {
        (None, Some(record)) => Ok(Ok(record)),
        _ => disarm(state).map(|()| Err(Look::Leave)),
    }
}

fn wake_up(state: &State, record: Record) -> Result<Look, NodeError> {
    let back = wake::put_back(&record);
    let outcome = match &back {
        Ok(back) => format!("the timer woke this host: {} are back", back.restored.join(", ")),
        Err(error) => format!("the timer could not wake this host: {}", error.message),
    };
    let at_ms = now_ms();
    let outcome = format!("{outcome} ({})", text_of(at_ms));
    // On a full disk the host wakes without a word about it.
    let _ = state.write(Kept::Fired, &Fired { run: record.run, at_ms, outcome });
    match back {
        Ok(_) => wake::forget(state).map(|()| Look::Leave),
        Err(_) => Ok(Look::Retry),
    }
}

/// Stops living only while nobody can arm the timer, who would take us for alive.
fn leave(state: &State, life: Guard) -> Result<Option<Guard>, NodeError> {
    if !state.dir().is_dir() {
        return Ok(None);
    }
    let Some(guard) = state.try_lock_host("timer", POLL)? else { return Ok(Some(life)) };
    if state.read::<TimerFile>(Kept::Timer)?.is_some() {
        return Ok(Some(life));
    }
    let _ = life.remove();
    // Of a host that was given back nothing is left, and this lock would be there because of us.
    if lock::is_free(state)? {
        let _ = guard.remove();
    }
    Ok(None)
}

impl Launcher {
    /// The program and its words for a hidden command.
    pub(crate) fn words(&self, command: &str, state: &Path) -> Vec<String> {
        let program = self.program.display().to_string();
        let state = state.display().to_string();
        let own = [command.to_owned(), "--state".to_owned(), state];
        [program].into_iter().chain(self.args_before.iter().cloned()).chain(own).collect()
    }

    /// To be spawned.
    pub(crate) fn command(&self, command: &str, state: &Path) -> Command {
        let words = self.words(command, state);
        // The running program can be started again even if its file is gone.
        let itself = Path::new("/proc/self/exe");
        let program = if self.program.exists() { &self.program } else { itself };
        let mut built = Command::new(program);
        built.arg0(&self.program).args(&words[1..]).current_dir("/");
        built.env_clear().envs(kept_variables());
        built
    }
}

#[cfg(test)]
#[path = "timer_tests.rs"]
mod tests;
