//! What every server of ours needs: a process that ends with us, free ports, the end of a log.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Child;

use anyhow::Result;

/// Another process may take a free port between our look and the server's bind.
pub const PORT_TRIES: usize = 3;

const LOG_LINES: usize = 30;

/// A child that never outlives us; only this very process is ended.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Two free ports of the loopback address. They are held together, so they differ.
pub fn free_ports() -> Result<(u16, u16)> {
    let (one, other) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    Ok((one.local_addr()?.port(), other.local_addr()?.port()))
}

/// The end of a log, for a failure's message.
pub fn last_lines(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}
