//! `snapshot save`: a snapshot from the right member, proved before it has its name.

use std::sync::Arc;

use etcdprefix_etcd::ClientOptions;
use etcdprefix_etcd::hashkv::HashOptions;
use etcdprefix_etcd::save::{Change, SaveOptions, Saved, save};

use super::client::Members;
use crate::args::Global;
use crate::args::change_prefix::threads;
use crate::args::client::ClientArgs;
use crate::args::go::GoDuration;
use crate::args::save::SaveArgs;
use crate::command::facts::Facts;
use crate::command::store::Places;
use crate::failure::Failure;
use crate::hint::Asked;
use crate::output;
use crate::output::save::Uploads;

/// Saves; the result is what was saved in the form asked for.
pub fn run(args: &SaveArgs, global: Global, places: &Places) -> Result<String, Failure> {
    let options = options(args)?;
    let members = Members::new(&patient(&args.client))?;
    members.warn(global);
    let mut saved = receive(&members, &options, global, places)?;
    saved.warnings.iter_mut().for_each(|text| *text = places.reworded(text));
    output::warn(&saved.warnings, global);
    let uploads = send(&saved, args, places, global)?;
    saved.file = saved.file.map(|file| places.name(&file));
    if let Some(outcome) = &mut saved.change_prefix {
        outcome.db = places.name(&outcome.db);
        outcome.output = outcome.output.take().map(|file| places.name(&file));
    }
    Ok(output::save::render(&saved, &places.name(&args.file), &uploads, global.write_out))
}

/// The saved file and what it was rewritten to, as far as they are to be in a store.
fn send(
    saved: &Saved,
    args: &SaveArgs,
    places: &Places,
    global: Global,
) -> Result<Uploads, Failure> {
    let version = Some(saved.etcd_version.clone()).filter(|version| !version.is_empty());
    let plain = Facts {
        revision: saved.revision,
        status_hash: saved.status_hash.clone(),
        sha256: Some(saved.sha256.clone()),
        etcd_version: version.clone(),
        ..Facts::default()
    };
    let changed = saved.change_prefix.as_ref().map(|outcome| {
        let facts = Facts { etcd_version: version, ..Facts::of(outcome) };
        places.send(&args.file, facts, &args.send, global)
    });
    let changed = changed.transpose()?.flatten();
    let sent = saved.file.as_ref().map(|file| places.send(file, plain, &args.send, global));
    // What is done has to be told where the rest fails.
    let sent = sent.transpose().map_err(|failure| match saved.change_prefix {
        Some(_) => failure.after(&format!("{} is done", places.name(&args.file).display())),
        None => failure,
    });
    Ok(Uploads { changed, saved: sent?.flatten() })
}

/// A limit for the whole must not be used up by waiting for one frozen member: three attempts leave
/// half of it to the stream.
fn patient(args: &ClientArgs) -> ClientArgs {
    let usual = ClientOptions::default().request_timeout;
    let one = |whole: GoDuration| GoDuration((whole.0 / 6).max(usual.min(whole.0)));
    let mut args = args.clone();
    args.command_timeout = args.command_timeout.map(one);
    args
}

/// Ends the progress display before anything else is printed.
fn receive(
    members: &Members,
    options: &SaveOptions,
    global: Global,
    places: &Places,
) -> Result<Saved, Failure> {
    let asked = Asked::Save(options.target.clone());
    let meter = Arc::new(crate::command::meter(global, &options.target, &asked, places)?);
    let Members { dialer, endpoints } = members;
    crate::command::wait(async {
        let saved = save(dialer, endpoints, options, meter).await;
        saved.map_err(|error| Failure::live_when(&error, &asked))
    })
}

fn options(args: &SaveArgs) -> Result<SaveOptions, Failure> {
    let from = args.from.as_ref().map(|from| from.parse()).transpose();
    let total_timeout = args.client.command_timeout();
    let change = args.change_prefix.clone().map(|prefix| Change {
        options: args.rule.change_to(prefix),
        keep: args.keep_saved.clone(),
    });
    Ok(SaveOptions {
        target: args.file.clone(),
        from: from.map_err(|error| Failure::live(&error))?,
        retries: args.retries,
        idle_timeout: args.idle_timeout.0,
        total_timeout,
        check: !args.no_check,
        verify_members: args.verify_members,
        hash_timeout: total_timeout.unwrap_or(HashOptions::default().timeout),
        change,
        threads: threads(args.threads),
    })
}
