//! The orchestrator's own folder: what is in it is nobody else's business.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use etcdprefix_migrate::Error;

use crate::exit::Exit;
use crate::failure::Failure;

/// Makes it with mode 0700, with those above it that are missing. One that is there must be ours alone.
pub fn make(folder: &Path) -> Result<(), Failure> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    let judged = made.and_then(|()| folder.metadata()).map_err(|source| failed(folder, source))?;
    let others = judged.mode() & 0o077;
    if others != 0 {
        let mode = judged.mode() & 0o7777;
        let message = format!("{} is open to others: its mode is {mode:04o}", folder.display());
        let hint = format!("chmod 700 {}, or another --folder", folder.display());
        return Err(Failure::new(Exit::Io, message, Some(hint)));
    }
    Ok(())
}

fn failed(folder: &Path, source: io::Error) -> Failure {
    Failure::migration(&Error::File { doing: "make the folder", path: folder.into(), source })
}
