//! The screen on a terminal: a line for each host, and one for what is being done.

use std::time::{Duration, Instant};

use etcdprefix_migrate::flow::Event;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::lines::line;
use super::screen::Display;
use super::state::State;

/// Drawn anew on the same lines; what has to stay is printed above them.
pub struct Terminal {
    all: MultiProgress,
    bars: Vec<ProgressBar>,
}

/// Cut at the terminal's border.
const TEMPLATE: &str = "{wide_msg}";

impl Terminal {
    /// For so many hosts.
    pub fn new(hosts: usize) -> Self {
        let all = MultiProgress::new();
        let style = ProgressStyle::with_template(TEMPLATE);
        let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = |_| all.add(ProgressBar::new_spinner().with_style(style.clone()));
        let bars = (0..=hosts).map(bar).collect();
        Self { all, bars }
    }
}

impl Display for Terminal {
    fn pause(&self) -> Duration {
        Duration::from_millis(200)
    }

    fn happened(&mut self, event: &Event, state: &State) {
        // Steps are seen in their hosts' lines. A failure stays: the next step would hide it.
        let stays = match event {
            Event::Began { .. } | Event::Ended { .. } => None,
            event => line(event),
        };
        if let Some(line) = stays {
            self.say(&line);
        }
        self.tick(state, Instant::now());
    }

    fn tick(&mut self, state: &State, now: Instant) {
        let lines = state.host_lines(now).into_iter().chain([state.step_line(now)]);
        for (bar, line) in self.bars.iter().zip(lines) {
            bar.set_message(line);
            bar.tick();
        }
    }

    fn say(&mut self, text: &str) {
        let _ = self.all.println(format!("etcdprefix: {text}"));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        for bar in &self.bars {
            bar.finish_and_clear();
        }
        let _ = self.all.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_valid() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }
}
