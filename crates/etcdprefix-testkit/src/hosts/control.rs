//! The namespace of the network, and the way into it and back.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::ThreadId;

use anyhow::{Context, Result, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::CONTROL_ADDRESS;
use crate::process::Process;
use crate::provisioned::network_tool;

/// The network that hosts are plugged into. The thread that made it is in it.
pub struct Control {
    /// Keeps the namespace while no thread of ours is in it.
    holder: Process,
    before: File,
    thread: ThreadId,
}

impl Control {
    /// Makes it, and moves the calling thread there.
    pub fn enter() -> Result<Self> {
        let mut command = Command::new("unshare");
        // It ends with the pipe, however we end.
        command.args(["--net", "sh", "-c", "echo ready; exec cat"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = Process(command.spawn().context("cannot start unshare")?);
        let mut said = String::new();
        let out = holder.0.stdout.take().context("it was piped")?;
        BufReader::new(out).read_line(&mut said)?;
        ensure!(said == "ready\n", "no namespace of a network of our own; this needs root");
        let before = File::open("/proc/thread-self/ns/net")?;
        let this = Self { holder, before, thread: std::thread::current().id() };
        this.ip(&["link set lo up", "link add br0 type bridge"])?;
        this.ip(&address_lines(CONTROL_ADDRESS, "br0").each_ref().map(String::as_str))?;
        enter(&File::open(this.path())?)?;
        Ok(this)
    }

    /// Plugs a host in whose network is that of this process.
    pub fn plug(&self, number: usize, process: u32) -> Result<()> {
        let port = port(number);
        let pair = format!("link add {port} type veth peer name eth0 netns {process}");
        self.ip(&[&pair, &format!("link set {port} master br0"), &format!("link set {port} up")])
    }

    /// Whether anything passes between a host and the rest.
    pub fn connect(network: &Path, number: usize, connected: bool) -> Result<()> {
        let state = if connected { "up" } else { "down" };
        ip(network, &[&format!("link set {} {state}", port(number))])
    }

    /// Where the namespace is found.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.holder.0.id()).into()
    }

    /// Runs commands of `ip` there.
    pub fn ip(&self, lines: &[&str]) -> Result<()> {
        ip(&self.path(), lines)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // Another thread is not ours to move.
        if std::thread::current().id() == self.thread {
            // It fails only without the right that it took to get here.
            let _ = enter(&self.before);
        }
    }
}

/// Commands of `ip` that give a device an address and let it acknowledge at once: the wait of 40 ms would
/// be twice in each connection of SSH.
pub fn address_lines(address: Ipv4Addr, device: &str) -> [String; 3] {
    let network = Ipv4Addr::from(u32::from(address) & 0xffff_ff00);
    [
        format!("addr add {address}/24 dev {device}"),
        format!("link set {device} up"),
        format!("route change {network}/24 dev {device} src {address} quickack 1"),
    ]
}

/// Runs commands of `ip` in a namespace.
pub fn ip(namespace: &Path, lines: &[&str]) -> Result<()> {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", namespace.display())).arg(network_tool("ip")?);
    command
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot start nsenter")?;
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    child.stdin.take().context("it was piped")?.write_all(text.as_bytes())?;
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip can't {lines:?}: {said}");
    Ok(())
}

fn enter(namespace: &File) -> Result<()> {
    let network = Some(LinkNameSpaceType::Network);
    move_into_link_name_space(namespace.as_fd(), network).context("cannot enter a namespace")
}

fn port(number: usize) -> String {
    format!("port{number}")
}
