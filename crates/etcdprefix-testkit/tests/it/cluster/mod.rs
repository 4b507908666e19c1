//! Clusters are what they were asked to be, and break as they are told.

mod auth;
mod members;
mod tls;

use std::process::{Command, Output};

use anyhow::ensure;

/// Everything etcdctl said, succeeded or not.
fn said(output: &Output) -> String {
    let text = [output.stdout.clone(), output.stderr.clone()].concat();
    String::from_utf8_lossy(&text).into_owned()
}

fn succeeds(command: &mut Command, arguments: &[&str]) -> anyhow::Result<String> {
    let output = command.args(arguments).output()?;
    ensure!(output.status.success(), "{arguments:?}: {}", said(&output));
    Ok(said(&output))
}

fn fails(command: &mut Command, arguments: &[&str]) -> anyhow::Result<String> {
    let output = command.args(["--command-timeout", "2s"]).args(arguments).output()?;
    ensure!(!output.status.success(), "{arguments:?} succeeded: {}", said(&output));
    Ok(said(&output))
}
