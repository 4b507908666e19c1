//! The commands that talk to live members.

mod client;
mod endpoint;
mod quiet;
mod save;

pub use endpoint::run as endpoint;
pub use save::run as save;

use std::future::Future;

use crate::exit::Exit;
use crate::failure::Failure;

/// Runs to the end of `work`. What it leaves behind, such as a watch, ends with it.
fn wait<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    // One thread waits for the disk while another hears of the network.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime
        .map_err(|source| Failure::new(Exit::Failed, format!("cannot start: {source}"), None))?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    done
}
