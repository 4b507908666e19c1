//! The screen where there is no terminal: a line for what happens, when it happens.

use std::time::{Duration, Instant};

use etcdprefix_migrate::flow::Event;

use super::screen::Display;
use super::state::{State, seconds_clock};
use super::without_host;
use crate::output::text::one_line;
use crate::output::to_stderr;

/// Also a line now and then where a step takes long, so that a log shows that it goes on.
#[derive(Default)]
pub struct Lines;

impl Display for Lines {
    fn pause(&self) -> Duration {
        Duration::from_secs(30)
    }

    fn happened(&mut self, event: &Event, _: &State) {
        if let Some(line) = line(event) {
            tell(&line);
        }
    }

    fn tick(&mut self, state: &State, now: Instant) {
        if state.is_busy() {
            tell(&state.step_line(now));
        }
    }

    fn say(&mut self, text: &str) {
        tell(text);
    }
}

fn tell(line: &str) {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
    to_stderr(&format!("{now} etcdprefix: {line}\n"));
}

/// What a log says of an event.
pub fn line(event: &Event) -> Option<String> {
    let at = |host: &Option<String>| host.clone().unwrap_or_else(|| "all hosts".into());
    Some(one_line(&match event {
        Event::Began { step, host } => format!("{}: {step} begins", at(host)),
        Event::Ended { step, host, seconds, summary } => {
            format!("{}: {step} done in {seconds:.1} s: {summary}", at(host))
        }
        Event::Failed { step, host, why } => {
            let host = at(host);
            format!("{host}: {step} FAILED: {}", without_host(why, &host))
        }
        // The result has them, or the error's report.
        Event::Checked { .. } => return None,
        Event::OutageBegan { seconds: 0.0 } => {
            "the outage begins: the first host is put to sleep".into()
        }
        Event::OutageBegan { seconds } => {
            format!("the outage began {} ago", seconds_clock(*seconds))
        }
        Event::UrlReady { seconds } => {
            format!("the URL is there, {} after the outage began", seconds_clock(*seconds))
        }
        Event::OutageEnded { seconds } => {
            format!("all hosts are awake again, {} after the outage began", seconds_clock(*seconds))
        }
        Event::Note(text) => text.clone(),
        Event::Warning(text) => format!("warning: {text}"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_lines() {
        let m1 = || Some("m1".to_owned());
        for (event, expected) in [
            (Event::Began { step: "sleep", host: m1() }, "m1: sleep begins"),
            (
                Event::Ended { step: "sleep", host: m1(), seconds: 1.25, summary: "a\nb".into() },
                "m1: sleep done in 1.2 s: a\\nb",
            ),
            (
                Event::Failed { step: "wake", host: None, why: "no".into() },
                "all hosts: wake FAILED: no",
            ),
            (
                Event::Failed { step: "lock", host: m1(), why: "m1: refused".into() },
                "m1: lock FAILED: refused",
            ),
            (Event::UrlReady { seconds: 61.0 }, "the URL is there, 1:01 after the outage began"),
            (Event::Warning("slow".into()), "warning: slow"),
        ] {
            assert_eq!(line(&event).as_deref(), Some(expected));
        }
        assert_eq!(line(&Event::Checked { host: None, checks: Vec::new() }), None);
    }
}
