//! Watches the process's own memory, and prints progress.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use std::sync::Mutex;

use etcdprefix_core::progress::Progress;

/// Milliseconds between two looks.
pub const EVERY_MS: u64 = 100;
const SECONDS_BETWEEN_LINES: u64 = 5;

/// Looks at RssAnon, the memory that no file backs, as long as the process runs.
pub struct Watch(Arc<Peaks>);

#[derive(Default)]
struct Peaks {
    all: AtomicU64,
    phase: AtomicU64,
}

impl Watch {
    pub fn start() -> Self {
        let peaks = Arc::new(Peaks::default());
        let seen = Arc::clone(&peaks);
        std::thread::spawn(move || {
            loop {
                let bytes = rss_anon_bytes();
                seen.all.fetch_max(bytes, Ordering::Relaxed);
                seen.phase.fetch_max(bytes, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(EVERY_MS));
            }
        });
        Self(peaks)
    }

    /// Begins a phase.
    pub fn reset(&self) {
        self.0.phase.store(0, Ordering::Relaxed);
    }

    pub fn phase_bytes(&self) -> u64 {
        self.0.phase.load(Ordering::Relaxed)
    }

    pub fn peak_bytes(&self) -> u64 {
        self.0.all.load(Ordering::Relaxed)
    }
}

/// 0 where the system does not say.
fn rss_anon_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

/// Progress as a line every few seconds.
pub struct Lines {
    phase: &'static str,
    total: u64,
    done: AtomicU64,
    started: Instant,
    printed: Mutex<Instant>,
}

impl Lines {
    pub fn new(phase: &'static str, total: u64) -> Self {
        let started = Instant::now();
        Self { phase, total, done: AtomicU64::new(0), started, printed: Mutex::new(started) }
    }
}

impl Progress for Lines {
    fn advance(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let Ok(mut printed) = self.printed.try_lock() else {
            return;
        };
        if printed.elapsed().as_secs() < SECONDS_BETWEEN_LINES {
            return;
        }
        *printed = Instant::now();
        let percent = done * 100 / self.total.max(1);
        let (seconds, memory) = (self.started.elapsed().as_secs(), rss_anon_bytes() >> 20);
        println!("{}: {percent} % after {seconds} s, RssAnon {memory} MiB", self.phase);
    }
}
