//! Time that a change of the clock doesn't move: a timer of twenty minutes must not become one of a day.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Milliseconds since 1970, by the host's clock.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// `2026-08-22T10:00:00Z`, for people.
pub(crate) fn text_of(ms: u64) -> String {
    let at = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map_or_else(|| format!("{ms} ms"), |at| format!("{at:.0}"))
}

/// A point in time that can be compared within one boot by the time since the boot, suspension
/// included, and between boots by the clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Moment {
    boot: String,
    boot_ms: u64,
    wall_ms: u64,
}

impl Moment {
    pub(crate) fn now() -> Self {
        Self { boot: boot_id(), boot_ms: since_boot_ms(), wall_ms: now_ms() }
    }

    pub(crate) fn after_seconds(self, seconds: u64) -> Self {
        let ms = seconds.saturating_mul(1000);
        let boot_ms = self.boot_ms.saturating_add(ms);
        Self { boot_ms, wall_ms: self.wall_ms.saturating_add(ms), ..self }
    }

    /// How long ago `earlier` was; nothing if it is still to come.
    pub(crate) fn since_ms(&self, earlier: &Self) -> u64 {
        match self.boot == earlier.boot {
            true => self.boot_ms.saturating_sub(earlier.boot_ms),
            false => self.wall_ms.saturating_sub(earlier.wall_ms),
        }
    }

    pub(crate) fn wall_ms(&self) -> u64 {
        self.wall_ms
    }
}

fn since_boot_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    seconds
        .saturating_mul(1000)
        .saturating_add(u64::try_from(now.tv_nsec).unwrap_or_default() / 1_000_000)
}

/// Empty if the kernel doesn't tell: then all is one boot.
fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(boot: &str, boot_ms: u64, wall_ms: u64) -> Moment {
        Moment { boot: boot.into(), boot_ms, wall_ms }
    }

    #[test]
    fn a_changed_clock_counts_only_between_boots() {
        let earlier = moment("a", 5_000, 1_000_000);
        assert_eq!(moment("a", 7_000, 9_000_000).since_ms(&earlier), 2_000);
        assert_eq!(moment("a", 7_000, 1).since_ms(&earlier), 2_000);
        assert_eq!(moment("b", 10, 1_060_000).since_ms(&earlier), 60_000);
        assert_eq!(moment("b", 10, 900_000).since_ms(&earlier), 0);
    }

    #[test]
    fn moments_move_on() {
        let now = Moment::now();
        let later = now.clone().after_seconds(5);
        assert_eq!((later.since_ms(&now), now.since_ms(&later)), (5_000, 0));
        assert_eq!(now.clone().after_seconds(u64::MAX).wall_ms(), u64::MAX);
        assert_eq!(text_of(0), "1970-01-01T00:00:00Z");
        assert_eq!(text_of(u64::MAX), format!("{} ms", u64::MAX));
    }
}
