//! A step that runs on if its caller is gone, and is done once however often it is called.
//!
//! ```text
//! caller -- spawns --> worker: takes steps/ID.lock, works, writes steps/ID.reply, prints the reply
//!      \_ second caller: finds the reply, or waits while the lock is held
//! ```

use std::fs::DirBuilder;
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_current_process_group, setsid};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::{NodeError, NodeErrorKind};
use crate::node::cancel::Task;
use crate::node::guard::{self, Guard};
use crate::node::process::{collect, step_variables};
use crate::node::state::State;
use crate::node::{Context, disk, step};
use crate::protocol::{Call, Reply, Request, SleepRequest};

const POLL: Duration = Duration::from_millis(50);
/// Looks at a lock take only moments.
const LOCK_LIMIT: Duration = Duration::from_secs(2);
/// The worker ends itself at its limit; so much later it is given up.
const GRACE: Duration = Duration::from_secs(15);

/// The files of a step.
pub(crate) struct Files {
    pub(crate) lock: PathBuf,
    reply: PathBuf,
}

/// In place of the request, in the reply to a step that is not to be begun.
const ANY_REQUEST: &str = "any";

/// What stays of a step. Requests that are answered with secrets have none.
#[derive(Serialize, Deserialize)]
struct Done {
    request_sha256: String,
    reply: Reply,
}

impl Files {
    pub(crate) fn of(state: &State, id: &str) -> Self {
        let file = |end: &str| state.steps().join(format!("{id}.{end}"));
        Self { lock: file("lock"), reply: file("reply") }
    }

    /// The step's result, if it has one.
    fn reply(&self, request: &Request) -> Result<Option<Reply>, NodeError> {
        let bytes = disk::read_bounded(&self.reply).map_err(NodeError::io("read", &self.reply))?;
        let Some(bytes) = bytes else { return Ok(None) };
        let done: Done = serde_json::from_slice(&bytes)
            .map_err(io::Error::from)
            .map_err(NodeError::io("understand", &self.reply))?;
        if done.request_sha256 != ANY_REQUEST && done.request_sha256 != digest(request)? {
            let why = format!("{} is the result of another request", self.reply.display());
            return Err(NodeError::new(NodeErrorKind::Usage, why).try_("use an id of its own"));
        }
        Ok(Some(done.reply))
    }

    /// The same, unless the host is not as it was left: what was woken must sleep again.
    fn current(&self, request: &Request, state: &State) -> Result<Option<Reply>, NodeError> {
        let Some(reply) = self.reply(request)? else { return Ok(None) };
        let is_done = matches!(reply, Reply::Done(_));
        let is_current = match request {
            Request::Sleep(SleepRequest { owner, .. }) if is_done => {
                let sleeps = state.record()?.is_some_and(|record| record.run == owner.run);
                sleeps && state.fired(&owner.run)?.is_none()
            }
            Request::Wake(_) if is_done => state.record()?.is_none(),
            _ => true,
        };
        if !is_current {
            disk::remove(&self.reply).map_err(NodeError::io("remove", &self.reply))?;
        }
        Ok(is_current.then_some(reply))
    }

    fn keep(&self, request: &Request, reply: Reply) -> Result<(), NodeError> {
        self.write(&Done { request_sha256: digest(request)?, reply })
    }

    /// Whoever comes with this step from now on is refused. Under the step's lock.
    pub(crate) fn forbid(&self, error: NodeError) -> Result<(), NodeError> {
        let exists = disk::exists(&self.reply).map_err(NodeError::io("look at", &self.reply))?;
        let reply = Reply::Failed(error);
        match exists {
            true => Ok(()),
            false => self.write(&Done { request_sha256: ANY_REQUEST.into(), reply }),
        }
    }

    fn write(&self, done: &Done) -> Result<(), NodeError> {
        let bytes = serde_json::to_vec(done).map_err(io::Error::from);
        let kept = bytes.and_then(|bytes| disk::write_whole(&self.reply, &bytes));
        kept.map_err(NodeError::io("write", &self.reply))
    }

    fn is_running(&self) -> Result<bool, NodeError> {
        guard::is_held(&self.lock).map_err(NodeError::io("look at", &self.lock))
    }
}

/// Who asks doesn't count, nor the environment: a run that is resumed asks from another process, with
/// fresh credentials.
fn digest(request: &Request) -> Result<String, NodeError> {
    let value = serde_json::to_value(request);
    let mut value =
        value.map_err(|error| NodeError::new(NodeErrorKind::Failed, error.to_string()))?;
    let body = value.as_object_mut().and_then(|request| request.values_mut().next());
    if let Some(by) = body.and_then(|body| body.pointer_mut("/owner/by")) {
        *by = serde_json::Value::Null;
    }
    Ok(disk::sha256(value.to_string().as_bytes()))
}

/// The caller's side: the result, whoever gets it.
pub(crate) fn run(call: &Call, context: &Context) -> Result<Reply, NodeError> {
    let state = State::open(&context.state)?;
    make_folder(&state)?;
    let files = Files::of(&state, &call.id);
    let patience = Duration::from_secs(call.limit_seconds) + GRACE;
    if let Some(reply) = files.current(&call.request, &state)? {
        return Ok(reply);
    }
    if files.is_running()? {
        return attach(call, &files, context, patience);
    }
    let mut worker = Worker::spawn(call, context, &state)?;
    match worker.reply(context, patience)? {
        Some(reply) => Ok(reply),
        // It found another at work, or that one done.
        None => attach(call, &files, context, patience),
    }
}

pub(crate) fn make_folder(state: &State) -> Result<(), NodeError> {
    let steps = state.steps();
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&steps);
    made.map_err(NodeError::io("make the folder", &steps))
}

/// Waits for a worker of somebody else.
fn attach(
    call: &Call,
    files: &Files,
    context: &Context,
    patience: Duration,
) -> Result<Reply, NodeError> {
    let begun = Instant::now();
    while begun.elapsed() < patience {
        // In this order: it may write its reply and end between the two.
        let is_running = files.is_running()?;
        if let Some(reply) = files.reply(&call.request)? {
            return Ok(reply);
        }
        if !is_running {
            return Err(broken_off());
        }
        goes_on(context)?;
        thread::sleep(POLL);
    }
    Err(no_end(call.limit_seconds))
}

/// Only the wait can be interrupted here; the worker is ended by `cancel`.
fn goes_on(context: &Context) -> Result<(), NodeError> {
    context
        .check_interrupted()
        .map_err(|error| error.try_("the step goes on: cancel it, or call again"))
}

fn broken_off() -> NodeError {
    let why = "the step's process ended without a result: killed, or out of memory";
    NodeError::new(NodeErrorKind::Failed, why).try_("call it again: what is done is found done")
}

fn no_end(limit_seconds: u64) -> NodeError {
    let why = format!("the step did not end, though its limit of {limit_seconds} s is over");
    NodeError::new(NodeErrorKind::OutOfTime, why).try_("look at the host: a disk that hangs?")
}

/// The process of a step, as its parent sees it.
struct Worker {
    child: Child,
    output: Receiver<String>,
    limit_seconds: u64,
}

impl Worker {
    fn spawn(call: &Call, context: &Context, state: &State) -> Result<Self, NodeError> {
        let failed = |error: io::Error| {
            NodeError::new(
                NodeErrorKind::Failed,
                format!("cannot start the step's process: {error}"),
            )
        };
        let text =
            Zeroizing::new(serde_json::to_vec(call).map_err(io::Error::from).map_err(failed)?);
        let mut command = context.launcher.command("work", state.dir());
        if let Some(manifests) = &context.manifests {
            command.arg("--manifests").arg(manifests);
        }
        command.envs(step_variables());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(failed)?;
        // Closed at the end of the line: without its end the worker takes nothing.
        child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(&text)).map_err(failed)?;
        let none = || failed(io::Error::other("no stdout"));
        let output = collect(child.stdout.take().ok_or_else(none)?);
        Ok(Self { child, output, limit_seconds: call.limit_seconds })
    }

    /// `None` if it left the work to another.
    fn reply(&mut self, context: &Context, patience: Duration) -> Result<Option<Reply>, NodeError> {
        let begun = Instant::now();
        let text = loop {
            // In this order: what it prints last is in the pipe before it ends.
            let has_ended = !matches!(self.child.try_wait(), Ok(None));
            match self.output.recv_timeout(POLL) {
                Ok(text) => break text,
                Err(RecvTimeoutError::Disconnected) => break String::new(),
                // Somebody else has its pipe; what it found is in the file.
                Err(RecvTimeoutError::Timeout) if has_ended => break String::new(),
                Err(RecvTimeoutError::Timeout) if begun.elapsed() > patience => {
                    return Err(no_end(self.limit_seconds));
                }
                Err(RecvTimeoutError::Timeout) => goes_on(context)?,
            }
        };
        let _ = self.child.wait();
        Ok(serde_json::from_str(&text).ok())
    }
}

/// The process of a step, `etcdprefix node work`: reads the call, and works whether or not anybody
/// waits for it. At its limit it ends itself with all of its children.
///
/// # Errors
/// If the call can't be read, or the folder not be used.
pub fn work(context: &Context, stdin: impl Read, mut stdout: impl Write) -> Result<(), NodeError> {
    let _ = setsid();
    let call = step::read(stdin)?;
    let Some(state) = State::existing(&context.state)? else { return Ok(()) };
    let files = Files::of(&state, &call.id);
    let holder = Task::holder(Task::of(&call.request));
    let taken = Guard::take(&files.lock, &holder, LOCK_LIMIT);
    let Some(_guard) = taken.map_err(NodeError::io("lock", &files.lock))? else { return Ok(()) };
    if files.current(&call.request, &state)?.is_some() {
        return Ok(());
    }
    let request = call.request.clone();
    let reply = step::within_limit(call, context);
    let line = serde_json::to_vec(&reply).unwrap_or_default();
    let is_over = matches!(&reply, Reply::Failed(error) if error.kind == NodeErrorKind::OutOfTime);
    // On a full disk only a caller who waits learns of it; whoever calls again finds it done.
    let _ = files.keep(&request, reply);
    let _ = stdout.write_all(&line).and_then(|()| stdout.flush());
    if is_over {
        let _ = kill_current_process_group(Signal::KILL);
    }
    Ok(())
}

/// Removes what steps left that don't run any more.
pub(crate) fn forget(state: &State) -> Result<(), NodeError> {
    let steps = state.steps();
    let entries = match std::fs::read_dir(&steps) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(NodeError::io("read the folder", &steps))?,
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let is_running = guard::is_held(&path.with_extension("lock")).unwrap_or(true);
        if !is_running {
            disk::remove(&path).map_err(NodeError::io("remove", &path))?;
        }
    }
    // Stays if a step still runs.
    let _ = std::fs::remove_dir(&steps);
    Ok(())
}
