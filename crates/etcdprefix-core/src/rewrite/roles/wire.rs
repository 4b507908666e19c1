//! `authpb.Role` and `authpb.Permission` (etcd `api/authpb/auth.proto`): name = 1, keyPermission =
//! 2; permType = 1, key = 2, range_end = 3. Fields that are unknown stay.

use crate::rewrite::wire::{Field, FieldValue, WireError, fields, put_varint};

const BYTES: u8 = 2;
/// `authpb.Permission.Type`.
pub const READ: u64 = 0;
pub const WRITE: u64 = 1;
pub const READ_WRITE: u64 = 2;

/// etcd searches them one by one; more is an attack.
const PERMISSIONS_MAX: usize = 65_536;
const WRONG_KIND: WireError = "known field with wrong wire type";

/// A role taken apart.
#[derive(Debug, Default)]
pub struct Role<'v> {
    /// Its name; the last one counts.
    pub name: &'v [u8],
    /// In the order they are stored.
    pub permissions: Vec<Permission<'v>>,
    /// The bytes of all fields but the permissions.
    others: Vec<&'v [u8]>,
    /// How many of them precede the first permission.
    leading: usize,
}

/// A permission, as read or as it is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permission<'v> {
    /// [`READ`], [`WRITE`], [`READ_WRITE`], or what etcd ignores.
    pub kind: u64,
    /// The range's first key.
    pub key: Vec<u8>,
    /// The range's end as stored: empty for one key, a zero byte for none.
    pub range_end: Vec<u8>,
    /// The bytes of all other fields.
    pub unknown: Vec<&'v [u8]>,
}

impl<'v> Role<'v> {
    /// Takes `value` apart.
    ///
    /// # Errors
    /// What makes etcd's decoder fail, upon which etcd panics; more than 65,536 permissions.
    pub fn parse(value: &'v [u8]) -> Result<Self, WireError> {
        let mut role = Self::default();
        for field in fields(value) {
            let field = field?;
            match (field.number, field.value) {
                (2, FieldValue::Bytes(_)) if role.permissions.len() >= PERMISSIONS_MAX => {
                    return Err("more than 65,536 permissions");
                }
                (2, FieldValue::Bytes(permission)) => {
                    role.permissions.push(Permission::parse(permission)?);
                    continue;
                }
                (1, FieldValue::Bytes(name)) => role.name = name,
                (1 | 2, _) => return Err(WRONG_KIND),
                _ => {}
            }
            role.others.push(field.raw);
            role.leading += usize::from(role.permissions.is_empty());
        }
        Ok(role)
    }

    /// The role with other permissions, in the order given.
    pub fn encode(&self, permissions: &[Permission<'_>]) -> Vec<u8> {
        let (leading, trailing) = self.others.split_at(self.leading);
        let mut bytes = leading.concat();
        for permission in permissions {
            put_bytes(&mut bytes, 2, &permission.encode());
        }
        bytes.extend_from_slice(&trailing.concat());
        bytes
    }
}

impl<'v> Permission<'v> {
    fn parse(bytes: &'v [u8]) -> Result<Self, WireError> {
        let mut permission = Self::default();
        for field in fields(bytes) {
            let Field { number, raw, value } = field?;
            match (number, value) {
                // The decoder keeps 32 bits of an enumeration.
                (1, FieldValue::Varint(kind)) => permission.kind = kind & u64::from(u32::MAX),
                (2, FieldValue::Bytes(key)) => permission.key = key.to_vec(),
                (3, FieldValue::Bytes(range_end)) => permission.range_end = range_end.to_vec(),
                (1..=3, _) => return Err(WRONG_KIND),
                _ => permission.unknown.push(raw),
            }
        }
        Ok(permission)
    }

    /// Takes over what `other`, of the same range, grants; false if that is not possible.
    pub fn join(&mut self, other: &Self) -> bool {
        let known = self.kind <= READ_WRITE && other.kind <= READ_WRITE;
        let plain = self.unknown.is_empty() && other.unknown.is_empty();
        if self.kind != other.kind && known && plain {
            self.kind = READ_WRITE;
        }
        plain && (known || self.kind == other.kind)
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if self.kind != 0 {
            bytes.push(1 << 3);
            extend_varint(&mut bytes, self.kind);
        }
        for (number, field) in [(2, &self.key), (3, &self.range_end)] {
            if !field.is_empty() {
                put_bytes(&mut bytes, number, field);
            }
        }
        bytes.extend_from_slice(&self.unknown.concat());
        bytes
    }
}

fn put_bytes(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | BYTES);
    extend_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn extend_varint(out: &mut Vec<u8>, number: u64) {
    let mut varint = [0; 10];
    let used = put_varint(&mut varint, number);
    out.extend_from_slice(varint.get(..used).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLE: &[u8] = b"\x0a\x01r\x12\x09\x08\x02\x12\x02/a\x1a\x01b\x22\x01u\x12\x04\x12\x02/c";

    #[test]
    fn what_is_unknown_stays_where_it_is() {
        let role = Role::parse(ROLE).unwrap();
        assert_eq!(role.name, b"r");
        let [first, second] = role.permissions.as_slice() else { panic!("{role:?}") };
        assert_eq!((first.kind, &*first.key, &*first.range_end), (2, &b"/a"[..], &b"b"[..]));
        assert_eq!((second.kind, &*second.key, &*second.range_end), (0, &b"/c"[..], &b""[..]));
        let again = role.encode(&[second.clone(), first.clone()]);
        assert_eq!(
            again,
            b"\x0a\x01r\x12\x04\x12\x02/c\x12\x09\x08\x02\x12\x02/a\x1a\x01b\x22\x01u"
        );
        let odd = b"\x12\x08\x0a\x01x".as_slice();
        assert!(Role::parse(odd).is_err(), "cut short");
        assert!(Role::parse(b"\x12\x02\x10\x01").is_err(), "wrong kind");
        let unknown = Role::parse(b"\x12\x06\x12\x01a\x2a\x01u").unwrap();
        assert_eq!(unknown.encode(&unknown.permissions), b"\x12\x06\x12\x01a\x2a\x01u");
    }
}
