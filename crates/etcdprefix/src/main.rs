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

use exit::Exit;
use failure::Failure;

fn main() -> ExitCode {
    let exit = match run(std::env::args_os().collect()) {
        Ok(()) => Exit::Done,
        Err(failure) => {
            output::diagnose(&failure.to_string());
            failure.exit
        }
    };
    ExitCode::from(exit.code())
}

fn run(words: Vec<OsString>) -> Result<(), Failure> {
    let result = match args::parse(words) {
        Ok(invocation) => command::run(invocation)?,
        Err(error) => args::usage::answer(&error)?,
    };
    output::print(&result)
}
