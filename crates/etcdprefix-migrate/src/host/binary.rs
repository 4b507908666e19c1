//! Which binary is for which host.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::HostError;

/// Binaries by architecture, as `uname -m` calls it.
#[derive(Clone, Debug)]
pub struct Binaries {
    given: BTreeMap<String, PathBuf>,
    own: PathBuf,
}

impl Binaries {
    /// Those that are given; for hosts of this machine's kind else the one that runs.
    pub fn new(given: BTreeMap<String, PathBuf>, own: PathBuf) -> Self {
        Self { given, own }
    }

    /// For a host of this kind.
    pub fn for_arch(&self, arch: &str) -> Result<&Path, HostError> {
        let own = (arch == std::env::consts::ARCH).then_some(&self.own);
        let found = self.given.get(arch).or(own).map(PathBuf::as_path);
        found.ok_or_else(|| {
            HostError::Binary(format!(
                "no binary for {arch}, and this one is for {}; try: --binary {arch}=FILE",
                std::env::consts::ARCH
            ))
        })
    }
}

/// In hexadecimal.
pub fn sha256_of(path: &Path) -> Result<String, HostError> {
    let unread = |error: io::Error| {
        HostError::Binary(format!("cannot read the binary {}: {error}", path.display()))
    };
    let mut file = File::open(path).map_err(unread)?;
    let mut hasher = Hasher(Sha256::new());
    io::copy(&mut file, &mut hasher).map_err(unread)?;
    Ok(etcdprefix_core::format::trailer::hex(&hasher.0.finalize().into()))
}

struct Hasher(Sha256);

impl io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
