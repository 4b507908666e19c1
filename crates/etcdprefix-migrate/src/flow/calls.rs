//! One step on one host: asked for until it answers, and never done twice.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use zeroize::Zeroizing;

use super::Setup;
use super::session::Session;
use crate::error::{Error, NodeError, NodeErrorKind, Result};
use crate::host::{Host, HostError, Output, Work};
use crate::protocol::{Call, Reply, Request, Response};

/// Between a step's own limit on the host and the end of our patience.
pub const SLACK: Duration = Duration::from_secs(30);
/// Before a host that was lost is tried again, longer each time.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// For a step to end that was asked to: sleep puts everything back first.
const CANCEL_LIMIT_SECONDS: u64 = 45;
/// How often an interruption is looked for.
const TICK: Duration = Duration::from_millis(50);

/// A step to be done on a host.
pub struct Step {
    /// As the journal calls it.
    pub name: &'static str,
    /// What makes it another step than the one of the same name before.
    pub nonce: String,
    /// Its limit on the host.
    pub limit: Duration,
    /// How long a host that is lost meanwhile is looked for again, beyond the limit; `None` to give up at once.
    pub patience: Option<Duration>,
    /// Whether an interruption ends it.
    pub stoppable: bool,
    /// What to do.
    pub request: Request,
}

impl Step {
    /// One that is given up with its host, and that an interruption ends.
    pub fn new(name: &'static str, limit_seconds: u64, request: Request) -> Self {
        let limit = Duration::from_secs(limit_seconds);
        Self { name, nonce: String::new(), limit, patience: None, stoppable: true, request }
    }

    /// For the time when the control plane sleeps: a host that is lost may come back.
    #[must_use]
    pub fn patient(self) -> Self {
        Self { patience: Some(SLACK), ..self }
    }

    /// Goes on whatever signals come.
    #[must_use]
    pub fn unstoppable(self) -> Self {
        Self { stoppable: false, ..self }
    }

    /// Another step than the last one of this name.
    #[must_use]
    pub fn once_more(self, nonce: impl Into<String>) -> Self {
        Self { nonce: nonce.into(), ..self }
    }

    /// The same id is the same step on the host.
    pub fn id(&self, session: &Session) -> String {
        let nonce = if self.nonce.is_empty() { "" } else { "." };
        format!("{}.{}.{}{nonce}{}", session.run(), session.attempt(), self.name, self.nonce)
    }
}

impl Session<'_> {
    /// Does a step, and gives its answer.
    pub async fn ask(&self, host: &dyn Host, step: &Step) -> Result<Response> {
        if step.stoppable {
            self.go_on()?;
        }
        let id = step.id(self);
        let asked = async {
            let call = self.call(&id, step)?;
            self.until_it_answers(host, step, &call).await
        };
        tokio::select! {
            answer = asked => answer,
            () = self.interruption(), if step.stoppable => {
                if host.was_used() {
                    // Whether it could be ended is found out by what comes next: everything is put back.
                    let _ = self.cancel(host, id, None).await;
                }
                Err(Error::Interrupted)
            }
        }
    }

    /// A step that was told to end on its host, and not by us, is no interruption of ours.
    fn of_own(&self, host: &dyn Host, error: NodeError) -> Error {
        match error.kind {
            NodeErrorKind::Interrupted if self.is_interrupted() => Error::Interrupted,
            _ => of_step(host, error),
        }
    }

    async fn interruption(&self) {
        while !self.is_interrupted() {
            sleep(TICK).await;
        }
    }

    fn call(&self, id: &str, step: &Step) -> Result<Work> {
        let call = Call {
            id: id.into(),
            limit_seconds: step.limit.as_secs(),
            request: step.request.clone(),
            environment: self.environment_for(&step.request),
        };
        work(self.setup, &call, step.limit + SLACK)
    }

    async fn until_it_answers(
        &self,
        host: &dyn Host,
        step: &Step,
        work: &Work,
    ) -> Result<Response> {
        let end = step.patience.map(|patience| Instant::now() + step.limit + patience);
        let mut pause = PAUSE;
        loop {
            let why = match host.run(work).await.and_then(reply) {
                Ok(Reply::Done(response)) => return Ok(*response),
                Ok(Reply::Failed(error)) => return Err(self.of_own(host, error)),
                Err(why) => why,
            };
            // What the cloud refuses now, such as a key that has just ended, may be mended meanwhile.
            let lost = matches!(why, HostError::Unreachable(_) | HostError::Cloud(_));
            if !lost || end.is_none_or(|end| Instant::now() + pause > end) {
                return Err(unreachable(host, &why));
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Ends a step, and makes sure that it does not begin later.
    ///
    /// # Errors
    /// Then it may still go on.
    pub async fn cancel(
        &self,
        host: &dyn Host,
        id: String,
        patience: Option<Duration>,
    ) -> Result<()> {
        let step = Step::new("cancel", CANCEL_LIMIT_SECONDS, Request::Cancel { id });
        let step = Step { patience, ..step.once_more(self.moment()) };
        let work = self.call(&step.id(self), &step)?;
        self.until_it_answers(host, &step, &work).await.map(drop)
    }
}

/// The run of the binary that a call is.
pub fn work(setup: &Setup, call: &Call, limit: Duration) -> Result<Work> {
    let json = serde_json::to_vec(call).map_err(|error| Error::Usage(error.to_string()))?;
    let state = setup.config.node_state.display().to_string();
    let args = ["node", "step", "--state", &state].map(str::to_owned).into();
    Ok(Work { args, stdin: Zeroizing::new(json), limit })
}

/// A reply is one line of JSON; what ends without one did not understand the call.
pub fn reply(output: Output) -> Result<Reply, HostError> {
    serde_json::from_slice(&output.stdout).map_err(|_| {
        let code = output.code.map_or("a signal".into(), |code| format!("exit code {code}"));
        HostError::Binary(format!("no reply, {code}: {}", output.stderr))
    })
}

/// That a host can't be used, as an error of the migration.
pub fn unreachable(host: &dyn Host, why: &HostError) -> Error {
    match why {
        HostError::Cloud(why) => Error::Cloud(format!("{}: {why}", host.name())),
        why => Error::Unreachable { host: host.name().into(), why: why.to_string() },
    }
}

fn of_step(host: &dyn Host, error: NodeError) -> Error {
    match error.kind {
        NodeErrorKind::Fenced => Error::HandedOut(format!("{}: {error}", host.name())),
        NodeErrorKind::Written => Error::Written(format!("{}: {error}", host.name())),
        _ => Error::Step { host: host.name().into(), error },
    }
}

/// That a host answered something else than it was asked for.
pub fn unexpected(host: &dyn Host) -> Error {
    let why = "it answered something else than it was asked for: another version?".into();
    Error::Unreachable { host: host.name().into(), why }
}

/// One question, once, outside of any run.
pub async fn ask_once(
    setup: &Setup,
    host: &dyn Host,
    limit_seconds: u64,
    request: Request,
) -> Result<Response> {
    let id = format!("ask.{}", std::process::id());
    let call = Call { id, limit_seconds, request, environment: Default::default() };
    let work = work(setup, &call, Duration::from_secs(limit_seconds))?;
    match host.run(&work).await.and_then(reply) {
        Ok(Reply::Done(response)) => Ok(*response),
        Ok(Reply::Failed(error)) => Err(of_step(host, error)),
        Err(why) => Err(unreachable(host, &why)),
    }
}
