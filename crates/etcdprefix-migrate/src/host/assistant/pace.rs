//! How often the API is asked.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

/// Between two calls of all hosts together: the API throttles by account.
const GAP: Duration = Duration::from_millis(150);
/// So long nobody calls after a call that was throttled in spite of it.
const THROTTLED: Duration = Duration::from_secs(2);
/// Between two questions about one command.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(300),
    Duration::from_millis(500),
    Duration::from_millis(800),
    Duration::from_millis(1500),
];

/// Shared by all hosts.
#[derive(Default)]
pub struct Pace {
    next: Mutex<Option<Instant>>,
}

/// Of one command: quick at first, as most of them are.
#[derive(Default)]
pub struct Pauses(usize);

impl Pace {
    /// Waits until it is this caller's turn.
    pub async fn turn(&self) {
        sleep_until(self.take(GAP)).await;
    }

    /// Puts everybody's next turn off.
    pub fn slow_down(&self) {
        self.take(THROTTLED);
    }

    /// When it is, and how long nobody else's is after it.
    fn take(&self, gap: Duration) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let at = next.unwrap_or_else(Instant::now).max(Instant::now());
        *next = Some(at + gap);
        at
    }
}

impl Pauses {
    /// Waits, longer each time, and so that hosts don't ask in step.
    pub async fn next(&mut self) {
        let last = PAUSES[PAUSES.len() - 1];
        let pause = PAUSES.get(self.0).copied().unwrap_or(last);
        self.0 += 1;
        sleep(pause + jitter(pause)).await;
    }
}

/// Up to a third.
fn jitter(of: Duration) -> Duration {
    of.mul_f64((RandomState::new().hash_one(0) % 1000) as f64 / 3000.0)
}
