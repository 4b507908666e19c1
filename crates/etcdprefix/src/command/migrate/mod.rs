//! `migrate`: from flags to the library's flow, and its results to text.

mod aftercare;
mod ansible;
mod assistant;
mod bundle;
mod config;
mod engine;
mod environment;
mod folder;
mod hosted;
mod kubernetes;
mod node;
mod oos;
mod policy;
mod render;
mod work;

use etcdprefix_migrate::flow::{self, HandedOut, RollbackOptions, RunOptions};

use crate::args::Global;
use crate::args::migrate::config::ConfigArgs;
use crate::args::migrate::{
    EndArgs, MigrateCommand, PresignArgs, RehearseArgs, RollbackArgs, StatusArgs,
};
use crate::command::Answer;
use crate::command::store::recipients;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::output::migrate::{after, handed, preflight, rehearsal, status};
pub use node::run as node;
use work::{Care, Work};

/// Does what was asked for.
pub fn run(command: &MigrateCommand, global: Global) -> Result<Answer, Failure> {
    private();
    match command {
        MigrateCommand::Rehearse(args) => rehearse(args, global),
        MigrateCommand::Run(args) => hand_out(
            &args.config,
            &args.end,
            Begin::New { skip_rehearsal: args.skip_rehearsal },
            global,
        ),
        MigrateCommand::Resume(args) => hand_out(&args.config, &args.end, Begin::Again, global),
        MigrateCommand::Rollback(args) => rollback(args, global),
        MigrateCommand::Status(args) => show(args, global),
        MigrateCommand::Finish(args) => finish(&args.config, global),
        MigrateCommand::Presign(args) => presign(args, global),
        MigrateCommand::Aftercare(args) => aftercare::run(args, global),
        MigrateCommand::Render(command) => render::run(command, global),
        MigrateCommand::Rewrite(args) => kubernetes::rewrite(args, global),
        MigrateCommand::Oos(command) => oos::run(command, global),
        MigrateCommand::Policy(args) => policy::run(args, global),
        MigrateCommand::Hosted(command) => hosted::run(command, global),
    }
}

/// Whatever is written from here on is nobody else's business.
fn private() {
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
}

fn rehearse(args: &RehearseArgs, global: Global) -> Result<Answer, Failure> {
    let work = Work::new(&args.config, global, Care::Usual)?;
    work.make_folder()?;
    match work.wait(async |setup| flow::rehearse(setup).await) {
        Ok(rehearsal) => Ok(rehearsal::render(&rehearsal, global.write_out).into()),
        Err(failure) => not_ready(failure, &work, global),
    }
}

/// The report has what the error only names.
fn not_ready(failure: Failure, work: &Work, global: Global) -> Result<Answer, Failure> {
    let checks = work.screen.checks();
    match preflight::refusal(&checks).filter(|_| failure.exit == Exit::NotReady) {
        Some(refusal) => {
            let text = preflight::not_ready(&checks, global.write_out);
            Ok(Answer { text, failures: vec![refusal] })
        }
        None => Err(failure),
    }
}

/// A run of its own, or one that was begun before.
#[derive(Clone, Copy)]
enum Begin {
    New { skip_rehearsal: bool },
    Again,
}

fn hand_out(
    config: &ConfigArgs,
    end: &EndArgs,
    begin: Begin,
    global: Global,
) -> Result<Answer, Failure> {
    let options = RunOptions {
        skip_rehearsal: matches!(begin, Begin::New { skip_rehearsal: true }),
        no_rollback: end.no_rollback,
        keep: end.keep,
        bundle: end.bundle.clone(),
        recipients: recipients(&end.recipient)?,
        bundle_extra: end.bundle_extra,
    };
    let work = Work::new(config, global, Care::PutsBack)?;
    work.make_folder()?;
    let handed = work.wait(async |setup| match begin {
        Begin::New { .. } => flow::run(setup, &options).await,
        Begin::Again => flow::resume(setup, &options).await,
    });
    let handed = match handed {
        Ok(handed) => handed,
        // Hosts that sleep are not as checks want them: only before that do they tell anything.
        Err(failure) if matches!(begin, Begin::New { .. }) => {
            return not_ready(failure, &work, global);
        }
        Err(failure) => return Err(failure),
    };
    let cluster_id = work.config.cluster_id.as_str();
    tell_beside(&handed, cluster_id, end.print_bundle, global);
    Ok(handed::render(&handed, cluster_id, end.print_bundle, global.write_out).into())
}

/// Where the bundle has stdout for itself, people are told the rest on stderr.
fn tell_beside(handed: &HandedOut, cluster_id: &str, print_bundle: bool, global: Global) {
    use crate::args::Format;
    if print_bundle && global.write_out == Format::Simple && !global.quiet {
        output::to_stderr(&handed::summary(handed, cluster_id));
    }
}

fn rollback(args: &RollbackArgs, global: Global) -> Result<Answer, Failure> {
    let options = RollbackOptions {
        managed_side_never_started: args.managed_side_never_started,
        take_over: args.take_over,
    };
    let work = Work::new(&args.config, global, Care::PutsBack)?;
    work.make_folder()?;
    let done = work.wait(async |setup| flow::rollback(setup, options).await)?;
    Ok(after::rolled_back(&done, global.write_out).into())
}

fn show(args: &StatusArgs, global: Global) -> Result<Answer, Failure> {
    let work = Work::new(&args.config, global, Care::Usual)?;
    let found = work.wait(async |setup| flow::status(setup).await)?;
    let silent: Vec<&str> = found.hosts.iter().filter_map(|host| host.error.as_deref()).collect();
    let failures = silent.first().map(|first| {
        let more = match silent.len() - 1 {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        Failure::new(Exit::HostUnreachable, format!("no answer from {first}{more}"), None)
    });
    let failures = failures.into_iter().collect();
    Ok(Answer { text: status::render(&found, global.write_out), failures })
}

fn finish(args: &ConfigArgs, global: Global) -> Result<Answer, Failure> {
    let work = Work::new(args, global, Care::Usual)?;
    let done = work.wait(async |setup| flow::finish(setup).await)?;
    let silent =
        done.silent.iter().map(|host| format!("{host} did not answer: its lock is still there"));
    output::warn(&silent.collect::<Vec<_>>(), global);
    Ok(after::finished(&done, global.write_out).into())
}

fn presign(args: &PresignArgs, global: Global) -> Result<Answer, Failure> {
    let work = Work::new(&args.config, global, Care::Usual)?;
    let signed = work.wait(async |setup| flow::presign(setup).await)?;
    Ok(after::presigned(&signed, args.print_url, global.write_out).into())
}
