//! What every server of ours needs: a process that ends with us, free ports, the end of a log.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Child;

use anyhow::Result;

/// Another process may take a free port between our look and the server's bind.
pub const PORT_TRIES: usize = 3;

/// Where servers listen that nothing asks to listen elsewhere.
pub const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

const LOG_LINES: usize = 30;

/// A child that never outlives us; only this very process is ended.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Free ports of an address of this machine. They are held together, so they differ.
pub fn free_ports(host: IpAddr, count: usize) -> Result<Vec<u16>> {
    let listeners: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind((host, 0))).collect::<Result<_, _>>()?;
    listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

/// The end of a log, for a failure's message.
pub fn last_lines(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}
