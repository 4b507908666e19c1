//! One command on one instance, until it has ended.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::super::HostError;
use super::pace::{Pace, Pauses};
use super::refusal::{of_api, of_end};
use super::seal::fresh_id;
use crate::cloud::{Api, ApiError, Invocation, MAX_COMMAND_BYTES, RunCommand, State};

/// The API takes no shorter limit.
const LEAST_SECONDS: u64 = 10;
/// So long what is under way may not be heard of: after that the host is lost, as over a connection.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);
/// For one answer to whether a command has ended.
const LOOK_LIMIT: Duration = Duration::from_secs(10);
/// What runs for so long is asked for once more, and again so much later.
const AGAIN: [Duration; 3] =
    [Duration::from_secs(20), Duration::from_secs(40), Duration::from_secs(80)];
/// For commands to be ended at our own end.
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// What is told of an output.
const TOLD_CHARS: usize = 300;

/// Who calls, and which instance.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    pub api: &'a Api,
    pub pace: &'a Pace,
    pub region: &'a str,
    pub instance: &'a str,
    pub stops: &'a Stops,
    pub seen: &'a Seen,
}

/// How far the cloud says that a command is.
#[derive(Default)]
pub struct Seen(Mutex<Option<State>>);

impl Seen {
    fn note(&self, state: State) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(state);
    }

    /// That nobody waits any more.
    pub fn out_of_time(&self, limit: Duration) -> HostError {
        let seen = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let how_far = match seen {
            None => "the cloud has not taken the command",
            Some(State::Pending) => {
                "the command was never begun there (Pending); try: `systemctl status \
                 aliyun.service` there"
            }
            Some(State::Running) => "the command runs there, or its result was lost (Running)",
            Some(_) => "its reply could not be fetched",
        };
        HostError::Unreachable(format!("{}: {how_far}", HostError::OutOfTime(limit)))
    }
}

/// Commands that are being ended.
#[derive(Default)]
pub struct Stops(Mutex<Vec<JoinHandle<()>>>);

impl Stops {
    fn begin(&self, runtime: &Handle, stop: impl Future<Output = ()> + Send + 'static) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(runtime.spawn(stop));
    }

    /// Waits for them.
    pub async fn end(&self) {
        let stops = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let all = futures_util::future::join_all(stops);
        // If they can't be ended, their own limit does it.
        let _ = tokio::time::timeout(STOP_LIMIT, all).await;
    }
}

/// What a command that was run said.
pub struct Said {
    pub exit_code: Option<i64>,
    /// Both of its outputs.
    pub output: Vec<u8>,
    /// Which were cut off.
    pub dropped_bytes: u64,
}

impl Said {
    /// The end of it, in one line.
    pub fn told(&self) -> String {
        let text = String::from_utf8_lossy(&self.output);
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let surplus = words.chars().count().saturating_sub(TOLD_CHARS);
        let end: String = words.chars().skip(surplus).collect();
        match self.exit_code {
            Some(code) => format!("exit code {code}: {end}"),
            None => end,
        }
    }
}

impl Caller<'_> {
    /// Runs a script that may run twice, at once. If this is dropped, it goes on there if it was begun; at its
    /// limit what it has started goes on.
    pub async fn done(&self, name: &str, script: &str, limit: Duration) -> Result<Said, HostError> {
        self.end_of(Manner::Again, name, script, limit).await
    }

    /// Runs a script once; if this is dropped, or at its limit, it is ended there with all that it has started.
    pub async fn stoppable(
        &self,
        name: &str,
        script: &str,
        limit: Duration,
    ) -> Result<Said, HostError> {
        self.end_of(Manner::Stoppable, name, script, limit).await
    }

    async fn begin(
        &self,
        manner: Manner,
        name: &str,
        script: &str,
        limit: Duration,
    ) -> Result<UnderWay<'_>, HostError> {
        let token = fresh_id();
        let command = self.command(name, script, limit, &token)?;
        self.pace.turn().await;
        let begun = match manner {
            Manner::Again => self.api.run_command_alone(&command).await,
            Manner::Stoppable => self.api.run_command(&command).await,
        };
        let invoke_id = begun.map_err(|error| self.failed(&error))?;
        let (state, heard) = (State::Pending, Instant::now());
        self.seen.note(state);
        Ok(UnderWay { caller: *self, manner, invoke_id, state, heard })
    }

    /// An agent that is started anew forgets to tell what has become of its commands, so what takes long is
    /// asked for beside itself: the host waits for the first, and gives its reply.
    async fn end_of(
        &self,
        manner: Manner,
        name: &str,
        script: &str,
        limit: Duration,
    ) -> Result<Said, HostError> {
        let mut all = vec![self.begin(manner, name, script, limit).await?];
        let (mut pauses, mut again, mut since) =
            (Pauses::default(), manner.again().iter(), Instant::now());
        let mut wait = again.next();
        loop {
            pauses.next().await;
            all.rotate_left(1);
            let Some(one) = all.first_mut() else { continue };
            match one.look(limit).await {
                Ok(Some(said)) => return Ok(said),
                Ok(None) => {}
                Err(why) if all.len() == 1 => return Err(why),
                Err(_) => drop(all.remove(0)),
            }
            let is_running = all.iter().all(|one| one.state == State::Running);
            if is_running && wait.is_some_and(|wait| since.elapsed() > *wait) {
                // If this fails, what is under way may still answer.
                all.extend(self.begin(manner, name, script, limit).await);
                (wait, since) = (again.next(), Instant::now());
            }
        }
    }

    fn failed(&self, error: &ApiError) -> HostError {
        if matches!(error, ApiError::Throttled(_)) {
            self.pace.slow_down();
        }
        of_api(error, self.instance, self.region)
    }

    pub(super) fn command<'a>(
        &'a self,
        name: &'a str,
        script: &'a str,
        limit: Duration,
        client_token: &'a str,
    ) -> Result<RunCommand<'a>, HostError> {
        let sent_bytes = script.len().div_ceil(3) * 4;
        if sent_bytes > MAX_COMMAND_BYTES {
            return Err(HostError::Refused(format!(
                "the command would have {sent_bytes} bytes, and the API takes {MAX_COMMAND_BYTES}; \
                 try: shorter paths and lists in the configuration"
            )));
        }
        Ok(RunCommand {
            name,
            content: script,
            instance_id: self.instance,
            timeout_seconds: limit.as_secs().max(LEAST_SECONDS),
            client_token,
        })
    }
}

/// What becomes of a command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// It may be run beside itself, and goes on if nobody waits.
    Again,
    /// It is run once, and ended if nobody waits.
    Stoppable,
}

impl Manner {
    /// After how long it is asked for once more.
    fn again(self) -> &'static [Duration] {
        match self {
            Self::Again => &AGAIN,
            Self::Stoppable => &[],
        }
    }
}

/// A command that the cloud has taken.
struct UnderWay<'a> {
    caller: Caller<'a>,
    manner: Manner,
    invoke_id: String,
    state: State,
    heard: Instant,
}

impl UnderWay<'_> {
    /// `None` while it goes on. An API that is away for a moment is no end: what runs on the host goes on
    /// meanwhile.
    async fn look(&mut self, limit: Duration) -> Result<Option<Said>, HostError> {
        let Caller { api, pace, instance, .. } = self.caller;
        pace.turn().await;
        let patience = SILENCE_LIMIT.saturating_sub(self.heard.elapsed()).min(LOOK_LIMIT);
        let why = match api.within(patience).invocation(&self.invoke_id, instance).await {
            Ok(Some(invocation)) => {
                (self.heard, self.state) = (Instant::now(), invocation.state);
                self.caller.seen.note(invocation.state);
                return judge(invocation, limit);
            }
            Ok(None) => HostError::Unreachable(format!("nothing is known of {}", self.invoke_id)),
            Err(error @ (ApiError::Unreachable(_) | ApiError::Throttled(_))) => {
                self.caller.failed(&error)
            }
            Err(error) => return Err(self.caller.failed(&error)),
        };
        match self.heard.elapsed() >= SILENCE_LIMIT {
            true => Err(why),
            false => Ok(None),
        }
    }
}

/// `None` while it goes on.
fn judge(invocation: Invocation, limit: Duration) -> Result<Option<Said>, HostError> {
    let lost = |why: String| Err(HostError::Unreachable(why));
    match invocation.state {
        State::Pending | State::Running => Ok(None),
        State::Success | State::Failed => Ok(Some(Said {
            exit_code: invocation.exit_code,
            output: invocation.output,
            dropped_bytes: invocation.dropped_bytes,
        })),
        State::Timeout => {
            lost(format!("{}, so the cloud gave up on it (Timeout)", HostError::OutOfTime(limit)))
        }
        State::Stopped => {
            lost("the command was stopped by somebody; what it began may go on".into())
        }
        State::Error => {
            let (code, info) = (invocation.error_code, invocation.error_info);
            Err(of_end(&code.unwrap_or_default(), &info.unwrap_or_default()))
        }
    }
}

/// Nobody waits for it any more. What was not begun on the instance must not begin later: the cloud hands
/// it over whenever the agent comes back.
impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let is_to_stop = self.state == State::Pending
            || (self.state == State::Running && self.manner == Manner::Stoppable);
        let (true, Ok(runtime)) = (is_to_stop, Handle::try_current()) else { return };
        let (api, instance) = (self.caller.api.clone(), self.caller.instance.to_owned());
        let invoke_id = std::mem::take(&mut self.invoke_id);
        self.caller.stops.begin(&runtime, async move {
            let _ = api.stop_invocation(&invoke_id, &instance).await;
        });
    }
}
