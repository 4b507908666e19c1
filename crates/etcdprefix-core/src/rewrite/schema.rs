//! Names and keys of etcd's own (etcd 3.3 to 3.7, `server/storage/schema`).

use crate::error::Corruption;
use crate::units::Revision;

/// The bucket of all records: revision -> `mvccpb.KeyValue`.
pub const KEY: &str = "key";
/// The bucket of roles: name -> `authpb.Role`.
pub const AUTH_ROLES: &str = "authRoles";
/// The bucket of alarms: encoded `etcdserverpb.AlarmMember` -> nothing.
pub const ALARM: &str = "alarm";
/// The bucket of auth's own numbers.
pub const AUTH: &str = "auth";
/// The key of bucket `auth` whose value is one byte of 1 while auth is on.
pub const AUTH_ENABLED: &str = "authEnabled";
/// The bucket of leases: id, 8 bytes big-endian -> `leasepb.Lease`.
pub const LEASE: &str = "lease";
/// The key of bucket `meta` with the revision up to which a compaction was asked for.
pub const SCHEDULED_COMPACT_REV: &str = "scheduledCompactRev";
/// The key of bucket `meta` with the revision up to which a compaction is done.
pub const FINISHED_COMPACT_REV: &str = "finishedCompactRev";
/// Roles larger than this are not decoded. A grant is a request of at most 1.5 MiB by default, and
/// etcd searches the permissions of a role one by one.
pub const ROLE_BYTES_MAX: usize = 4 << 20;
/// The bucket of the store's own numbers.
pub const META: &str = "meta";
/// The key of bucket `meta` that etcd 3.6 and newer keep their storage version under.
pub const STORAGE_VERSION: &str = "storageVersion";
/// The key that every kube-apiserver writes without its prefix, to share compaction.
pub const COMPACT_REV_KEY: &[u8] = b"compact_rev_key";

const SEPARATOR: u8 = b'_';
const TOMBSTONE: u8 = b't';
/// Size of a record's key: main, `_`, sub, both big-endian.
const REVISION_BYTES: usize = 17;
/// Size of a tombstone's key, with a trailing `t`.
const TOMBSTONE_BYTES: usize = REVISION_BYTES + 1;

/// A key of bucket `key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordKey {
    /// The record's revision.
    pub revision: Revision,
    /// Whether the record deletes its key.
    pub tombstone: bool,
}

impl RecordKey {
    /// Reads a key of bucket `key`.
    ///
    /// # Errors
    /// [`Corruption::RevisionInvalid`] unless it is 17 bytes, or 18 with a trailing `t`, with `_`
    /// in the middle.
    pub fn parse(key: &[u8]) -> Result<Self, Corruption> {
        let invalid = Corruption::RevisionInvalid { bytes: key.len() as u64 };
        let tombstone = match key.len() {
            REVISION_BYTES => false,
            TOMBSTONE_BYTES if key.last() == Some(&TOMBSTONE) => true,
            _ => return Err(invalid),
        };
        let number = |range| -> Option<i64> {
            let bytes: [u8; 8] = key.get::<std::ops::Range<usize>>(range)?.try_into().ok()?;
            Some(from_big_endian(bytes))
        };
        match (number(0..8), key.get(8), number(9..REVISION_BYTES)) {
            (Some(main), Some(&SEPARATOR), Some(sub)) => {
                Ok(Self { revision: Revision { main, sub }, tombstone })
            }
            _ => Err(invalid),
        }
    }

    /// The 17-byte key of the first operation of `main`.
    pub fn first_of(main: i64) -> [u8; REVISION_BYTES] {
        let mut key = [0; REVISION_BYTES];
        key[..8].copy_from_slice(&to_big_endian(main));
        key[8] = SEPARATOR;
        key
    }
}

#[expect(clippy::big_endian_bytes, reason = "etcd writes revisions big-endian so that they sort")]
fn from_big_endian(bytes: [u8; 8]) -> i64 {
    i64::from_be_bytes(bytes)
}

#[expect(clippy::big_endian_bytes, reason = "etcd writes revisions big-endian so that they sort")]
fn to_big_endian(number: i64) -> [u8; 8] {
    number.to_be_bytes()
}
