//! The key of a run: what hosts say is sealed to it.

use std::hash::{BuildHasher, RandomState};
use std::io::Read;

use age::Decryptor;
use age::x25519::Identity;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::super::{HostError, Output};
use crate::node::relay::Relayed;

/// In this process's memory, and nowhere else.
pub struct RunKey(Identity);

impl RunKey {
    pub fn generate() -> Self {
        Self(Identity::generate())
    }

    /// For whom hosts seal.
    pub fn recipient(&self) -> String {
        self.0.to_public().to_string()
    }

    /// What the run of that id ended with.
    pub fn open(&self, id: &str, sealed: &[u8]) -> Result<Output, HostError> {
        let odd = |why: &str| HostError::Binary(format!("its reply can't be read: {why}"));
        let decryptor = Decryptor::new(sealed).map_err(|_| odd("it is not sealed"))?;
        let mut plain = Zeroizing::new(Vec::with_capacity(sealed.len()));
        let identity: &dyn age::Identity = &self.0;
        let reader = decryptor.decrypt([identity].into_iter());
        let mut reader = reader.map_err(|_| odd("it is sealed for another run"))?;
        reader.read_to_end(&mut plain).map_err(|_| odd("it is damaged"))?;
        let relayed: Relayed =
            serde_json::from_slice(&plain).map_err(|_| odd("another version?"))?;
        if relayed.id != id {
            return Err(odd("it is another command's"));
        }
        let stdout = STANDARD.decode(&relayed.stdout).map_err(|_| odd("another version?"))?;
        let stderr = relayed.stderr.clone();
        Ok(Output { code: relayed.code, stdout: Zeroizing::new(stdout), stderr })
    }
}

/// Of a command; no two are alike.
pub fn fresh_id() -> String {
    let part = || RandomState::new().hash_one(std::time::Instant::now());
    format!("{:016x}{:016x}", part(), part())
}
