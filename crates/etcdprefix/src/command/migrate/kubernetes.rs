//! `migrate render kubernetes`: Jobs for snapshots in a bucket; and `migrate rewrite`, what they do.

use std::fs;
use std::io::{Read, stdin};
use std::path::Path;

use etcdprefix_migrate::render::kubernetes::list::{self, Task};
use etcdprefix_migrate::render::kubernetes::{self as rendered, Options};
use etcdprefix_migrate::render::yaml;
use etcdprefix_store::{Description, list_described};
use serde_json::{Value, json};

use super::config::seconds;
use crate::args::migrate::kubernetes::{KubernetesArgs, RewriteArgs};
use crate::args::verify::LeftArg;
use crate::args::{Format, Global};
use crate::command::store::{open_unflagged, place};
use crate::command::{Answer, wait};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::output::fields;

/// A list is no snapshot.
const LONGEST_BYTES: u64 = 256 << 20;
/// For one snapshot of a few GB, with its way to and from the store.
const GUESS_SECONDS: u64 = 300;
/// As many as one would ever list.
const MOST_OBJECTS: usize = 1_000_000;

/// The objects as YAML; as JSON a `List` that kubectl takes, too.
pub fn render(args: &KubernetesArgs, global: Global) -> Result<Answer, Failure> {
    let tasks = match (&args.list, &args.from, &args.to) {
        (Some(file), ..) => tasks(file)?,
        (None, Some(from), Some(to)) => found(args, from, to)?,
        _ => return Err(usage("neither a list nor places", "--list, or --from and --to")),
    };
    let objects = rendered::render(&options(args)?, &tasks).map_err(migration)?;
    if !global.quiet {
        let jobs = objects.len() / 2;
        output::diagnose(&format!("note: {} snapshots in {jobs} Job(s)", tasks.len()));
        if let Some(note) = too_short(args, tasks.len().div_ceil(jobs.max(1))) {
            output::diagnose(&note);
        }
    }
    Ok(match global.write_out {
        Format::Json => {
            json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string() + "\n"
        }
        _ => objects.iter().map(yaml::document).collect::<String>(),
    }
    .into())
}

/// What may be worth a thought before a day has passed.
fn too_short(args: &KubernetesArgs, of_a_job: usize) -> Option<String> {
    let rounds = of_a_job.div_ceil(args.job.parallelism as usize) as u64;
    let deadline = seconds(args.job.deadline);
    let whole = rounds.saturating_mul(GUESS_SECONDS);
    (whole > deadline).then(|| {
        format!(
            "note: at {} minutes each, {of_a_job} snapshots take a Job about {} hours, and \
             --deadline ends it after {}: --parallelism or --deadline",
            GUESS_SECONDS / 60,
            whole.div_ceil(3600),
            deadline.div_ceil(3600),
        )
    })
}

fn options(args: &KubernetesArgs) -> Result<Options, Failure> {
    let (job, pod, store) = (&args.job, &args.pod, &args.store);
    Ok(Options {
        name: job.name.clone(),
        namespace: job.namespace.clone(),
        image: pod.image.clone(),
        parallelism: job.parallelism,
        retries: job.retries,
        max_failed_indexes: job.max_failed,
        try_seconds: seconds(job.try_limit),
        deadline_seconds: seconds(job.deadline),
        ttl_seconds: seconds(job.ttl),
        scratch: pod.scratch.clone(),
        cpu: pod.cpu.clone(),
        memory: pod.memory.clone(),
        service_account: pod.service_account.clone(),
        credentials_secret: pod.credentials_secret.clone(),
        env_secret: pod.env_secret.clone(),
        store_endpoint: store.store_endpoint.clone(),
        region: store.region.clone(),
        path_style: store.store_path_style,
        src_prefix: args.src_prefix.clone(),
        drop_unmatched: args.unmatched == LeftArg::Drop,
        kubernetes: version(&job.kubernetes)?,
    })
}

/// Major and minor; what follows says nothing here.
fn version(text: &str) -> Result<(u32, u32), Failure> {
    let mut numbers = text.trim_start_matches('v').split('.').map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Ok((major, minor)),
        _ => Err(usage(&format!("--kubernetes: {text:?} is no version"), "1.29")),
    }
}

fn tasks(file: &Path) -> Result<Vec<Task>, Failure> {
    list::parse(&read(file)?).map_err(migration)
}

fn read(file: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = match file.to_str() {
        Some("-") => stdin().lock().take(LONGEST_BYTES + 1).read_to_string(&mut text),
        _ => fs::File::open(file)
            .and_then(|open| open.take(LONGEST_BYTES + 1).read_to_string(&mut text)),
    };
    match read {
        Ok(bytes) if bytes as u64 > LONGEST_BYTES => {
            Err(usage(&format!("{} is no list: too large", file.display()), "a list"))
        }
        Ok(_) => Ok(text),
        Err(source) => {
            let doing = "read";
            Err(migration(etcdprefix_migrate::Error::File { doing, path: file.into(), source }))
        }
    }
}

/// All that is under a place, but for what our own checks leave there.
fn found(args: &KubernetesArgs, from: &str, to: &str) -> Result<Vec<Task>, Failure> {
    let (from, to) = (place(from)?, place(to)?);
    if !(to.key.is_empty() || to.key.ends_with('/')) {
        return Err(usage(&format!("{to} is no place for several"), "a slash at its end"));
    }
    if from.kind == to.kind && from.bucket == to.bucket && to.key.starts_with(&from.key) {
        let message = format!("{to} is under {from}: what is made would be found the next time");
        return Err(usage(&message, "a --to beside it, or --list"));
    }
    // Reached as the environment here says: the pods' way may be another.
    let store = open_unflagged(&from)?;
    let (found, more) = wait(async {
        let found = list_described(&store, &from.key, MOST_OBJECTS).await;
        found.map_err(|error| Failure::store(&error, &crate::hint::Asked::Look))
    })?;
    if more {
        return Err(usage(&format!("there are more than {MOST_OBJECTS} objects"), "--list"));
    }
    let mut tasks = Vec::new();
    for (listed, head) in found {
        let rest = listed.key.strip_prefix(&from.key).unwrap_or(&listed.key);
        if rest.is_empty() || rest.ends_with('/') || rest.ends_with("etcdprefix-probe") {
            continue;
        }
        let source = from.with_key(&listed.key).map_err(usage_of_store)?.to_string();
        let output = to.with_key(&format!("{}{rest}", to.key)).map_err(usage_of_store)?;
        let told = head.and_then(|head| Description::of(&head.metadata).cluster_id);
        let Some(dest) = args.dest_prefix.clone().or(told) else {
            let message = format!("{source}: its metadata does not say which cluster's it is");
            return Err(usage(&message, "--dest-prefix, or --list"));
        };
        tasks.push(Task::new(&source, &output.to_string(), &dest).map_err(migration)?);
    }
    Ok(tasks)
}

/// One line of a list.
pub fn rewrite(args: &RewriteArgs, global: Global) -> Result<Answer, Failure> {
    let tasks = tasks(&args.list)?;
    let Some(task) = tasks.get(args.index) else {
        let message = format!("--index {}: the list has {} snapshots", args.index, tasks.len());
        return Err(usage(&message, "an index from 0"));
    };
    let mode = match args.unmatched {
        LeftArg::Keep => "keep",
        LeftArg::Drop => "drop",
    };
    let rule = [
        format!("--src-prefix={}", args.src_prefix),
        format!("--dest-prefix={}", task.dest_prefix),
        format!("--unmatched={mode}"),
    ];
    let (source, output) = (task.source.to_string(), task.output.to_string());
    let place = ["--db", &source, "--output", &output].map(str::to_owned);
    let outcome = match perform("change-prefix", &place, &rule, global) {
        Ok(()) => "rewritten",
        Err(failure) if failure.exit == Exit::OutputExists => {
            prove(&source, &output, &rule, global)?;
            "there already"
        }
        Err(failure) => return Err(failure),
    };
    Ok(shown(task, args.index, outcome, global).into())
}

/// What is there must be what would have been made.
fn prove(source: &str, output: &str, rule: &[String], global: Global) -> Result<(), Failure> {
    let files = [source, output].map(str::to_owned);
    perform("verify", &files, rule, global).map_err(|failure| match failure.exit {
        Exit::Unproven => {
            let message = format!("{output} is there already, and is no rewritten {source}");
            let hint = "another destination, or look at it with `etcdprefix verify`";
            Failure::new(Exit::OutputExists, message, Some(hint.into()))
        }
        _ => failure,
    })
}

/// One of our other commands, without its result.
fn perform(
    command: &str,
    files: &[String],
    rule: &[String],
    global: Global,
) -> Result<(), Failure> {
    let words = ["etcdprefix", command].into_iter().map(str::to_owned);
    let words = words.chain(rule.iter().cloned()).chain(files.iter().cloned());
    let parsed = crate::args::parse(words.map(Into::into).collect());
    let mut invocation = match parsed {
        Ok(invocation) => invocation,
        Err(error) => {
            let answered = crate::args::usage::answer(&error);
            return Err(answered.err().unwrap_or_else(|| usage("it can't be asked for", "--help")));
        }
    };
    invocation.global = global;
    let Answer { failures, .. } = crate::command::run(invocation)?;
    failures.into_iter().next().map_or(Ok(()), Err)
}

fn shown(task: &Task, index: usize, outcome: &str, global: Global) -> String {
    let Task { source, output, dest_prefix } = task;
    let result: Value = json!({
        "index": index,
        "db": source,
        "output": output,
        "dest_prefix": dest_prefix,
        "outcome": outcome,
    });
    fields::render(&result, global.write_out, || {
        format!("{output} is {source} under {dest_prefix}: {outcome}\n")
    })
}

fn migration(error: etcdprefix_migrate::Error) -> Failure {
    Failure::migration(&error)
}

fn usage_of_store(error: etcdprefix_store::Error) -> Failure {
    Failure::new(Exit::Usage, error.to_string(), Some("--list without it".into()))
}

fn usage(message: &str, hint: &str) -> Failure {
    Failure::new(Exit::Usage, message, Some(hint.into()))
}
