//! Finds the fields of an encoded `mvccpb.KeyValue` (etcd `api/mvccpb/kv.proto`: key = 1,
//! create_revision = 2, mod_revision = 3, version = 4, value = 5, lease = 6) without decoding it,
//! so that everything but the key stays byte for byte, unknown fields and their order included.

use std::ops::Range;

const KEY: u64 = 1;
const VALUE: u64 = 5;
const LEASE: u64 = 6;
/// Numbers of the varint fields; a known field in another wire type makes etcd refuse the record.
const VARINT_FIELDS: [u64; 4] = [2, 3, 4, LEASE];

/// The tag of the key field: number 1, length-delimited.
pub const KEY_TAG: u8 = 0x0A;

const VARINT_BYTES_MAX: usize = 10;
/// Groups are deprecated protobuf that etcd skips; deeper nesting than this is an attack.
const GROUP_DEPTH_MAX: usize = 32;

/// Where a record's fields lie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// The key field that a reader sees: the last one.
    pub key: Option<KeyField>,
    /// The value that a reader sees; empty if absent.
    pub value: Range<usize>,
    /// The lease that the record is attached to, 0 for none.
    pub lease: u64,
    /// Whether the key field is as etcd writes it: one, first, with the shortest tag and length.
    pub canonical: bool,
}

/// A key field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyField {
    /// Its first byte, that of the tag.
    pub start: usize,
    /// The key's bytes.
    pub key: Range<usize>,
}

/// Why a record does not decode.
pub type WireError = &'static str;

/// Finds the fields of `record`.
///
/// # Errors
/// All that makes etcd's generated decoder (gogo protobuf, etcd 3.3 to 3.6) fail: a field cut
/// short, a varint of more than 10 bytes, field number 0, an unknown wire type, a stray end of a
/// group, or a known field in the wrong wire type. A little more than that, which no encoder
/// writes: a group ended by another's number, groups nested deeper than 32, a field number over
/// 31 bits.
pub fn scan(record: &[u8]) -> Result<Fields, WireError> {
    let mut fields = Fields::default();
    let mut reader = Reader { bytes: record, at: 0 };
    let mut keys = 0;
    while reader.at < record.len() {
        let start = reader.at;
        let (number, wire) = reader.tag()?;
        let tag_bytes = reader.at - start;
        let content = reader.content(wire, number)?;
        match (number, &content) {
            (KEY, Content::Bytes { range, length_bytes }) => {
                keys += 1;
                let shortest = tag_bytes == 1 && *length_bytes == varint_bytes(range.len() as u64);
                fields.canonical = keys == 1 && start == 0 && shortest;
                fields.key = Some(KeyField { start, key: range.clone() });
            }
            (VALUE, Content::Bytes { range, .. }) => fields.value = range.clone(),
            (LEASE, Content::Varint(lease)) => fields.lease = *lease,
            (number, Content::Varint(_)) if VARINT_FIELDS.contains(&number) => {}
            (1..=LEASE, _) => return Err("known field with wrong wire type"),
            _ => {}
        }
    }
    Ok(fields)
}

/// The bytes that a varint of `number` takes.
pub fn varint_bytes(number: u64) -> usize {
    (64 - (number | 1).leading_zeros() as usize).div_ceil(7)
}

/// Writes `number` as a varint into `out` and returns the bytes used.
pub fn put_varint(out: &mut [u8; VARINT_BYTES_MAX], mut number: u64) -> usize {
    for (used, byte) in out.iter_mut().enumerate() {
        *byte = (number & 0x7F) as u8 | 0x80;
        number >>= 7;
        if number == 0 {
            *byte &= 0x7F;
            return used + 1;
        }
    }
    VARINT_BYTES_MAX
}

/// A field of any message.
pub struct Field<'a> {
    /// Its number.
    pub number: u64,
    /// All of its bytes, the tag included.
    pub raw: &'a [u8],
    /// Its value, if it is of one of the two kinds that etcd's messages use.
    pub value: FieldValue<'a>,
}

/// The value of a field.
pub enum FieldValue<'a> {
    /// A number.
    Varint(u64),
    /// Bytes, text or a message.
    Bytes(&'a [u8]),
    /// Of another kind.
    Other,
}

/// The fields of `message` in order, ending with the first fault; errors as [`scan`].
pub fn fields(message: &[u8]) -> impl Iterator<Item = Result<Field<'_>, WireError>> {
    let mut reader = Reader { bytes: message, at: 0 };
    let mut failed = false;
    std::iter::from_fn(move || {
        let more = !failed && reader.at < message.len();
        let field = more.then(|| reader.field());
        failed = matches!(field, Some(Err(_)));
        field
    })
}

enum Content {
    Varint(u64),
    Bytes { range: Range<usize>, length_bytes: usize },
    Other,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn field(&mut self) -> Result<Field<'a>, WireError> {
        let start = self.at;
        let (number, wire) = self.tag()?;
        let value = match self.content(wire, number)? {
            Content::Varint(value) => FieldValue::Varint(value),
            Content::Bytes { range, .. } => {
                FieldValue::Bytes(self.bytes.get(range).unwrap_or_default())
            }
            Content::Other => FieldValue::Other,
        };
        Ok(Field { number, raw: self.bytes.get(start..self.at).unwrap_or_default(), value })
    }

    fn tag(&mut self) -> Result<(u64, u8), WireError> {
        let tag = self.varint()?;
        let (number, wire) = (tag >> 3, (tag & 7) as u8);
        // Generated code reads the number as a positive i32.
        let legal = (1..=i32::MAX as u64).contains(&number);
        if legal { Ok((number, wire)) } else { Err("illegal field number") }
    }

    fn content(&mut self, wire: u8, number: u64) -> Result<Content, WireError> {
        match wire {
            0 => Ok(Content::Varint(self.varint()?)),
            1 => self.skip(8),
            2 => {
                let before = self.at;
                let length = self.varint()?;
                let length_bytes = self.at - before;
                let start = self.at;
                self.skip(length)?;
                Ok(Content::Bytes { range: start..self.at, length_bytes })
            }
            3 => self.group(number),
            4 => Err("end of a group that did not begin"),
            5 => self.skip(4),
            _ => Err("unknown wire type"),
        }
    }

    /// Skips a group's fields up to its end; nested groups are counted, not recursed into.
    fn group(&mut self, number: u64) -> Result<Content, WireError> {
        let mut open = vec![number];
        while let Some(&innermost) = open.last() {
            let (number, wire) = self.tag()?;
            match wire {
                3 if open.len() >= GROUP_DEPTH_MAX => return Err("groups nested too deep"),
                3 => open.push(number),
                4 if number == innermost => {
                    open.pop();
                }
                4 => return Err("end of another group"),
                _ => {
                    self.content(wire, number)?;
                }
            }
        }
        Ok(Content::Other)
    }

    fn skip(&mut self, bytes: u64) -> Result<Content, WireError> {
        let end = usize::try_from(bytes).ok().and_then(|bytes| self.at.checked_add(bytes));
        self.at = end.filter(|&end| end <= self.bytes.len()).ok_or("field cut short")?;
        Ok(Content::Other)
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, WireError> {
        let mut number = 0;
        for shift in (0..VARINT_BYTES_MAX as u32).map(|byte| byte * 7) {
            let byte = *self.bytes.get(self.at).ok_or("field cut short")?;
            self.at += 1;
            // Only one bit of the tenth byte fits; generated code drops the others.
            number |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err("varint of more than 10 bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_use_as_many_bytes_as_they_say() {
        for number in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut out = [0; VARINT_BYTES_MAX];
            let used = put_varint(&mut out, number);
            assert_eq!(used, varint_bytes(number));
            let mut reader = Reader { bytes: &out[..used], at: 0 };
            assert_eq!(reader.varint(), Ok(number));
        }
    }

    #[test]
    fn a_record_as_etcd_writes_it_is_canonical() {
        let fields = scan(b"\x0a\x02/a\x10\x05\x18\x05\x20\x01\x2a\x01v\x30\x07").unwrap();
        assert_eq!(fields.key, Some(KeyField { start: 0, key: 2..4 }));
        assert_eq!((fields.value, fields.lease, fields.canonical), (12..13, 7, true));
    }

    #[test]
    fn the_last_key_field_counts_wherever_it_is() {
        let later = scan(b"\x10\x05\x0a\x02/a").unwrap();
        assert_eq!(later.key, Some(KeyField { start: 2, key: 4..6 }));
        assert!(!later.canonical);
        let twice = scan(b"\x0a\x01x\x0a\x02/a").unwrap();
        assert_eq!(twice.key, Some(KeyField { start: 3, key: 5..7 }));
        assert!(!twice.canonical);
        assert!(!scan(b"\x0a\x82\x00/a").unwrap().canonical);
        assert!(!scan(b"\x8a\x00\x02/a").unwrap().canonical);
        assert_eq!(scan(b"\x10\x05").unwrap().key, None);
    }

    #[test]
    fn unknown_fields_and_groups_are_skipped() {
        let record = b"\x0a\x02/a\x39\0\0\0\0\0\0\0\0\x3d\0\0\0\0\x43\x4b\x08\x01\x4c\x44\x52\x01x";
        let fields = scan(record).unwrap();
        assert!(fields.canonical);
        assert_eq!(fields.key.unwrap().key, 2..4);
    }

    #[test]
    fn what_etcd_cannot_decode_is_an_error() {
        for record in [
            b"\x0a".as_slice(),
            b"\x0a\x05/a",
            b"\x08\x01",
            b"\x12\x01x",
            b"\x28\x01",
            b"\x02\x00",
            b"\x07",
            b"\x0c",
            b"\x43\x4c",
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        ] {
            assert!(scan(record).is_err(), "{record:?}");
        }
    }
}
