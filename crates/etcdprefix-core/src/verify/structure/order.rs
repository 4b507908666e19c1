//! The order of keys over the pages of one tree.

use super::frame::Fault;
use crate::error::Corruption;
use crate::verify::findings::FindingCode;

/// bbolt's `MaxKeySize`. `Put` refuses longer keys, so only a forged file has one, and holding it
/// to less bounds what is kept of each level.
pub const MAX_KEY_BYTES: usize = 32_768;

/// The last key met in a walk over a tree.
#[derive(Default)]
pub struct Order {
    last: Vec<u8>,
    met: Met,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Met {
    #[default]
    Nothing,
    /// The key of a branch element, which the first key of its subtree may equal.
    Branch,
    Record,
}

impl Order {
    /// Judges the next key of a branch element, or the first key of a leaf. If `exact`, the first
    /// key of a subtree has to be that of the branch element above it.
    pub fn check(&self, key: &[u8], exact: bool) -> Result<(), Fault> {
        if key.len() > MAX_KEY_BYTES {
            return Err(too_long(key));
        }
        let rises = match self.met {
            Met::Nothing => true,
            Met::Branch => key >= self.last.as_slice(),
            Met::Record => key > self.last.as_slice(),
        };
        if !rises {
            return Err(out_of_order(&self.last, key));
        }
        if exact && self.met == Met::Branch && key != self.last {
            let detail = format!("branch key {} over {}", hex(&self.last), hex(key));
            return Err(Fault::new(FindingCode::FirstKeyDiffers, detail));
        }
        Ok(())
    }

    /// Goes on from a branch element.
    pub fn pass_branch(&mut self, key: &[u8]) {
        self.pass(key, Met::Branch);
    }

    /// Goes on from the last key of a leaf.
    pub fn pass_record(&mut self, key: &[u8]) {
        self.pass(key, Met::Record);
    }

    fn pass(&mut self, key: &[u8], met: Met) {
        self.last.clear();
        self.last.extend_from_slice(key);
        self.met = met;
    }
}

/// Judges the last key of a page by the key of the next page's branch element.
pub fn check_upper(key: &[u8], upper: Option<&[u8]>) -> Result<(), Fault> {
    match upper {
        Some(upper) if key >= upper => Err(out_of_order(key, upper)),
        _ => Ok(()),
    }
}

pub fn out_of_order(earlier: &[u8], later: &[u8]) -> Fault {
    Fault::from(&Corruption::OutOfOrder { earlier: hex(earlier), later: hex(later) })
}

pub fn too_long(key: &[u8]) -> Fault {
    let detail = format!("key of {} bytes", key.len());
    Fault::new(FindingCode::KeyTooLong, detail)
}

/// Hexadecimal, cut where a forged key would fill the screen.
pub fn hex(bytes: &[u8]) -> String {
    const SHOWN_BYTES: usize = 64;
    let shown = bytes.get(..SHOWN_BYTES).unwrap_or(bytes);
    let digits = shown.iter().map(|byte| format!("{byte:02x}"));
    let rest = if shown.len() < bytes.len() { "..." } else { "" };
    digits.chain([rest.to_owned()]).collect()
}
