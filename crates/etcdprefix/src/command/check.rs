//! `check`: everything that is wrong with a snapshot.

use etcdprefix_core::Result;
use etcdprefix_core::progress::{Phase, Progress};
use etcdprefix_core::read::Snapshot;
use etcdprefix_core::verify::findings::Level;
use etcdprefix_core::verify::{Depth, check};

use crate::args::Global;
use crate::args::change_prefix::{read_mode, threads};
use crate::args::check::CheckArgs;
use crate::command::Answer;
use crate::command::store::Places;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::hint::Asked;
use crate::output::check::Checked;
use crate::output::progress::Meter;
use crate::output::text;

/// Checks the snapshot; the result is the report in the form asked for, errors or not.
pub fn run(args: &CheckArgs, global: Global, places: &Places) -> Result<Answer, Failure> {
    let mut checked = examine(args, global, places)?;
    checked.file = places.name(&checked.file);
    let errors = checked.report.findings.total_of(Level::Error);
    let failures = (errors > 0).then(|| damaged(&checked, errors)).into_iter().collect();
    Ok(Answer { text: checked.render(global.write_out), failures })
}

/// Ends the progress display before anything else is printed.
fn examine(args: &CheckArgs, global: Global, places: &Places) -> Result<Checked, Failure> {
    let meter = super::meter(global, &args.file, &Asked::Look, places)?;
    let checked = read(args, &meter);
    checked.map_err(|error| Failure::core(&error, &Asked::Look))
}

fn read(args: &CheckArgs, meter: &Meter) -> Result<Checked> {
    let snapshot = Snapshot::open(&args.file, read_mode(args.no_mmap))?;
    let depth = args.depth.into();
    let passes = if depth == Depth::Full { 2 } else { 1 };
    meter.begin(Phase::Read, snapshot.pages_bytes().saturating_mul(passes));
    let report = check(&snapshot, depth, threads(args.threads), meter)?;
    let (bytes, page_size_bytes) = (snapshot.file_bytes(), snapshot.page_size().bytes());
    Ok(Checked { file: args.file.clone(), depth, bytes, page_size_bytes, report })
}

/// What a script's log has to say, whatever becomes of the report.
fn damaged(checked: &Checked, errors: u64) -> Failure {
    let first = checked.report.findings.kept.first().map(ToString::to_string);
    let (file, count) = (text::path(&checked.file), text::count(errors, "error"));
    let message = format!("{file}: {count}: {}", first.unwrap_or_default());
    let hint = "another copy, or a new `etcdctl snapshot save`";
    Failure::new(Exit::Damaged, message, Some(hint.into()))
}
