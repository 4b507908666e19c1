//! The rule: which keys match, and what becomes of them.

use crate::error::{Error, Result};
use crate::options::Unmatched;
use crate::rewrite::schema::COMPACT_REV_KEY;

/// A prefix change, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixRule {
    src: String,
    dst: String,
    unmatched: Unmatched,
}

/// What the rule says of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its first bytes, as many as the source prefix has, are replaced by the destination.
    Replace,
    /// It stays, being known to have no place under any prefix.
    Known,
    /// It does not match.
    Unmatched,
}

impl PrefixRule {
    /// A rule from prefixes as the user gives them, normalised as kube-apiserver does with
    /// `--etcd-prefix` (Go's `path.Join("/", prefix)`, apiserver `storage/etcd3/store.go`).
    ///
    /// # Errors
    /// [`Error::Usage`] if both come out the same.
    pub fn new(src_prefix: &str, dest_prefix: &str, unmatched: Unmatched) -> Result<Self> {
        let (src, dst) = (normalise(src_prefix), normalise(dest_prefix));
        if src == dst {
            let shown = if src.is_empty() { "/" } else { &src };
            let why = format!("source and destination prefix are the same: {shown}");
            return Err(Error::Usage { why });
        }
        Ok(Self { src, dst, unmatched })
    }

    /// The source prefix, normalised: empty, or with a leading and without a trailing slash.
    pub fn src(&self) -> &str {
        &self.src
    }

    /// The destination prefix, normalised like the source.
    pub fn dst(&self) -> &str {
        &self.dst
    }

    /// What happens to keys that don't match.
    pub fn unmatched(&self) -> Unmatched {
        self.unmatched
    }

    /// What the rule says of `key`, which must not be that of an empty record.
    pub fn verdict(&self, key: &[u8]) -> Verdict {
        if lies_under(&self.src, key) {
            Verdict::Replace
        } else if key == COMPACT_REV_KEY {
            Verdict::Known
        } else {
            Verdict::Unmatched
        }
    }

    /// The image of a key that [`Verdict::Replace`] was said of.
    pub fn image(&self, key: &[u8]) -> Vec<u8> {
        let rest = key.get(self.src.len()..).unwrap_or_default();
        [self.dst.as_bytes(), rest].concat()
    }

    /// Whether `key` lies under the destination, where it could be taken for an image.
    pub fn is_under_destination(&self, key: &[u8]) -> bool {
        lies_under(&self.dst, key)
    }
}

/// Whether `key` is `prefix` itself or goes on with a slash: `/registryx` is not under `/registry`.
fn lies_under(prefix: &str, key: &[u8]) -> bool {
    match key.strip_prefix(prefix.as_bytes()) {
        Some([]) => !prefix.is_empty(),
        Some(rest) => rest.first() == Some(&b'/'),
        None => false,
    }
}

/// Go's `path.Join("/", prefix)`, with the root as the empty string.
pub fn normalise(prefix: &str) -> String {
    let mut components: Vec<&str> = Vec::new();
    for component in prefix.split('/') {
        match component {
            "" | "." => {}
            ".." => drop(components.pop()),
            name => components.push(name),
        }
    }
    components.iter().flat_map(|component| ["/", component]).collect()
}

/// A normalised prefix for messages: the empty one stands for the root.
pub fn shown(prefix: &str) -> String {
    if prefix.is_empty() { "/".into() } else { prefix.into() }
}

/// Whether normalising changed `prefix` by more than outer slashes, which deserves a warning.
pub fn is_reshaped(prefix: &str) -> bool {
    normalise(prefix).trim_matches('/') != prefix.trim_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(src: &str, dst: &str) -> PrefixRule {
        PrefixRule::new(src, dst, Unmatched::Keep).unwrap()
    }

    #[test]
    fn prefixes_are_normalised_as_kube_apiserver_does() {
        for (given, normal) in
            [("c123", "/c123"), ("/c123/", "/c123"), ("//c1/../c2/", "/c2"), ("", ""), ("/", "")]
        {
            assert_eq!(normalise(given), normal);
        }
        assert!(is_reshaped("//c1/../c2/"));
        assert!(!is_reshaped("c123/"));
    }

    #[test]
    fn matches_end_at_a_component() {
        let rule = rule("/registry", "/c1");
        assert_eq!(rule.verdict(b"/registry/pods/a"), Verdict::Replace);
        assert_eq!(rule.verdict(b"/registry"), Verdict::Replace);
        assert_eq!(rule.image(b"/registry"), b"/c1");
        assert_eq!(rule.verdict(b"/registryx"), Verdict::Unmatched);
        assert_eq!(rule.verdict(b"/registry-gardener/x"), Verdict::Unmatched);
        assert_eq!(rule.verdict(b"compact_rev_key"), Verdict::Known);
    }

    #[test]
    fn an_empty_source_prepends_and_an_empty_destination_strips() {
        let prepend = rule("/", "/c1");
        assert_eq!(prepend.image(b"/a"), b"/c1/a");
        assert_eq!(prepend.verdict(b"a"), Verdict::Unmatched);
        assert_eq!(prepend.verdict(b""), Verdict::Unmatched);
        let strip = rule("/registry", "");
        assert_eq!(strip.image(b"/registry/a"), b"/a");
        assert!(strip.is_under_destination(b"/x"));
        assert!(!strip.is_under_destination(b"x"));
    }

    #[test]
    fn equal_prefixes_are_refused() {
        assert!(PrefixRule::new("/a/", "a", Unmatched::Keep).is_err());
        assert!(PrefixRule::new("", "/", Unmatched::Keep).is_err());
    }
}
