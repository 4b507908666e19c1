//! Signals. SIGINT and SIGTERM: the first asks the work to stop, the second ends the process.
//! SIGXFSZ: ignored, so that a write over the limit of file sizes fails. SIGBUS: an error.

use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use etcdprefix_core::read::end_on_bus_error;
use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag::{register, register_conditional_shutdown};
use signal_hook::low_level::unregister;

use crate::exit::Exit;
use crate::failure::Failure;

/// What ends the process on a second signal.
static SHUTDOWNS: Mutex<Vec<SigId>> = Mutex::new(Vec::new());

/// A flag that the first signal sets.
pub fn on_signals() -> io::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: on the first signal the flag is still unset here, so nothing ends.
        let status = i32::from(Exit::Interrupted.code());
        let shutdown = register_conditional_shutdown(signal, status, Arc::clone(&flag))?;
        SHUTDOWNS.lock().unwrap_or_else(PoisonError::into_inner).push(shutdown);
        register(signal, Arc::clone(&flag))?;
    }
    // Nobody asks this flag.
    register(SIGXFSZ, Arc::default())?;
    Ok(flag)
}

/// From now on no signal ends the process: what is begun is done in a moment, and its exit code has
/// to tell so.
pub fn let_finish() {
    let mut shutdowns = SHUTDOWNS.lock().unwrap_or_else(PoisonError::into_inner);
    for shutdown in shutdowns.drain(..) {
        unregister(shutdown);
    }
}

/// Ends the process with `failure` where a mapped file can't be read any more.
pub fn on_bus_error(failure: &Failure) -> io::Result<()> {
    end_on_bus_error(format!("etcdprefix: {failure}\n"), failure.exit.code().into())
}
