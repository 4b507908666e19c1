//! Saves snapshots through the server's stream, as `etcdctl snapshot save` does.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use etcd_client::Client;

use crate::{EtcdServer, block_on, within};

/// A server that sends nothing for this long is stuck.
const MESSAGE_LIMIT: Duration = Duration::from_secs(60);

/// Saves the server's snapshot, trailer included, and returns its size in bytes.
pub fn snapshot(server: &EtcdServer, to: &Path) -> Result<u64> {
    block_on(async { stream(&mut server.client().await?, to).await })
}

/// As [`snapshot`], over a client at hand: no other request can slip in between.
pub async fn stream(client: &mut Client, to: &Path) -> Result<u64> {
    let mut file = BufWriter::new(File::create(to)?);
    let mut messages = client.snapshot().await?;
    let mut written = 0;
    while let Some(message) = within(MESSAGE_LIMIT, "snapshot stream", messages.message()).await?? {
        file.write_all(message.blob())?;
        written += message.blob().len() as u64;
    }
    file.into_inner()?.sync_all()?;
    // Pages are a multiple of 512 bytes, the trailer is 32: the last message did come.
    if written % 512 != 32 {
        bail!("the stream ended after {written} bytes, before its SHA-256");
    }
    Ok(written)
}
