//! What every server of ours needs: a process that ends with us, free ports, the end of a log.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process, waitid};

/// Another process may take a free port between our look and the server's bind.
pub const PORT_TRIES: usize = 3;

/// Where servers listen that nothing asks to listen elsewhere.
pub const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

const STOP_LIMIT: Duration = Duration::from_secs(10);

const LOG_LINES: usize = 30;

/// A child that never outlives us; only this very process is ended.
pub struct Process(pub Child);

impl Process {
    /// SIGSTOP, and waits until every thread has stopped. Its sockets stay open, and the kernel
    /// goes on accepting connections for it.
    pub fn stop(&mut self) -> Result<()> {
        kill_process(self.pid(), Signal::STOP)?;
        let start = Instant::now();
        // Asked only for a stop, so an exit is left for `Child` to collect.
        let stop = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        while waitid(WaitId::Pid(self.pid()), stop)?.is_none_or(|it| !WaitIdStatus::stopped(&it)) {
            ensure!(start.elapsed() < STOP_LIMIT, "not stopped after {STOP_LIMIT:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// SIGCONT.
    pub fn resume(&mut self) -> Result<()> {
        Ok(kill_process(self.pid(), Signal::CONT)?)
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL ends a stopped process too.
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
