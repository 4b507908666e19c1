//! Progress on stderr: a bar on a terminal, a line every few seconds elsewhere.

mod bar;
mod log;

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use etcdprefix_core::progress::{Phase, Progress};

use crate::interrupt;

/// Counts what the library reports and shows it from a thread of its own, so that reporting costs
/// one addition. Dropping it ends the display.
pub struct Meter {
    shared: Arc<Shared>,
    interrupted: Arc<AtomicBool>,
    shown: Option<(Sender<()>, JoinHandle<()>)>,
}

#[derive(Default)]
struct Shared {
    done_bytes: AtomicU64,
    current: Mutex<Option<Current>>,
}

#[derive(Clone, Copy)]
struct Current {
    phase: Phase,
    total_bytes: u64,
    since: Instant,
}

/// The work at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reading {
    phase: Phase,
    /// 0 if unknown.
    total_bytes: u64,
    done_bytes: u64,
    /// Since the phase began.
    elapsed: Duration,
}

impl Reading {
    /// Over the whole phase; what comes in bursts would make a shorter average jump.
    fn bytes_per_second(&self) -> u64 {
        (self.done_bytes as f64 / self.elapsed.as_secs_f64().max(0.001)) as u64
    }

    /// `None` if the total is unknown.
    fn percent(&self) -> Option<u64> {
        (self.total_bytes > 0).then(|| {
            let percent = u128::from(self.done_bytes) * 100 / u128::from(self.total_bytes);
            u64::try_from(percent).unwrap_or(100).min(100)
        })
    }

    /// `None` if the total or the rate is unknown.
    fn seconds_left(&self) -> Option<u64> {
        let left = self.total_bytes.checked_sub(self.done_bytes)?;
        left.checked_div(self.bytes_per_second())
    }
}

/// A way to show progress.
trait Display: Send {
    /// How long after the last time, or the start, to show again.
    fn pause(&self) -> Duration;
    fn show(&mut self, reading: Reading);
}

impl Meter {
    /// Starts showing, unless `quiet`. The work is asked to stop once `interrupted` is set.
    pub fn start(interrupted: Arc<AtomicBool>, quiet: bool) -> Self {
        let shared = Arc::new(Shared::default());
        let shown = (!quiet).then(|| show(Arc::clone(&shared), display()));
        Self { shared, interrupted, shown }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.shown.take() {
            drop(stop);
            let _ = thread.join();
        }
    }
}

impl Progress for Meter {
    fn begin(&self, phase: Phase, total_bytes: u64) {
        if phase == Phase::Publish {
            interrupt::let_finish();
        }
        let since = Instant::now();
        let current = Current { phase, total_bytes, since };
        *self.shared.lock() = Some(current);
        self.shared.done_bytes.store(0, Ordering::Relaxed);
    }

    fn advance(&self, bytes: u64) {
        self.shared.done_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Current>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reading(&self) -> Option<Reading> {
        let current = (*self.lock())?;
        Some(Reading {
            phase: current.phase,
            total_bytes: current.total_bytes,
            done_bytes: self.done_bytes.load(Ordering::Relaxed),
            elapsed: current.since.elapsed(),
        })
    }
}

/// Whether stderr is a terminal that can move its cursor.
pub fn is_terminal() -> bool {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    std::io::stderr().is_terminal() && !dumb
}

/// Such a terminal gets the bar.
fn display() -> Box<dyn Display> {
    if is_terminal() { Box::new(bar::Bar::default()) } else { Box::new(log::Log) }
}

fn show(shared: Arc<Shared>, mut display: Box<dyn Display>) -> (Sender<()>, JoinHandle<()>) {
    let (stop, stopped) = mpsc::channel();
    let thread = thread::spawn(move || {
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(display.pause()) {
            if let Some(reading) = shared.reading() {
                display.show(reading);
            }
        }
    });
    (stop, thread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_never_claims_more_than_is_known() {
        let elapsed = Duration::from_secs(2);
        let reading = Reading { phase: Phase::Read, total_bytes: 400, done_bytes: 100, elapsed };
        assert_eq!((reading.percent(), reading.seconds_left()), (Some(25), Some(6)));
        let beyond = Reading { done_bytes: 500, ..reading };
        assert_eq!((beyond.percent(), beyond.seconds_left()), (Some(100), None));
        let unknown = Reading { total_bytes: 0, ..reading };
        assert_eq!((unknown.percent(), unknown.seconds_left()), (None, None));
        let idle = Reading { done_bytes: 0, ..reading };
        assert_eq!((idle.percent(), idle.seconds_left()), (Some(0), None));
    }

    #[test]
    fn readings_belong_to_the_current_phase() {
        let flag = Arc::new(AtomicBool::new(false));
        let meter = Meter::start(Arc::clone(&flag), true);
        assert_eq!(meter.shared.reading(), None);
        meter.begin(Phase::Plan, 10);
        meter.advance(10);
        meter.begin(Phase::Write, 0);
        meter.advance(3);
        let reading = meter.shared.reading().unwrap();
        assert_eq!((reading.phase, reading.done_bytes), (Phase::Write, 3));
        assert!(!meter.interrupted());
        flag.store(true, Ordering::Relaxed);
        assert!(meter.interrupted());
    }

    #[test]
    fn the_display_ends_with_the_meter() {
        struct Count(Sender<Reading>);
        impl Display for Count {
            fn pause(&self) -> Duration {
                Duration::from_millis(1)
            }
            fn show(&mut self, reading: Reading) {
                let _ = self.0.send(reading);
            }
        }
        let (sender, shown) = mpsc::channel();
        let mut meter = Meter::start(Arc::default(), true);
        meter.shown = Some(show(Arc::clone(&meter.shared), Box::new(Count(sender))));
        meter.begin(Phase::Read, 7);
        assert_eq!(shown.recv().unwrap().total_bytes, 7);
        drop(meter);
        assert!(shown.iter().all(|reading| reading.phase == Phase::Read));
    }
}
