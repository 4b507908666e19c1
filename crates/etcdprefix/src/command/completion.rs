//! `completion`: a script for a shell.

use clap_complete::{Shell, generate};

use crate::args;

/// The script.
pub fn run(shell: Shell) -> String {
    let mut script = Vec::new();
    generate(shell, &mut args::definition(), "etcdprefix", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}
