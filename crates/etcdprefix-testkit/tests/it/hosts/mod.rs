//! Hosts are what a migration finds, and leave nothing behind.

mod machines;
mod masters;

use std::process::Output;

use anyhow::{Result, ensure};
use etcdprefix_testkit::hosts::{Hosts, HostsOptions};

fn tried(hosts: &Hosts, to: &str, script: &str) -> Result<Output> {
    Ok(hosts.ssh().command(to)?.arg(script).output()?)
}

fn ssh(hosts: &Hosts, to: &str, script: &str) -> Result<String> {
    let output = tried(hosts, to, script)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{to}: {script}: {} {said}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

fn one_with_all() -> Result<Hosts> {
    Hosts::start(HostsOptions { hosts: 1, ..HostsOptions::default() })
}

fn one() -> Result<Hosts> {
    Hosts::start(HostsOptions::bare(1))
}
