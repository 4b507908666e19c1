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

/// Ends the process with `failure` where a mapped file can't be read any more.
pub fn on_bus_error(failure: &Failure) -> io::Result<()> {
    end_on_bus_error(format!("etcdprefix: {failure}\n"), failure.exit.code().into())
}
