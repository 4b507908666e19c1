//! What leaves the program: one result on stdout, everything else on stderr.

pub mod check;
pub mod fields;
pub mod hashkv;
pub mod human;
pub mod humanize;
#[cfg(feature = "live")]
pub mod members;
#[cfg(feature = "migrate")]
pub mod migrate;
pub mod outcome;
pub mod progress;
#[cfg(feature = "live")]
pub mod quiet;
#[cfg(test)]
mod sample;
#[cfg(feature = "live")]
pub mod save;
pub mod status;
#[cfg(feature = "store")]
pub mod store;
pub mod text;
pub mod upload;
pub mod verify;

use std::io::{self, IsTerminal, Write};

use crate::args::{Format, Global};
use crate::failure::Failure;

/// Writes the result. A reader that has read enough is no failure.
pub fn print(result: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(result.as_bytes()).and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::stdout(&error)),
        _ => Ok(()),
    }
}

/// Writes `text` to stderr, which may be closed.
pub fn to_stderr(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Writes one line to stderr under the program's name.
pub fn diagnose(line: &str) {
    to_stderr(&format!("etcdprefix: {line}\n"));
}

/// Tells of warnings, except where the summary shows them on the same terminal.
pub fn warn(warnings: &[String], global: Global) {
    let shown = global.write_out == Format::Simple
        && io::stdout().is_terminal()
        && io::stderr().is_terminal();
    if !shown {
        warn_anyway(warnings, global);
    }
}

/// Tells of warnings that no summary shows.
pub fn warn_anyway(warnings: &[String], global: Global) {
    if global.quiet {
        return;
    }
    for warning in warnings {
        diagnose(&format!("warning: {}", text::one_line(warning)));
    }
}
