//! How etcd 3.3 to 3.6 decode a record: the control flow of gogo protobuf's generated
//! `KeyValue.Unmarshal` and `skipKv` (v1.3.2), kept as it is, to be the ruler for the core's scan.

/// What etcd sees of a record; the last field of a number counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyValue {
    /// Field 1.
    pub key: Vec<u8>,
    /// Fields 2, 3, 4 and 6: create revision, modification revision, version, lease.
    pub numbers: [u64; 4],
    /// Field 5.
    pub value: Vec<u8>,
    /// All other fields, in order.
    pub unknown: Vec<u8>,
}

/// The record, `None` where etcd fails.
pub fn unmarshal(bytes: &[u8]) -> Option<KeyValue> {
    let mut record = KeyValue::default();
    let mut at = 0;
    while at < bytes.len() {
        let before = at;
        let wire = varint(bytes, &mut at)?;
        // Go's int32() drops the high bits.
        let (number, wire_type) = ((wire >> 3) as i32, wire & 7);
        if wire_type == 4 || number <= 0 {
            return None;
        }
        match (number, wire_type) {
            (1, 2) => record.key = delimited(bytes, &mut at)?.to_vec(),
            (5, 2) => record.value = delimited(bytes, &mut at)?.to_vec(),
            (2..=4, 0) => record.numbers[number as usize - 2] = varint(bytes, &mut at)?,
            (6, 0) => record.numbers[3] = varint(bytes, &mut at)?,
            (1..=6, _) => return None,
            _ => {
                at = before + skip(&bytes[before..])?;
                record.unknown.extend_from_slice(bytes.get(before..at)?);
            }
        }
    }
    Some(record)
}

/// The size of the field that `bytes` begin with. It does not ask whether a group's end has the
/// number of its start.
fn skip(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0_usize, 0_usize);
    while at < bytes.len() {
        match varint(bytes, &mut at)? & 7 {
            0 => drop(varint(bytes, &mut at)?),
            1 => at += 8,
            2 => {
                let length = varint(bytes, &mut at)?;
                at = at.checked_add(usize::try_from(length).ok()?)?;
            }
            3 => depth += 1,
            4 => depth = depth.checked_sub(1)?,
            5 => at += 4,
            _ => return None,
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

fn delimited<'a>(bytes: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let length = usize::try_from(varint(bytes, at)?).ok()?;
    let field = bytes.get(*at..at.checked_add(length)?)?;
    *at += length;
    Some(field)
}

fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        number |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}
