//! The one place where commands wait for the network.

use std::future::Future;

use crate::exit::Exit;
use crate::failure::Failure;

/// Runs to the end of `work`. What it leaves behind, such as a watch, ends with it.
pub fn wait<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    // One thread waits for the disk while another hears of the network.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime
        .map_err(|source| Failure::new(Exit::Failed, format!("cannot start: {source}"), None))?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    done
}
