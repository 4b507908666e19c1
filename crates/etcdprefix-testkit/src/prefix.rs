//! The rule under test, written a second time and as plainly as possible.

/// Replaces one key prefix by another at a component boundary; other keys stay.
#[derive(Clone, Debug)]
pub struct PrefixMap {
    source: Vec<u8>,
    dest: Vec<u8>,
}

impl PrefixMap {
    /// Both prefixes begin with a slash and end without one.
    pub fn new(source: &str, dest: &str) -> Self {
        Self { source: source.into(), dest: dest.into() }
    }

    /// The map that changes nothing, to compare a store with itself.
    pub fn identity() -> Self {
        Self::new("/registry", "/registry")
    }

    /// The key that `key` must have become.
    pub fn map(&self, key: &[u8]) -> Vec<u8> {
        match key.strip_prefix(self.source.as_slice()) {
            Some(rest) if rest.is_empty() || rest[0] == b'/' => [&self.dest, rest].concat(),
            _ => key.to_vec(),
        }
    }

    /// Whether the map moves `key`.
    pub fn moves(&self, key: &[u8]) -> bool {
        self.map(key) != key
    }

    /// A key under the source prefix, for writes after the change.
    pub fn source_key(&self, name: &str) -> Vec<u8> {
        [&self.source, b"/".as_slice(), name.as_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_components_match() {
        let map = PrefixMap::new("/registry", "/c1");
        for (key, image) in [
            ("/registry/a", "/c1/a"),
            ("/registry", "/c1"),
            ("/registry/", "/c1/"),
            ("/registryx", "/registryx"),
            ("/registry-gardener/a", "/registry-gardener/a"),
            ("/other/registry/a", "/other/registry/a"),
            ("compact_rev_key", "compact_rev_key"),
        ] {
            assert_eq!(map.map(key.as_bytes()), image.as_bytes(), "{key}");
        }
    }
}
