//! `change-prefix`: rewrites a snapshot.

use etcdprefix_core::rewrite::rule::normalise;
use etcdprefix_core::{ChangePrefix, Error, Outcome, Refusal, Target, change_prefix};

use crate::args::Global;
use crate::args::change_prefix::ChangePrefixArgs;
use crate::command::Answer;
use crate::command::facts::Facts;
use crate::command::store::Places;
use crate::failure::Failure;
use crate::hint::Asked;
use crate::output;

/// Rewrites the snapshot; the result is the outcome in the form asked for. A dry run shows it even
/// if the change would be refused.
pub fn run(args: ChangePrefixArgs, global: Global, places: &Places) -> Result<Answer, Failure> {
    let sending = args.send.clone();
    let options = args.resolve();
    refuse_existing(&options)?;
    let mut outcome = rewrite(&options, global, places)?;
    outcome.warnings.extend(strip_warning(&options));
    outcome.warnings.iter_mut().for_each(|text| *text = places.reworded(text));
    output::warn(&outcome.warnings, global);
    let made = outcome.output.clone();
    let send = |file| places.send(file, Facts::of(&outcome), &sending, global);
    let upload = made.as_deref().map(send).transpose()?.flatten();
    let failures = outcome.refusals.iter().map(|refusal| refused(&options, refusal));
    let failures = failures.map(|failure| places.named(failure)).collect();
    outcome.db = places.name(&outcome.db);
    outcome.output = made.map(|file| places.name(&file));
    let text = output::outcome::render(&outcome, upload.as_ref(), global.write_out);
    Ok(Answer { text, failures })
}

fn refused(options: &ChangePrefix, refusal: &Refusal) -> Failure {
    let error = Error::Refused { path: options.db.clone(), refusal: refusal.clone() };
    Failure::core(&error, &asked(options))
}

/// Ends the progress display before anything else is printed.
fn rewrite(options: &ChangePrefix, global: Global, places: &Places) -> Result<Outcome, Failure> {
    let asked = asked(options);
    let meter = super::meter(global, &options.db, &asked, places)?;
    change_prefix(options, &meter).map_err(|error| Failure::core(&error, &asked))
}

/// The library finds it too, but late, and not in a dry run.
fn refuse_existing(options: &ChangePrefix) -> Result<(), Failure> {
    match &options.target {
        Target::File(path) if path.symlink_metadata().is_ok() => {
            let error = Error::OutputExists { path: path.clone() };
            Err(Failure::core(&error, &asked(options)))
        }
        _ => Ok(()),
    }
}

fn asked(options: &ChangePrefix) -> Asked {
    match &options.target {
        _ if options.dry_run => Asked::DryRun,
        Target::File(file) => Asked::Output(file.clone()),
        Target::InPlace | Target::InPlaceForced => Asked::InPlace(options.db.clone()),
    }
}

/// An unset shell variable (`--dest-prefix=/$ID`) leaves the destination empty, which is legal.
fn strip_warning(options: &ChangePrefix) -> Option<String> {
    let verb = if options.dry_run { "would be" } else { "was" };
    normalise(&options.dest_prefix)
        .is_empty()
        .then(|| format!("--dest-prefix is empty: the source prefix {verb} stripped"))
}
