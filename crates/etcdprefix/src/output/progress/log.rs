//! Progress where there is no terminal: in a log, a line now and then.

use std::time::Duration;

use super::{Display, Reading};
use crate::output::{diagnose, humanize};

/// A line every five seconds; shorter runs leave none.
pub struct Log;

impl Display for Log {
    fn pause(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn show(&mut self, reading: Reading) {
        diagnose(&line(reading));
    }
}

fn line(reading: Reading) -> String {
    let phase = reading.phase.label();
    if reading.done_bytes == 0 {
        return format!("{phase}, {} s so far", reading.elapsed.as_secs());
    }
    let done = humanize::bytes(reading.done_bytes);
    let rate = humanize::bytes(reading.bytes_per_second());
    match reading.percent() {
        Some(percent) => {
            let total = humanize::bytes(reading.total_bytes);
            format!("{phase}: {done} of {total} ({percent}%), {rate}/s")
        }
        None => format!("{phase}: {done}, {rate}/s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etcdprefix_core::progress::Phase;

    #[test]
    fn a_line_tells_phase_bytes_and_rate() {
        let reading = Reading {
            phase: Phase::Write,
            total_bytes: 2_000_000_000,
            done_bytes: 500_000_000,
            elapsed: Duration::from_secs(5),
        };
        assert_eq!(line(reading), "writing: 500 MB of 2.0 GB (25%), 100 MB/s");
        let unknown = Reading { total_bytes: 0, ..reading };
        assert_eq!(line(unknown), "writing: 500 MB, 100 MB/s");
        let nothing = Reading { phase: Phase::Sync, done_bytes: 0, ..unknown };
        assert_eq!(line(nothing), "syncing, 5 s so far");
    }
}
