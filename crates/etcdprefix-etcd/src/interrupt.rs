//! Waiting that a signal can end.

use std::time::Duration;

use etcdprefix_core::progress::Progress;

use crate::error::{Error, Result};

/// How often an interruption is looked for.
const TICK: Duration = Duration::from_millis(50);

/// Ends the waiting for `work` soon after an interruption.
///
/// # Errors
/// Those of `work`, and [`Error::Interrupted`].
pub async fn unless_interrupted<T>(
    progress: &dyn Progress,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let interrupted = async {
        while !progress.interrupted() {
            tokio::time::sleep(TICK).await;
        }
    };
    tokio::select! {
        done = work => done,
        () = interrupted => Err(Error::Interrupted),
    }
}
