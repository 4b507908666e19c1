//! How an execution is, until it ends.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use etcdprefix_migrate::cloud::{Api, ApiError, Execution, TaskExecution};
use etcdprefix_migrate::journal::write_private;
use etcdprefix_store::Retry;
use indicatif::{ProgressBar, ProgressStyle};

use super::{failed, or_signal, signals};
use crate::args::Global;
use crate::command::Answer;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::output::migrate::oos;
use crate::output::text::path;

/// Of the line that is drawn anew.
const TICK: Duration = Duration::from_millis(100);
/// Looking more often would only be throttled.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(50);
/// For an execution that was begun a moment ago to be in the service's lists.
const APPEARS_WITHIN: Duration = Duration::from_secs(60);
/// So long an execution that is known is looked for, though nobody answers: it goes on meanwhile.
const UNHEARD_LIMIT: Duration = Duration::from_secs(1800);
/// For one look at an execution that is known, which is followed by others.
const LOOK_LIMIT: Duration = Duration::from_secs(30);
const LOOK_RETRY: Retry = Retry {
    times: 1,
    first_pause: Duration::from_millis(300),
    longest_pause: Duration::from_secs(1),
};

/// What ends the watching.
#[derive(Clone, Copy)]
pub enum Until<'a> {
    /// One look.
    Once,
    /// The execution's end; its bundle goes into that file.
    Ended { bundle: Option<&'a Path> },
}

/// Looks at one execution.
pub struct Watch<'a> {
    api: &'a Api,
    id: &'a str,
    interval: Duration,
    global: Global,
    appears_within: Duration,
    is_known: bool,
    interrupted: Arc<AtomicBool>,
    show: Show,
}

impl<'a> Watch<'a> {
    pub fn new(
        api: &'a Api,
        id: &'a str,
        interval: Duration,
        global: Global,
    ) -> Result<Self, Failure> {
        let (interrupted, show) = (signals()?, Show::new(global.quiet));
        let (appears_within, is_known) = (Duration::ZERO, false);
        let interval = interval.max(SHORTEST_INTERVAL);
        Ok(Self { api, id, interval, global, appears_within, is_known, interrupted, show })
    }

    /// Its service may not list it yet.
    pub fn begun_here(self) -> Self {
        Self { appears_within: APPEARS_WITHIN, is_known: true, ..self }
    }

    pub async fn run(mut self, until: Until<'_>) -> Result<Answer, Failure> {
        let execution = self.look(until).await?;
        self.show.end();
        let (mut failures, mut written) = (Vec::new(), None);
        // Before anything else can go wrong.
        if let (Until::Ended { bundle: Some(file) }, "Success") = (until, &*execution.status) {
            match write(&execution, file) {
                Ok(()) => written = Some(file),
                Err(failure) => failures.push(failure),
            }
        }
        let tasks = self.failed_tasks(&execution).await;
        failures.splice(..0, self.judged(&execution, &tasks));
        let text = oos::watched(&execution, &tasks, written, self.global.write_out);
        Ok(Answer { text, failures })
    }

    async fn look(&mut self, until: Until<'_>) -> Result<Execution, Failure> {
        let (begun, mut heard) = (Instant::now(), Instant::now());
        let once = matches!(until, Until::Once);
        loop {
            let Some(seen) = or_signal(&self.interrupted, self.seen()).await else {
                return Err(self.left());
            };
            match seen {
                Ok(Some(execution)) if once || execution.is_final() => return Ok(execution),
                Ok(Some(execution)) => {
                    (heard, self.is_known) = (Instant::now(), true);
                    self.show.see(&execution);
                }
                Ok(None) if begun.elapsed() < self.appears_within => heard = Instant::now(),
                Ok(None) => return Err(self.unknown()),
                Err(error) if self.is_passing(&error) && heard.elapsed() < UNHEARD_LIMIT => {
                    self.show.tell(&format!("{} can't be seen now: {error}", self.id));
                }
                Err(error) => return Err(self.unseen(error, until)),
            }
            let pause = tokio::time::sleep(self.interval);
            if or_signal(&self.interrupted, pause).await.is_none() {
                return Err(self.left());
            }
        }
    }

    async fn seen(&self) -> Result<Option<Execution>, ApiError> {
        if !self.is_known {
            return self.api.execution(self.id).await;
        }
        self.api.within(LOOK_LIMIT).with_retry(LOOK_RETRY).execution(self.id).await
    }

    fn is_passing(&self, error: &ApiError) -> bool {
        use ApiError::{NoCredentials, Throttled, Unreachable};
        self.is_known && matches!(error, Unreachable(_) | Throttled(_) | NoCredentials(_))
    }

    /// Whatever it is that fails here, the execution knows nothing of it.
    fn unseen(&self, error: ApiError, until: Until<'_>) -> Failure {
        let (id, region) = (self.id, self.api.region());
        let advice = error.advice().map(|advice| format!("{advice}; then ")).unwrap_or_default();
        let bundle = match until {
            Until::Ended { bundle: Some(file) } => format!(" --bundle {}", path(file)),
            _ => String::new(),
        };
        let again = "etcdprefix migrate oos watch";
        let hint = format!(
            "{advice}`{again} --region {region} --execution-id {id}{bundle}`, which goes on"
        );
        Failure::new(Exit::Cloud, format!("{id} can't be seen: {error}"), Some(hint))
    }

    fn left(&self) -> Failure {
        self.show.end();
        let (id, region) = (self.id, self.api.region());
        let message = format!("interrupted; {id} goes on");
        let hint = format!("`etcdprefix migrate oos cancel --region {region} --execution-id {id}`");
        Failure::new(Exit::Interrupted, message, Some(hint))
    }

    fn unknown(&self) -> Failure {
        let message = format!("there is no execution {} in {}", self.id, self.api.region());
        Failure::new(Exit::Cloud, message, Some("another --region or --execution-id".into()))
    }

    /// What can't be listed is told, and no more: how it ended is known.
    async fn failed_tasks(&self, execution: &Execution) -> Vec<TaskExecution> {
        // One that succeeded may have failed at first, and have rolled back.
        if execution.status != "Failed" && execution.counters.of("Failed") == 0 {
            return Vec::new();
        }
        let why = match or_signal(&self.interrupted, self.api.task_executions(self.id)).await {
            Some(Ok(mut tasks)) => {
                tasks.retain(|task| task.status == "Failed");
                return tasks;
            }
            Some(Err(error)) => failed(error).to_string(),
            None => "interrupted".into(),
        };
        output::diagnose(&format!("warning: the tasks of {} can't be listed: {why}", self.id));
        Vec::new()
    }

    fn judged(&self, execution: &Execution, tasks: &[TaskExecution]) -> Option<Failure> {
        let id = self.id;
        let at = tasks.first().map(|task| format!(" at its task {}", task.name));
        let at = at.unwrap_or_default();
        let (message, hint) = match execution.status.as_str() {
            "Failed" => (format!("{id} failed{at}"), AFTER_FAILURE),
            "Cancelled" => (format!("{id} was cancelled"), AFTER_FAILURE),
            "Success" if execution.counters.of("Failed") > 0 => {
                (format!("{id} ended as Success, but failed{at} before"), AFTER_ROLLBACK)
            }
            _ => return None,
        };
        Some(Failure::new(Exit::Engine, message, Some(hint.into())))
    }
}

const AFTER_FAILURE: &str =
    "the template's rollback if hosts sleep; the execution in the console shows its commands";
const AFTER_ROLLBACK: &str = "the execution in the console: if its template rolls back what fails, the \
                              control plane is awake, and a bundle of it must not be used";

/// With mode 0600, whole or not at all.
fn write(execution: &Execution, file: &Path) -> Result<(), Failure> {
    let written =
        execution.bundle().and_then(|bundle| write_private(file, format!("{bundle}\n").as_bytes()));
    written.map_err(|error| Failure::migration(&error))
}

/// What is seen meanwhile, on stderr: one line that is drawn anew, or a line for each change.
enum Show {
    Nothing,
    Terminal(ProgressBar),
    Lines { last: String },
}

impl Show {
    fn new(is_quiet: bool) -> Self {
        match (is_quiet, std::io::stderr().is_terminal()) {
            (true, _) => Self::Nothing,
            (false, false) => Self::Lines { last: String::new() },
            (false, true) => {
                let style = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}");
                let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
                let bar = ProgressBar::new_spinner().with_style(style);
                bar.enable_steady_tick(TICK);
                Self::Terminal(bar)
            }
        }
    }

    fn see(&mut self, execution: &Execution) {
        self.tell(&oos::progress(execution));
    }

    fn tell(&mut self, line: &str) {
        match self {
            Self::Nothing => {}
            Self::Terminal(bar) => bar.set_message(line.to_owned()),
            Self::Lines { last } if last == line => {}
            Self::Lines { last } => {
                output::diagnose(line);
                line.clone_into(last);
            }
        }
    }

    fn end(&self) {
        if let Self::Terminal(bar) = self {
            bar.finish_and_clear();
        }
    }
}
