//! This machine, if it is a master itself.

use std::path::PathBuf;
use std::process::Stdio;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::process::Command;

use super::pipe::exchange;
use super::{Host, HostError, Installed, Output, Work};
use crate::host::binary::sha256_of;
use crate::node::step_variables;

/// Runs the binary itself, without copying it.
pub struct LocalHost {
    binary: PathBuf,
}

impl LocalHost {
    /// With this binary, which is usually the one that runs.
    pub fn new(binary: PathBuf) -> Self {
        Self { binary }
    }

    async fn started(&self, work: &Work) -> Result<Output, HostError> {
        let mut command = Command::new(&self.binary);
        command.args(&work.args).kill_on_drop(true);
        // Credentials travel with the call of the steps that need them, and with no other.
        command.env_clear().envs(step_variables());
        // A signal from the terminal is for the orchestrator: it tells the step.
        command.process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let spawned = command.spawn();
        let mut child = spawned.map_err(|error| {
            HostError::Binary(format!("cannot start {}: {error}", self.binary.display()))
        })?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (stdout, stderr) = exchange(stdin, stdout, stderr, &work.stdin).await?;
        let status = child.wait().await.map_err(|error| HostError::Binary(error.to_string()))?;
        Ok(Output { code: status.code(), stdout, stderr })
    }
}

impl Host for LocalHost {
    fn name(&self) -> &str {
        "local"
    }

    fn install(&self) -> BoxFuture<'_, Result<Installed, HostError>> {
        let found = sha256_of(&self.binary);
        async move {
            let path = self.binary.display().to_string();
            Ok(Installed { path, sha256: found?, copied: false })
        }
        .boxed()
    }

    fn run<'a>(&'a self, work: &'a Work) -> BoxFuture<'a, Result<Output, HostError>> {
        async move {
            let ended = tokio::time::timeout(work.limit, self.started(work)).await;
            ended.unwrap_or(Err(HostError::OutOfTime(work.limit)))
        }
        .boxed()
    }
}
