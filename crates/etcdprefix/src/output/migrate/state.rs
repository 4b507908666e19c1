//! What the orchestrator has told so far, and how that reads.

use std::time::{Duration, Instant};

use etcdprefix_migrate::flow::Event;
use etcdprefix_migrate::node::preflight::Check;

use super::without_host;
use crate::output::text::one_line;

/// All hosts, the step that is being done, the outage.
#[derive(Debug)]
pub struct State {
    hosts: Vec<HostState>,
    step: Option<(&'static str, Instant)>,
    began: Instant,
    outage: Outage,
    checks: Vec<Checked>,
}

/// What was looked at on a host, or `None` for what only all of them show.
#[derive(Clone, Debug)]
pub struct Checked {
    pub host: Option<String>,
    pub checks: Vec<Check>,
}

#[derive(Debug)]
struct HostState {
    name: String,
    now: Now,
}

/// What a host is at.
#[derive(Debug)]
enum Now {
    Nothing,
    Doing { step: &'static str, since: Instant },
    Done { step: &'static str, seconds: f64, summary: String },
    Failed { step: &'static str, why: String },
}

/// How long the API is away.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outage {
    None,
    Since(Instant),
    UrlAfter(f64),
    Over(f64),
}

impl State {
    /// Before anything was told.
    pub fn new(hosts: Vec<String>, now: Instant) -> Self {
        let host = |name| HostState { name, now: Now::Nothing };
        Self {
            hosts: hosts.into_iter().map(host).collect(),
            step: None,
            began: now,
            outage: Outage::None,
            checks: Vec::new(),
        }
    }

    /// What was looked at on the way.
    pub fn checks(&self) -> &[Checked] {
        &self.checks
    }

    /// Takes note.
    pub fn take(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Began { step, host } => {
                if self.step.is_none_or(|(last, _)| last != *step) {
                    self.step = Some((step, now));
                }
                self.set(host, || Now::Doing { step, since: now });
            }
            Event::Ended { step, host, seconds, summary } => {
                let (seconds, summary) = (*seconds, one_line(summary));
                self.set(host, || Now::Done { step, seconds, summary: summary.clone() });
            }
            Event::Failed { step, host, why } => {
                let why = without_host(why, host.as_deref().unwrap_or_default());
                self.set(host, || Now::Failed { step, why: one_line(why) });
            }
            Event::Checked { host, checks } => {
                self.checks.push(Checked { host: host.clone(), checks: checks.clone() });
            }
            Event::OutageBegan { seconds } => {
                let ago = Duration::try_from_secs_f64(*seconds).unwrap_or_default();
                self.outage = Outage::Since(now.checked_sub(ago).unwrap_or(now));
            }
            Event::UrlReady { seconds } => self.outage = Outage::UrlAfter(*seconds),
            Event::OutageEnded { seconds } => self.outage = Outage::Over(*seconds),
            Event::Note(_) | Event::Warning(_) => {}
        }
    }

    /// On one host, or on all.
    fn set(&mut self, host: &Option<String>, state: impl Fn() -> Now) {
        let is_meant =
            |known: &&mut HostState| host.as_ref().is_none_or(|host| known.name == *host);
        for host in self.hosts.iter_mut().filter(is_meant) {
            host.now = state();
        }
    }

    /// A line for each host.
    pub fn host_lines(&self, now: Instant) -> Vec<String> {
        let width = self.hosts.iter().map(|host| host.name.chars().count()).max().unwrap_or(0);
        let line = |host: &HostState| {
            let text = format!("{:<width$}  {}", one_line(&host.name), host.now.text(now));
            text.trim_end().to_owned()
        };
        self.hosts.iter().map(line).collect()
    }

    /// What is being done, for how long, and the outage's clock.
    pub fn step_line(&self, now: Instant) -> String {
        let step = match self.step {
            Some((step, since)) => format!("{step} {}", clock(now - since)),
            None => "beginning".to_owned(),
        };
        let all = clock(now - self.began);
        match self.outage(now) {
            Some(outage) => format!("{step}, {all} in all; {outage}"),
            None => format!("{step}, {all} in all"),
        }
    }

    /// The clock that users feel.
    fn outage(&self, now: Instant) -> Option<String> {
        Some(match self.outage {
            Outage::None => return None,
            Outage::Since(since) => format!("the API is away for {}", clock(now - since)),
            Outage::UrlAfter(seconds) => {
                format!("the URL was there after {}", seconds_clock(seconds))
            }
            Outage::Over(seconds) => format!("the API was away for {}", seconds_clock(seconds)),
        })
    }

    /// Whether a step is being done anywhere.
    pub fn is_busy(&self) -> bool {
        self.hosts.iter().any(|host| matches!(host.now, Now::Doing { .. }))
    }
}

impl Now {
    fn text(&self, now: Instant) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Doing { step, since } => format!("{step} {}", clock(now - *since)),
            Self::Done { step, seconds, summary } => format!("{step} {seconds:.1} s: {summary}"),
            Self::Failed { step, why } => format!("{step} FAILED: {why}"),
        }
    }
}

/// `1:07`, `1:00:07`.
pub fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    match hours {
        0 => format!("{minutes}:{:02}", seconds % 60),
        _ => format!("{hours}:{minutes:02}:{:02}", seconds % 60),
    }
}

/// The same of a number of seconds, which may come from a file.
pub fn seconds_clock(seconds: f64) -> String {
    clock(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn began(step: &'static str, host: &str) -> Event {
        Event::Began { step, host: Some(host.into()) }
    }

    #[test]
    fn hosts_are_told_apart_and_the_outage_has_a_clock() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut state = State::new(vec!["m1".into(), "root@m2".into()], start);
        assert_eq!(state.step_line(after(1)), "beginning, 0:01 in all");
        state.take(&Event::OutageBegan { seconds: 0.0 }, after(10));
        state.take(&began("sleep", "m1"), after(10));
        state.take(&began("sleep", "root@m2"), after(12));
        assert_eq!(state.host_lines(after(15)), ["m1       sleep 0:05", "root@m2  sleep 0:03"]);
        assert_eq!(state.step_line(after(75)), "sleep 1:05, 1:15 in all; the API is away for 1:05");
        let summary = "3 manifests\nmoved".to_owned();
        let host = Some("m1".to_owned());
        state.take(&Event::Ended { step: "sleep", host, seconds: 65.25, summary }, after(75));
        let host = Some("root@m2".to_owned());
        state.take(
            &Event::Failed { step: "sleep", host, why: "root@m2: it runs".into() },
            after(75),
        );
        assert_eq!(
            state.host_lines(after(80)),
            ["m1       sleep 65.2 s: 3 manifests\\nmoved", "root@m2  sleep FAILED: it runs"]
        );
        assert!(!state.is_busy());
    }

    #[test]
    fn the_clock_stops_with_the_url_or_with_the_hosts_awake() {
        let start = Instant::now();
        let mut state = State::new(Vec::new(), start);
        state.take(&Event::OutageBegan { seconds: 0.0 }, start);
        state.take(&Event::UrlReady { seconds: 83.2 }, start);
        let line = state.step_line(start + Duration::from_secs(4000));
        assert_eq!(line, "beginning, 1:06:40 in all; the URL was there after 1:23");
        state.take(&Event::OutageEnded { seconds: 90.0 }, start);
        assert!(state.step_line(start).ends_with("the API was away for 1:30"));
    }
}
