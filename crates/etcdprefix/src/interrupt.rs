//! Signals. SIGINT and SIGTERM: the first asks the work to stop, the second ends the process.
//! SIGXFSZ: ignored, so that a write over the limit of file sizes fails. SIGBUS: an error.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use etcdprefix_core::read::end_on_bus_error;
use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag::{register, register_conditional_shutdown};

use crate::exit::Exit;
use crate::failure::Failure;

/// A flag that the first signal sets.
pub fn on_signals() -> io::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: on the first signal the flag is still unset here, so nothing ends.
        let status = i32::from(Exit::Interrupted.code());
        register_conditional_shutdown(signal, status, Arc::clone(&flag))?;
        register(signal, Arc::clone(&flag))?;
    }
    // Nobody asks this flag.
    register(SIGXFSZ, Arc::default())?;
    Ok(flag)
}

/// Ends the process with `failure` where a mapped file can't be read any more.
pub fn on_bus_error(failure: &Failure) -> io::Result<()> {
    end_on_bus_error(format!("etcdprefix: {failure}\n"), failure.exit.code().into())
}
