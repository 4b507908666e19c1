//! Snapshots with a few changes in places that mean something, their checksums right again: what
//! gets past every hash and is judged by its structure alone.

use anyhow::Result;
use sha2::{Digest, Sha256};

use crate::bolt::{Bolt, fnv1a_64};
use crate::random::Random;

const HEADER: usize = 16;
const META_BODY: usize = 56;
const ELEMENT: usize = 16;

/// A copy of a sound snapshot with one to three changes.
///
/// # Errors
/// If it is no snapshot.
pub fn mutate(snapshot: &[u8], random: &mut Random) -> Result<Vec<u8>> {
    let bolt = Bolt::parse(snapshot.to_vec())?;
    let pages = bolt.high_water() as usize;
    let bytes = snapshot[..pages * bolt.page_size()].to_vec();
    let mut file = Mutant { bytes, page_size: bolt.page_size(), pages };
    for _ in 0..=random.below(3) {
        file.change(random);
    }
    Ok(file.sealed())
}

struct Mutant {
    bytes: Vec<u8>,
    page_size: usize,
    pages: usize,
}

impl Mutant {
    fn change(&mut self, random: &mut Random) {
        let page = self.page(random);
        match random.below(10) {
            0 => {
                let at = random.below(self.bytes.len() as u64) as usize;
                self.bytes[at] ^= 1 << random.below(8);
            }
            1 | 2 => self.number(page + 8 + 2 * random.below(2) as usize, 2, random),
            3 => self.number(page + 8 * random.below(2) as usize, 8, random),
            4 => self.number(page + 12, 4, random),
            5 => self.meta(random),
            6 => self.copy_page(page, random),
            _ => {
                let element = page + HEADER + ELEMENT * random.below(8) as usize;
                self.number(element + 4 * random.below(4) as usize, 4, random);
            }
        }
    }

    /// A page behind the metas.
    fn page(&self, random: &mut Random) -> usize {
        (2 + random.below(self.pages as u64 - 2) as usize) * self.page_size
    }

    /// Near what was there, small, about a page, or where arithmetic overflows.
    fn number(&mut self, at: usize, width: usize, random: &mut Random) {
        let mut bytes = [0; 8];
        bytes[..width].copy_from_slice(&self.bytes[at..at + width]);
        let before = u64::from_le_bytes(bytes);
        let number = match random.below(5) {
            0 => before.wrapping_add(1),
            1 => before.wrapping_sub(1 + random.below(16)),
            2 => random.below(20),
            3 => (self.page_size as u64).wrapping_sub(8).wrapping_add(random.below(16)),
            _ => 0u64.wrapping_sub(1 + random.below(16)),
        };
        self.bytes[at..at + width].copy_from_slice(&number.to_le_bytes()[..width]);
    }

    /// Root, freelist, high water mark or transaction, in one meta page or both.
    fn meta(&mut self, random: &mut Random) {
        let word = HEADER + 16 + 8 * [0, 2, 3, 4][random.below(4) as usize];
        match random.below(3) {
            0 => self.number(word, 8, random),
            1 => self.number(self.page_size + word, 8, random),
            _ => {
                self.number(word, 8, random);
                self.bytes.copy_within(word..word + 8, self.page_size + word);
            }
        }
    }

    fn copy_page(&mut self, to: usize, random: &mut Random) {
        let from = self.page(random);
        self.bytes.copy_within(from..from + self.page_size, to);
        let id = (to / self.page_size) as u64;
        self.bytes[to..to + 8].copy_from_slice(&id.to_le_bytes());
    }

    fn sealed(mut self) -> Vec<u8> {
        for page in [0, self.page_size] {
            let body = page + HEADER..page + HEADER + META_BODY;
            let checksum = fnv1a_64(&self.bytes[body.clone()]).to_le_bytes();
            self.bytes[body.end..body.end + 8].copy_from_slice(&checksum);
        }
        let digest = Sha256::digest(&self.bytes);
        self.bytes.extend_from_slice(&digest);
        self.bytes
    }
}
