//! Signals. SIGINT and SIGTERM: the first asks the work to stop, the second ends the process.
//! SIGXFSZ: ignored, so that a write over the limit of file sizes fails. SIGBUS: an error.

use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use etcdprefix_core::read::end_on_bus_error;
use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag::{register, register_conditional_shutdown};
use signal_hook::low_level::unregister;

use crate::exit::Exit;
use crate::failure::Failure;

/// Set by the first signal. One for the process: a command may work in several steps, and a signal
/// between two of them counts too.
static INTERRUPTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// What ends the process on a second signal, and what sets the flag.
static ACTIONS: Mutex<Actions> = Mutex::new(Actions { shutdowns: Vec::new(), flags: Vec::new() });

struct Actions {
    shutdowns: Vec<SigId>,
    flags: Vec<SigId>,
}

/// A flag that the first signal sets. Called again, after [`let_finish`] too, it is as it was.
pub fn on_signals() -> io::Result<Arc<AtomicBool>> {
    let mut actions = ACTIONS.lock().unwrap_or_else(PoisonError::into_inner);
    let Actions { shutdowns, flags } = &mut *actions;
    let old: Vec<SigId> = shutdowns.drain(..).chain(flags.drain(..)).collect();
    for signal in [SIGINT, SIGTERM] {
        // In this order: on the first signal the flag is still unset here, so nothing ends.
        let status = i32::from(Exit::Interrupted.code());
        shutdowns.push(register_conditional_shutdown(signal, status, Arc::clone(&INTERRUPTED))?);
        flags.push(register(signal, Arc::clone(&INTERRUPTED))?);
    }
    // Nobody asks this flag.
    flags.push(register(SIGXFSZ, Arc::default())?);
    // Only now, so that no signal falls between; it would set the flag and end nothing.
    for action in old {
        unregister(action);
    }
    Ok(Arc::clone(&INTERRUPTED))
}

/// From now on no signal ends the process: what is begun is done in a moment, and its exit code has
/// to tell so.
pub fn let_finish() {
    let mut actions = ACTIONS.lock().unwrap_or_else(PoisonError::into_inner);
    for shutdown in actions.shutdowns.drain(..) {
        unregister(shutdown);
    }
}

/// For work that puts everything back when it is asked to stop, and must not be ended in the middle of
/// that: the first signal sets the flag, the second is told that it changes nothing, and only a third
/// ends the process. So does a terminal that goes away, unless that is ignored (`nohup`).
#[cfg(feature = "migrate")]
pub fn patiently(tell: impl Fn(&str) + Send + 'static) -> io::Result<Arc<AtomicBool>> {
    use signal_hook::consts::SIGHUP;
    use signal_hook::low_level::pipe;
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    let (mut heard, write) = UnixStream::pair()?;
    let signals = [SIGINT, SIGTERM].into_iter().chain((!is_ignored(SIGHUP)).then_some(SIGHUP));
    for signal in signals {
        pipe::register(signal, write.try_clone()?)?;
    }
    register(SIGXFSZ, Arc::default())?;
    std::thread::spawn(move || {
        let mut patience = Patience::default();
        while heard.read_exact(&mut [0]).is_ok() {
            match patience.heard(std::time::Instant::now()) {
                Heard::Stop => {
                    INTERRUPTED.store(true, std::sync::atomic::Ordering::SeqCst);
                    tell(
                        "stopping; what was done on the hosts is put back, unless it is handed out",
                    );
                }
                Heard::Told => tell(
                    "still putting things back; another signal ends this at once (exit 40), and \
                     leaves the hosts as they are: `migrate status`",
                ),
                Heard::Nothing => {}
                Heard::End => std::process::exit(Exit::NotRolledBack.code().into()),
            }
        }
    });
    Ok(Arc::clone(&INTERRUPTED))
}

/// For a step on a host: a signal sets the flag, however often it is sent, and never ends the process
/// while it puts things back. Whoever waits for it may lose the connection, which says nothing here.
#[cfg(feature = "migrate")]
pub fn on_every_signal() -> io::Result<Arc<AtomicBool>> {
    use signal_hook::consts::SIGHUP;
    for signal in [SIGINT, SIGTERM] {
        register(signal, Arc::clone(&INTERRUPTED))?;
    }
    for unheeded in [SIGHUP, SIGXFSZ] {
        register(unheeded, Arc::default())?;
    }
    Ok(Arc::clone(&INTERRUPTED))
}

/// How many signals there were, and when.
#[cfg(feature = "migrate")]
#[derive(Default)]
struct Patience {
    count: u32,
    told: Option<std::time::Instant>,
}

#[cfg(feature = "migrate")]
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Stop,
    Told,
    Nothing,
    End,
}

#[cfg(feature = "migrate")]
impl Patience {
    /// Whoever holds the key down has not read what the second one was told.
    const READING: std::time::Duration = std::time::Duration::from_secs(1);

    fn heard(&mut self, now: std::time::Instant) -> Heard {
        self.count += 1;
        match (self.count, self.told) {
            (1, _) => Heard::Stop,
            (_, None) => {
                self.told = Some(now);
                Heard::Told
            }
            (_, Some(told)) if now - told < Self::READING => Heard::Nothing,
            _ => Heard::End,
        }
    }
}

/// Whether whoever started this process ignores that signal.
#[cfg(feature = "migrate")]
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Ends the process with `failure` where a mapped file can't be read any more.
pub fn on_bus_error(failure: &Failure) -> io::Result<()> {
    end_on_bus_error(format!("etcdprefix: {failure}\n"), failure.exit.code().into())
}

#[cfg(all(test, feature = "migrate"))]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn only_who_was_told_ends_the_process() {
        let start = Instant::now();
        let mut patience = Patience::default();
        let mut at = |millis| patience.heard(start + Duration::from_millis(millis));
        assert_eq!(at(0), Heard::Stop);
        assert_eq!(at(10), Heard::Told);
        assert_eq!(at(20), Heard::Nothing);
        assert_eq!(at(1_500), Heard::End);
    }
}
