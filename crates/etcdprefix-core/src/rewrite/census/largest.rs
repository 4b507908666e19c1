//! The keys with the largest records.

/// How many are kept.
const KEPT: usize = 10;
/// Bytes of a key that are told apart.
const KEY_BYTES: usize = 256;

/// At most ten keys, the one with the largest record first.
#[derive(Clone, Debug, Default)]
pub struct Largest(Vec<(u64, Vec<u8>)>);

impl Largest {
    /// Notes a record of `bytes` bytes.
    pub fn note(&mut self, bytes: u64, key: &[u8]) {
        if self.0.len() >= KEPT && self.0.last().is_some_and(|(least, _)| bytes <= *least) {
            return;
        }
        let key = key.get(..KEY_BYTES).unwrap_or(key);
        match self.0.iter_mut().find(|(_, kept)| kept == key) {
            Some((most, _)) => *most = bytes.max(*most),
            None => self.0.push((bytes, key.to_vec())),
        }
        self.0.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        self.0.truncate(KEPT);
    }

    /// Notes what another count kept.
    pub fn merge(&mut self, later: &Self) {
        later.0.iter().for_each(|(bytes, key)| self.note(*bytes, key));
    }

    /// Keys and the bytes of their largest records.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.0.iter().map(|(bytes, key)| (*bytes, key.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_counts_once_with_its_largest_record() {
        let mut largest = Largest::default();
        for bytes in (0..1000).rev() {
            largest.note(bytes, format!("/{}", bytes % 20).as_bytes());
        }
        let mut other = Largest::default();
        other.note(5_000, b"/19");
        largest.merge(&other);
        let found: Vec<_> = largest.iter().collect();
        assert_eq!(found.len(), KEPT);
        assert_eq!(found[..2], [(5_000, &b"/19"[..]), (998, &b"/18"[..])]);
        assert_eq!(found[9].0, 990);
    }
}
