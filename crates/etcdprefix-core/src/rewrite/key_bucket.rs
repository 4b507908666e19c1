//! What the rule makes of one record of bucket `key`.

use std::ops::Range;

use crate::rewrite::encryption::Provider;
use crate::rewrite::rule::{PrefixRule, Verdict};
use crate::rewrite::wire::{self, KEY_TAG, WireError, varint_bytes};

/// The largest value that bbolt takes (`MaxValueSize`, v1.3): 2^31 - 2 bytes.
pub const VALUE_BYTES_MAX: u64 = (1 << 31) - 2;

/// A change of a value: `cut` is replaced by the key field's tag, the new key's length and the
/// destination prefix. What follows `cut` is the rest of the key and everything after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splice {
    /// From the first byte of the key field to the end of the source prefix in it.
    pub cut: Range<usize>,
    /// The new key's length.
    pub key_bytes: u64,
}

impl Splice {
    /// The size of the value after the change.
    pub fn value_bytes(&self, rule: &PrefixRule, before: usize) -> u64 {
        let header = 1 + varint_bytes(self.key_bytes) + rule.dst().len();
        (before - self.cut.len() + header) as u64
    }

    /// The tag and length that take the place of `cut`, before the destination prefix.
    pub fn head(&self) -> Head {
        let mut length = [0; 10];
        let used = wire::put_varint(&mut length, self.key_bytes);
        let mut bytes = [KEY_TAG; 11];
        bytes[1..].copy_from_slice(&length);
        Head { bytes, used: used + 1 }
    }
}

/// A few bytes without an allocation, since there is one for every record.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    bytes: [u8; 11],
    used: usize,
}

impl std::ops::Deref for Head {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or_default()
    }
}

/// What a record is, and what becomes of its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// The key matches.
    Matched {
        /// The change.
        splice: Splice,
        /// Whether the key field is as etcd writes it, so that the change can be undone.
        canonical: bool,
        /// Who encrypted the value.
        encrypted: Option<Provider>,
    },
    /// A record without a value, left by a restore with a revision bump; it names no key.
    Empty,
    /// `compact_rev_key`.
    CompactRevKey {
        /// Whether the key field is as etcd writes it.
        canonical: bool,
    },
    /// The key does not match.
    Unmatched {
        /// Whether the key field is as etcd writes it.
        canonical: bool,
    },
}

/// A record judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What it is.
    pub record: Record,
    /// Where its key lies in the value; empty where there is none.
    pub key: Range<usize>,
    /// The id of the lease that it is attached to, 0 for none.
    pub lease: u64,
}

/// Judges the record with this `value`.
///
/// # Errors
/// As [`wire::scan`].
pub fn judge(rule: &PrefixRule, value: &[u8]) -> Result<Judged, WireError> {
    if value.is_empty() {
        return Ok(Judged { record: Record::Empty, key: 0..0, lease: 0 });
    }
    let fields = wire::scan(value)?;
    let canonical = fields.canonical;
    let Some(field) = fields.key else {
        return Ok(Judged {
            record: Record::Unmatched { canonical },
            key: 0..0,
            lease: fields.lease,
        });
    };
    let key = value.get(field.key.clone()).unwrap_or_default();
    let record = match rule.verdict(key) {
        Verdict::Known => Record::CompactRevKey { canonical },
        Verdict::Unmatched => Record::Unmatched { canonical },
        Verdict::Replace => Record::Matched {
            splice: Splice {
                cut: field.start..field.key.start + rule.src().len(),
                key_bytes: (key.len() - rule.src().len() + rule.dst().len()) as u64,
            },
            canonical,
            encrypted: Provider::of(value.get(fields.value).unwrap_or_default()),
        },
    };
    Ok(Judged { record, key: field.key, lease: fields.lease })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Unmatched;

    fn rule() -> PrefixRule {
        PrefixRule::new("/registry", "/c1", Unmatched::Keep).unwrap()
    }

    fn rewritten(value: &[u8]) -> Vec<u8> {
        let Record::Matched { splice, .. } = judge(&rule(), value).unwrap().record else {
            return value.to_vec();
        };
        let out = [
            &value[..splice.cut.start],
            &splice.head(),
            rule().dst().as_bytes(),
            &value[splice.cut.end..],
        ]
        .concat();
        assert_eq!(out.len() as u64, splice.value_bytes(&rule(), value.len()));
        out
    }

    #[test]
    fn only_the_key_field_changes() {
        assert_eq!(
            rewritten(b"\x0a\x0b/registry/a\x10\x05\x2a\x01v"),
            b"\x0a\x05/c1/a\x10\x05\x2a\x01v"
        );
        assert_eq!(rewritten(b"\x0a\x09/registry"), b"\x0a\x03/c1");
        assert_eq!(rewritten(b"\x0a\x0a/registryx"), b"\x0a\x0a/registryx");
        assert_eq!(rewritten(b""), b"");
    }

    #[test]
    fn odd_encodings_show_the_mapped_key_to_a_reader() {
        assert_eq!(rewritten(b"\x10\x05\x0a\x0b/registry/a"), b"\x10\x05\x0a\x05/c1/a");
        assert_eq!(rewritten(b"\x0a\x8b\x00/registry/a"), b"\x0a\x05/c1/a");
        assert_eq!(
            rewritten(b"\x0a\x0b/registry/b\x0a\x0b/registry/a"),
            b"\x0a\x0b/registry/b\x0a\x05/c1/a"
        );
        assert_eq!(rewritten(b"\x0a\x0b/registry/b\x0a\x02/a"), b"\x0a\x0b/registry/b\x0a\x02/a");
    }

    #[test]
    fn encryption_bound_to_the_key_is_seen() {
        let sealed = b"\x0a\x0b/registry/a\x2a\x14k8s:enc:aesgcm:v1:k1";
        let Record::Matched { encrypted, .. } = judge(&rule(), sealed).unwrap().record else {
            panic!("does not match");
        };
        assert_eq!(encrypted, Some(Provider::Aesgcm));
    }
}
