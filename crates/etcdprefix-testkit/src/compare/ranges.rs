//! All keys at the latest and at older revisions.

use anyhow::{Context, Result, bail, ensure};
use etcd_client::{Client, GetOptions};

use super::{Compared, Pair, REVISIONS_READ};

/// gRPC's default is 4 MiB, less than a store with a few large values.
pub const MESSAGE_LIMIT: usize = 1 << 30;

/// A key with everything that etcd tells about it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    pub key: Vec<u8>,
    pub create_revision: i64,
    pub mod_revision: i64,
    pub version: i64,
    pub lease: i64,
    pub value: Vec<u8>,
}

impl Seen {
    pub fn new(kv: &etcd_client::KeyValue) -> Self {
        Self {
            key: kv.key().to_vec(),
            create_revision: kv.create_revision(),
            mod_revision: kv.mod_revision(),
            version: kv.version(),
            lease: kv.lease(),
            value: kv.value().to_vec(),
        }
    }

    /// Without the value's bytes, which may be a megabyte.
    pub fn shown(&self) -> String {
        format!(
            "{} create={} mod={} version={} lease={:x} value={} bytes crc32c={:08x}",
            self.key.escape_ascii(),
            self.create_revision,
            self.mod_revision,
            self.version,
            self.lease,
            self.value.len(),
            crc32c::crc32c(&self.value),
        )
    }
}

impl Pair<'_> {
    pub(super) async fn ranges(&mut self, done: &mut Compared) -> Result<()> {
        for revision in sampled(done.compacted.max(1), done.revision) {
            let source = read_all(&mut self.source, revision).await?;
            let dest = read_all(&mut self.dest, revision).await?;
            let moved = source.iter().filter(|seen| self.map.moves(&seen.key)).count();
            let keys = source.len();
            self.equal(source, &dest).with_context(|| format!("keys at revision {revision}"))?;
            done.revisions_read += 1;
            if revision == done.revision {
                (done.keys, done.moved) = (keys, moved);
            }
        }
        Ok(())
    }

    /// Whether the mapped source keys are the destination's, in the order of the mapped keys.
    fn equal(&self, mut source: Vec<Seen>, dest: &[Seen]) -> Result<()> {
        for seen in &mut source {
            seen.key = self.map.map(&seen.key);
        }
        source.sort();
        for (expected, found) in source.iter().zip(dest) {
            if expected != found {
                bail!("expected {}, found {}", expected.shown(), found.shown());
            }
        }
        ensure!(source.len() == dest.len(), "{} keys, expected {}", dest.len(), source.len());
        Ok(())
    }
}

/// Every key at a revision (0 for the latest).
pub async fn read_all(client: &mut Client, revision: i64) -> Result<Vec<Seen>> {
    let mut kv = client.kv_client().max_decoding_message_size(MESSAGE_LIMIT);
    let options = GetOptions::new().with_all_keys().with_revision(revision);
    let answer = kv.get("", Some(options)).await.with_context(|| format!("revision {revision}"))?;
    Ok(answer.kvs().iter().map(Seen::new).collect())
}

/// Up to `REVISIONS_READ` revisions, evenly, with both ends.
fn sampled(first: i64, last: i64) -> Vec<i64> {
    let steps = (last - first).min(REVISIONS_READ);
    (0..=steps).map(|step| first + (last - first) * step / steps.max(1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_hold_both_ends() {
        assert_eq!(sampled(5, 5), [5]);
        assert_eq!(sampled(1, 3), [1, 2, 3]);
        let many = sampled(10, 10_000);
        assert_eq!((many[0], many[many.len() - 1]), (10, 10_000));
    }
}
