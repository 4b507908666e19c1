//! Progress on a terminal.

use std::time::Duration;

use etcdprefix_core::progress::Phase;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Display, Reading};
use crate::output::humanize;

/// Runs shorter than this show nothing.
const PATIENCE: Duration = Duration::from_millis(500);
const REFRESH: Duration = Duration::from_millis(100);

/// One bar, which begins anew with each phase and is wiped at the end.
#[derive(Default)]
pub struct Bar {
    bar: Option<(Phase, ProgressBar)>,
}

impl Display for Bar {
    fn pause(&self) -> Duration {
        if self.bar.is_some() { REFRESH } else { PATIENCE }
    }

    fn show(&mut self, reading: Reading) {
        if self.bar.as_ref().map(|(phase, _)| *phase) != Some(reading.phase) {
            self.wipe();
            self.bar = Some((reading.phase, bar(reading)));
        }
        if let Some((_, bar)) = &self.bar {
            bar.set_position(reading.done_bytes);
            bar.set_message(message(reading));
        }
    }
}

impl Bar {
    fn wipe(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.wipe();
    }
}

fn bar(reading: Reading) -> ProgressBar {
    let (bar, template) = match reading.total_bytes {
        0 => (ProgressBar::new_spinner(), UNKNOWN),
        total => (ProgressBar::new(total), KNOWN),
    };
    let style = ProgressStyle::with_template(template);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_prefix(reading.phase.label())
}

const KNOWN: &str = "{prefix:<10} [{bar:30}] {msg}";
const UNKNOWN: &str = "{prefix:<10} {spinner} {msg}";

/// What follows the bar. The rates are ours: indicatif's start absurdly high where the first
/// position is not 0.
fn message(reading: Reading) -> String {
    if reading.done_bytes == 0 {
        return String::new();
    }
    let done = humanize::bytes(reading.done_bytes);
    let mut text = match reading.total_bytes {
        0 => done,
        total => format!("{done} of {}", humanize::bytes(total)),
    };
    text += &format!(", {}/s", humanize::bytes(reading.bytes_per_second()));
    if let Some(seconds) = reading.seconds_left() {
        text += &format!(", {} left", clock(seconds));
    }
    text
}

fn clock(seconds: u64) -> String {
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_valid() {
        for template in [KNOWN, UNKNOWN] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }

    #[test]
    fn the_message_tells_bytes_rate_and_time_left() {
        let reading = Reading {
            phase: Phase::Write,
            total_bytes: 20_000_000_000,
            done_bytes: 500_000_000,
            elapsed: Duration::from_secs(5),
        };
        assert_eq!(message(reading), "500 MB of 20 GB, 100 MB/s, 3:15 left");
        let unknown = Reading { total_bytes: 0, ..reading };
        assert_eq!(message(unknown), "500 MB, 100 MB/s");
        assert_eq!(message(Reading { done_bytes: 0, ..reading }), "");
    }

    #[test]
    fn a_phase_gets_a_bar_of_its_own() {
        let mut bar = Bar::default();
        assert_eq!(bar.pause(), PATIENCE);
        for phase in [Phase::Plan, Phase::Write] {
            bar.show(Reading { phase, total_bytes: 10, done_bytes: 5, elapsed: Duration::ZERO });
            assert_eq!(bar.bar.as_ref().unwrap().0, phase);
        }
        assert_eq!(bar.pause(), REFRESH);
    }
}
