//! Cargo subcommands, built from crates.io with their own lock files.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::process;

pub fn install(tool: &str, version: &str, root: &Path) -> Result<()> {
    println!("building {tool} {version}; this takes some minutes once");
    let mut command = Command::new("cargo");
    command.args(["install", "--quiet", "--locked", "--version", version, tool, "--root"]);
    // A shared target folder would mix a tool's artefacts with ours.
    process::run(command.arg(root).env_remove("CARGO_TARGET_DIR"))
}
