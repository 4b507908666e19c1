//! The command: arguments in, one result on stdout, everything else on stderr.

mod args;
mod command;
mod exit;
mod failure;
mod hint;
mod interrupt;
mod output;

use std::ffi::OsString;
use std::process::ExitCode;

use command::Answer;
use exit::Exit;
use failure::Failure;

fn main() -> ExitCode {
    let failures = match run(std::env::args_os().collect()) {
        Ok(failures) => failures,
        Err(failure) => vec![failure],
    };
    for failure in &failures {
        output::diagnose(&failure.to_string());
    }
    let exit = failures.first().map_or(Exit::Done, |failure| failure.exit);
    ExitCode::from(exit.code())
}

/// Prints the result; what it says against the request is left to be told.
fn run(words: Vec<OsString>) -> Result<Vec<Failure>, Failure> {
    let Answer { text, failures } = match args::parse(words) {
        Ok(invocation) => command::run(invocation)?,
        Err(error) => args::usage::answer(&error)?.into(),
    };
    output::print(&text)?;
    Ok(failures)
}
