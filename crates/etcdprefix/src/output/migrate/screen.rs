//! What the user sees while a migration goes on.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use etcdprefix_migrate::flow::{Event, View};

use super::lines::Lines;
use super::state::{Checked, State};
use super::terminal::Terminal;
use crate::output::progress;

/// A way to show it.
pub trait Display: Send {
    /// How long after the last tick is the next.
    fn pause(&self) -> Duration;
    /// Something happened, which `state` has in it.
    fn happened(&mut self, event: &Event, state: &State);
    /// Time went by.
    fn tick(&mut self, state: &State, now: Instant);
    /// Something that is no event of the migration.
    fn say(&mut self, text: &str);
}

/// Shows what it is told, until [`Screen::end`].
pub struct Screen {
    shared: Arc<Mutex<Shared>>,
    ticking: Mutex<Option<(Sender<()>, JoinHandle<()>)>>,
}

struct Shared {
    state: State,
    display: Option<Box<dyn Display>>,
}

impl Screen {
    /// On a terminal or in lines; not at all if `quiet`.
    pub fn start(hosts: Vec<String>, quiet: bool) -> Self {
        let display: Option<Box<dyn Display>> = match (quiet, progress::is_terminal()) {
            (true, _) => None,
            (false, true) => Some(Box::new(Terminal::new(hosts.len()))),
            (false, false) => Some(Box::new(Lines)),
        };
        Self::with(hosts, display)
    }

    fn with(hosts: Vec<String>, display: Option<Box<dyn Display>>) -> Self {
        let pause = display.as_ref().map(|display| display.pause());
        let state = State::new(hosts, Instant::now());
        let shared = Arc::new(Mutex::new(Shared { state, display }));
        let ticking = pause.map(|pause| tick(Arc::clone(&shared), pause));
        Self { shared, ticking: Mutex::new(ticking) }
    }

    /// Says something that is no event of the migration.
    pub fn say(&self, text: &str) {
        if let Some(display) = &mut lock(&self.shared).display {
            display.say(text);
        }
    }

    /// What was looked at on the way.
    pub fn checks(&self) -> Vec<Checked> {
        lock(&self.shared).state.checks().to_vec()
    }

    /// Clears the screen, so that a result can be printed. What comes after it is not shown.
    pub fn end(&self) {
        let ticking = self.ticking.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((stop, thread)) = ticking {
            drop(stop);
            let _ = thread.join();
        }
        lock(&self.shared).display = None;
    }
}

impl View for Screen {
    fn show(&self, event: &Event) {
        let Shared { state, display } = &mut *lock(&self.shared);
        state.take(event, Instant::now());
        if let Some(display) = display {
            display.happened(event, state);
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.end();
    }
}

fn tick(shared: Arc<Mutex<Shared>>, pause: Duration) -> (Sender<()>, JoinHandle<()>) {
    let (stop, stopped) = mpsc::channel();
    let thread = thread::spawn(move || {
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(pause) {
            let Shared { state, display } = &mut *lock(&shared);
            if let Some(display) = display {
                display.tick(state, Instant::now());
            }
        }
    });
    (stop, thread)
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends on what it is to show.
    struct Sent(Sender<String>);

    impl Display for Sent {
        fn pause(&self) -> Duration {
            Duration::from_millis(1)
        }

        fn happened(&mut self, event: &Event, _: &State) {
            let _ = self.0.send(format!("{event:?}"));
        }

        fn tick(&mut self, state: &State, now: Instant) {
            let _ = self.0.send(state.step_line(now));
        }

        fn say(&mut self, text: &str) {
            let _ = self.0.send(text.into());
        }
    }

    #[test]
    fn it_shows_events_and_time_until_it_ends() {
        let (sender, shown) = mpsc::channel();
        let screen = Screen::with(vec!["m1".into()], Some(Box::new(Sent(sender))));
        screen.show(&Event::Note("hello".into()));
        screen.say("word");
        let mut seen = shown.iter();
        assert!(seen.any(|text| text.contains("hello")));
        assert!(seen.any(|text| text == "word"));
        assert!(seen.any(|text| text.starts_with("beginning")));
        screen.end();
        screen.show(&Event::Note("late".into()));
        assert!(!shown.iter().any(|text| text.contains("late")));
    }

    #[test]
    fn a_quiet_one_keeps_the_checks_all_the_same() {
        let screen = Screen::start(Vec::new(), true);
        screen.show(&Event::Checked { host: None, checks: Vec::new() });
        assert_eq!(screen.checks().len(), 1);
    }
}
