//! HashKV, the hash over the history that etcd's members compare among each other.

use anyhow::{Result, ensure};
use etcd_client::Client;

use super::Compared;
use crate::Version;
use crate::hashkv::Expected;

pub struct Hashes<'a> {
    pub version: Version,
    pub done: &'a mut Compared,
}

impl Hashes<'_> {
    /// At the latest and at older revisions; at the compacted one 3.5.1 refuses to answer.
    pub async fn check(self, client: &mut Client, expected: &Expected) -> Result<()> {
        let Compared { revision, compacted, .. } = *self.done;
        let first = compacted.max(0) + 1;
        let spread = (1..=4).map(|step| first + (revision - first) * step / 4);
        let mut asked: Vec<i64> = spread.filter(|asked| *asked > compacted).collect();
        asked.dedup();
        for revision in asked {
            let answer = client.hash_kv(revision).await?;
            let wanted = expected.hash(self.version, revision, answer.compact_version());
            let found = answer.hash();
            ensure!(wanted == found, "at {revision}: expected {wanted:08x}, found {found:08x}");
            self.done.hashes += 1;
        }
        Ok(())
    }
}
