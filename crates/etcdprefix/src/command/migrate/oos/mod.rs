//! `migrate oos`.

mod parameters;
mod watch;

use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use etcdprefix_migrate::Error;
use etcdprefix_migrate::cloud::{Api, ApiError, ApiOptions, MAX_TEMPLATE_BYTES, client_token};
use etcdprefix_store::Environment;

use crate::args::migrate::oos::{
    OosApiArgs, OosCancelArgs, OosCommand, OosCreateArgs, OosStartArgs, OosWatchArgs,
};
use crate::args::{Format, Global};
use crate::command::Answer;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt;
use crate::output;
use crate::output::migrate::oos;
use crate::output::text;
use watch::{Until, Watch};

pub fn run(command: &OosCommand, global: Global) -> Result<Answer, Failure> {
    match command {
        OosCommand::Create(args) => create(args, global),
        OosCommand::Start(args) => start(args, global),
        OosCommand::Watch(args) => watch(args, global),
        OosCommand::Cancel(args) => cancel(args, global),
    }
}

fn open(args: &OosApiArgs) -> Result<Api, Failure> {
    let options = ApiOptions {
        region: args.region.clone(),
        ecs_endpoint: None,
        oos_endpoint: args.oos_endpoint.clone(),
        cacert: args.cacert.clone(),
        profile: args.profile.clone(),
        credentials: args.credentials.clone(),
    };
    Api::open(&options, &Environment::of_process()).map_err(|error| Failure::migration(&error))
}

fn failed(error: ApiError) -> Failure {
    Failure::migration(&Error::from(error))
}

/// Before a signal is seen.
const TICK: Duration = Duration::from_millis(100);

fn signals() -> Result<Arc<AtomicBool>, Failure> {
    interrupt::on_signals().map_err(|source| {
        Failure::new(Exit::Failed, format!("cannot handle signals: {source}"), None)
    })
}

/// `None` if a signal came first: then the work is left where it is.
async fn or_signal<T>(interrupted: &AtomicBool, work: impl Future<Output = T>) -> Option<T> {
    let signal = async {
        while !interrupted.load(Ordering::SeqCst) {
            tokio::time::sleep(TICK).await;
        }
    };
    tokio::select! {
        biased;
        done = work => Some(done),
        () = signal => None,
    }
}

fn create(args: &OosCreateArgs, global: Global) -> Result<Answer, Failure> {
    let (api, content) = (open(&args.api)?, template(&args.file)?);
    let name = &args.template_name;
    let made =
        crate::command::wait(async { api.create_template(name, &content).await.map_err(failed) })?;
    Ok(oos::made(&made, global.write_out).into())
}

fn template(file: &Path) -> Result<String, Failure> {
    let limit = MAX_TEMPLATE_BYTES as u64 + 1;
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        fs::File::open(file).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|source| Failure::migration(&Error::file("read", file)(source)))?;
    let unusable = |what: String| {
        let message = format!("{} {what}", text::path(file));
        Failure::new(
            Exit::Usage,
            message,
            Some("what `etcdprefix migrate render oos` prints".into()),
        )
    };
    if bytes.len() > MAX_TEMPLATE_BYTES {
        return Err(unusable(format!(
            "is over {MAX_TEMPLATE_BYTES} bytes, which no template may be"
        )));
    }
    String::from_utf8(bytes).map_err(|_| unusable("is no text".into()))
}

fn start(args: &OosStartArgs, global: Global) -> Result<Answer, Failure> {
    let (api, parameters) = (open(&args.api)?, parameters::of(args)?);
    let token = args.client_token.clone().unwrap_or_else(client_token);
    let (name, version) = (&args.template_name, args.template_version.as_deref());
    let description = "etcdprefix migrate oos start";
    let interrupted = signals()?;
    crate::command::wait(async {
        let started = api.start_execution(name, version, &parameters, description, &token);
        let id = match or_signal(&interrupted, started).await {
            Some(started) => started.map_err(|error| not_started(error, &token))?,
            None => return Err(unknown(Exit::Interrupted, "interrupted", &token)),
        };
        if !args.watch {
            return Ok(oos::started(&id, global.write_out).into());
        }
        // Before anything else can go wrong.
        match global.write_out {
            Format::Simple => output::print(&format!("{id}\n"))?,
            _ => output::diagnose(&format!("execution {id}")),
        }
        let until = Until::Ended { bundle: args.bundle.as_deref() };
        Watch::new(&api, &id, args.pace.interval.0, global)?.begun_here().run(until).await
    })
}

fn not_started(error: ApiError, token: &str) -> Failure {
    match error {
        ApiError::Unreachable(why) => unknown(Exit::Cloud, &why, token),
        error => failed(error),
    }
}

/// It may go on all the same, and the token finds it.
fn unknown(exit: Exit, why: &str, token: &str) -> Failure {
    let message = format!("{why}; whether it was started is unknown");
    let hint = format!("the same with --client-token {token}, which starts no second one");
    Failure::new(exit, message, Some(hint))
}

fn watch(args: &OosWatchArgs, global: Global) -> Result<Answer, Failure> {
    let api = open(&args.api)?;
    let until = match args.once {
        true => Until::Once,
        false => Until::Ended { bundle: args.bundle.as_deref() },
    };
    crate::command::wait(async {
        Watch::new(&api, &args.execution_id, args.pace.interval.0, global)?.run(until).await
    })
}

fn cancel(args: &OosCancelArgs, global: Global) -> Result<Answer, Failure> {
    let api = open(&args.api)?;
    let id = &args.execution_id;
    crate::command::wait(async { api.cancel_execution(id).await.map_err(failed) })?;
    Ok(oos::cancelled(id, global.write_out).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_that_nobody_answered_tells_its_token() {
        let failure = not_started(ApiError::Unreachable("no answer".into()), "t0ken");
        assert_eq!(failure.exit, Exit::Cloud);
        assert!(failure.to_string().contains("--client-token t0ken"), "{failure}");
        let throttled = not_started(ApiError::Throttled("too many".into()), "t0ken");
        assert!(!throttled.to_string().contains("t0ken"), "{throttled}");
    }
}
