//! What a reader sees in a record, decoded apart from the writer's decoder so that one can
//! convict the other.

/// A record's value taken apart at its key: `before`, the key's field, `after`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record<'v> {
    /// The key that etcd sees: that of the last key field, empty if there is none.
    pub key: &'v [u8],
    /// The bytes before that field; all bytes if there is none.
    pub before: &'v [u8],
    /// The bytes after it.
    pub after: &'v [u8],
    /// The key and the bytes after it.
    pub from_key: &'v [u8],
    /// Whether the key's field is the only one, the first, and as short as can be.
    pub canonical: bool,
    /// The numbers that a reader sees.
    pub numbers: Numbers,
}

/// A record's numbers, 0 where absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    pub create_revision: i64,
    pub mod_revision: i64,
    pub version: i64,
    pub lease: i64,
}

impl Numbers {
    fn set(&mut self, number: i32, value: u64) {
        let field = match number {
            2 => &mut self.create_revision,
            3 => &mut self.mod_revision,
            4 => &mut self.version,
            6 => &mut self.lease,
            _ => return,
        };
        *field = value as i64;
    }
}

pub const VARINT: u8 = 0;
const FIXED64: u8 = 1;
pub const BYTES: u8 = 2;
const GROUP: u8 = 3;
const GROUP_END: u8 = 4;
const FIXED32: u8 = 5;

const KEY_FIELD: i32 = 1;
/// Tag of a key field as etcd writes it.
pub const KEY_TAG: u8 = 0x0A;

impl<'v> Record<'v> {
    /// Takes `value` apart.
    ///
    /// # Errors
    /// What fails in etcd's generated decoder (gogo protobuf, `mvccpb.KeyValue.Unmarshal`, etcd
    /// 3.4 to 3.6). Like it, this takes bytes for a length or tag that a shorter form could hold,
    /// ignores bits of a varint beyond 64, and does not look at the numbers of group ends.
    pub fn parse(value: &'v [u8]) -> Result<Self, &'static str> {
        let mut record = Self { before: value, ..Self::default() };
        let mut keys = 0;
        let mut rest = value;
        while !rest.is_empty() {
            let before_bytes = value.len() - rest.len();
            let (number, kind) = tag(&mut rest)?;
            if kind == GROUP_END {
                return Err("group ends without a beginning");
            }
            if number <= 0 {
                return Err("illegal field number");
            }
            expect_kind(number, kind)?;
            if kind == VARINT {
                record.numbers.set(number, varint(&mut rest)?);
                continue;
            }
            if number != KEY_FIELD {
                skip(&mut rest, kind)?;
                continue;
            }
            let (key, field_bytes) = (bytes(&mut rest)?, value.len() - before_bytes - rest.len());
            keys += 1;
            let shortest = field_bytes == 1 + varint_bytes(key.len() as u64) + key.len();
            record = Self {
                key,
                before: value.get(..before_bytes).unwrap_or_default(),
                after: rest,
                from_key: value.get(value.len() - rest.len() - key.len()..).unwrap_or_default(),
                canonical: keys == 1 && before_bytes == 0 && shortest,
                numbers: record.numbers,
            };
        }
        Ok(record)
    }
}

/// A known field of the wrong kind makes etcd refuse the record.
fn expect_kind(number: i32, kind: u8) -> Result<(), &'static str> {
    let expected = match number {
        1 | 5 => BYTES,
        2 | 3 | 4 | 6 => VARINT,
        _ => return Ok(()),
    };
    if kind == expected { Ok(()) } else { Err("known field of the wrong wire type") }
}

/// A field's number as the decoder sees it, in 32 bits, and its kind.
pub fn tag(rest: &mut &[u8]) -> Result<(i32, u8), &'static str> {
    let tag = varint(rest)?;
    Ok(((tag >> 3) as i32, (tag & 7) as u8))
}

pub fn skip(rest: &mut &[u8], mut kind: u8) -> Result<(), &'static str> {
    let mut open_groups = 0_u64;
    loop {
        match kind {
            VARINT => drop(varint(rest)?),
            FIXED64 => drop(take(rest, 8)?),
            BYTES => drop(bytes(rest)?),
            GROUP => open_groups += 1,
            GROUP_END if open_groups > 0 => open_groups -= 1,
            GROUP_END => return Err("group ends without a beginning"),
            FIXED32 => drop(take(rest, 4)?),
            _ => return Err("unknown wire type"),
        }
        if open_groups == 0 {
            return Ok(());
        }
        kind = tag(rest)?.1;
    }
}

pub fn bytes<'v>(rest: &mut &'v [u8]) -> Result<&'v [u8], &'static str> {
    let len = varint(rest)?;
    take(rest, len)
}

fn take<'v>(rest: &mut &'v [u8], len: u64) -> Result<&'v [u8], &'static str> {
    let split = usize::try_from(len).ok().and_then(|len| rest.split_at_checked(len));
    let (taken, after) = split.ok_or("field cut short")?;
    *rest = after;
    Ok(taken)
}

pub fn varint(rest: &mut &[u8]) -> Result<u64, &'static str> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first().ok_or("varint cut short")?;
        *rest = after;
        number |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err("varint of more than ten bytes")
}

/// Bytes of `number` as a varint in its shortest form.
fn varint_bytes(number: u64) -> usize {
    let mut buffer = [0; 10];
    write_varint(number, &mut buffer).len()
}

/// Writes `number` in its shortest form; gives the bytes written.
pub fn write_varint(mut number: u64, buffer: &mut [u8; 10]) -> &[u8] {
    let mut used = 0;
    for byte in buffer.iter_mut() {
        used += 1;
        *byte = (number & 0x7F) as u8;
        number >>= 7;
        if number == 0 {
            break;
        }
        *byte |= 0x80;
    }
    buffer.get(..used).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(value: &[u8]) -> Record<'_> {
        Record::parse(value).unwrap()
    }

    #[test]
    fn a_canonical_record_comes_apart_at_its_key() {
        let record = parsed(b"\x0A\x02/a\x10\x05\x2A\x01v");
        assert_eq!(record.key, b"/a");
        assert_eq!(record.before, b"");
        assert_eq!(record.after, b"\x10\x05\x2A\x01v");
        assert_eq!(record.numbers, Numbers { create_revision: 5, ..Numbers::default() });
        assert!(record.canonical);
    }

    #[test]
    fn the_last_key_field_wins_wherever_it_is() {
        let record = parsed(b"\x0A\x01x\x10\x05\x0A\x01y\x18\x01");
        assert_eq!(
            (record.key, record.before, record.after),
            (&b"y"[..], &b"\x0A\x01x\x10\x05"[..], &b"\x18\x01"[..])
        );
        assert!(!record.canonical);
        assert!(!parsed(b"\x10\x05\x0A\x01y").canonical);
        assert!(!parsed(b"\x0A\x81\x00y").canonical, "long length");
        assert!(!parsed(b"\x8A\x00\x01y").canonical, "long tag");
        assert_eq!(parsed(b"\x8A\x00\x81\x00y").key, b"y");
    }

    #[test]
    fn no_key_field_is_an_empty_key() {
        let record = parsed(b"\x10\x05");
        assert_eq!((record.key, record.before), (&b""[..], &b"\x10\x05"[..]));
        assert_eq!(parsed(b"").key, b"");
    }

    #[test]
    fn unknown_fields_and_groups_are_passed_over() {
        let unknown = b"\x39\0\0\0\0\0\0\0\0\x3D\0\0\0\0\x3B\x0A\x01g\x43\x44\x08\x01\x3C\x0A\x01k";
        assert_eq!(parsed(unknown).key, b"k");
    }

    #[test]
    fn what_etcd_refuses_is_refused() {
        let cases: [&[u8]; 9] = [
            b"\x0A\x05ab",
            b"\x08\x01",
            b"\x12\x01a",
            b"\x28\x01",
            b"\x0C",
            b"\x02\x01a",
            b"\x3B\x0A\x01g",
            b"\x10\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01",
            b"\x3E",
        ];
        for case in cases {
            assert!(Record::parse(case).is_err(), "{case:?}");
        }
    }
}
