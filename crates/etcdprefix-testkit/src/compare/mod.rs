//! Two servers, one with the source snapshot and one with the rewritten: everything a client can
//! see must be equal under the prefix map. Both are written to at the end.

mod hashes;
mod history;
mod leases;
mod ranges;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use etcd_client::Client;

pub(crate) use self::ranges::{Seen, read_all};
use crate::hashkv::Expected;
use crate::{EtcdServer, PrefixMap, block_on};

/// Older revisions are sampled where there are more.
const REVISIONS_READ: i64 = 40;

/// How much was compared; a test asserts that it is not nothing.
#[derive(Clone, Debug, Default)]
pub struct Compared {
    /// The store's revision, equal on both.
    pub revision: i64,
    /// The compaction's revision, -1 for none.
    pub compacted: i64,
    /// Revisions at which all keys were read.
    pub revisions_read: usize,
    /// Keys at the latest revision.
    pub keys: usize,
    /// Keys at the latest revision that the map moves.
    pub moved: usize,
    /// Watch events since the oldest revision.
    pub events: usize,
    /// Leases.
    pub leases: usize,
    /// HashKV answers that were as computed.
    pub hashes: usize,
}

/// The two servers under comparison.
struct Pair<'a> {
    source: Client,
    dest: Client,
    map: &'a PrefixMap,
}

/// Compares everything; the error says what differs first.
///
/// Costs a full read of the store at up to 40 revisions. Both servers have a few revisions more
/// afterwards, and the destination is defragmented.
pub fn compare(
    source: &EtcdServer,
    dest: &EtcdServer,
    map: &PrefixMap,
    source_snapshot: &Path,
) -> Result<Compared> {
    let expected = Expected::from_source(source_snapshot, map)?;
    let unmapped = Expected::from_source(source_snapshot, &PrefixMap::identity())?;
    let result = block_on(async {
        let mut pair = Pair { source: source.client().await?, dest: dest.client().await?, map };
        let mut done = pair.state().await?;
        pair.ranges(&mut done).await?;
        pair.leases(&mut done).await?;
        let hashes = hashes::Hashes { version: dest.version(), done: &mut done };
        // The source's own answers prove the formula before the destination is judged by it.
        hashes.check(&mut pair.source, &unmapped).await.context("the source's HashKV")?;
        let hashes = hashes::Hashes { version: dest.version(), done: &mut done };
        hashes.check(&mut pair.dest, &expected).await.context("HashKV")?;
        pair.write_to_both().await.context("writes after the change")?;
        pair.history(&mut done).await?;
        pair.defragment(&done).await.context("defragmentation")?;
        anyhow::Ok(done)
    });
    let logs = || format!("source's log:\n{}\ndestination's log:\n{}", source.log(), dest.log());
    result.with_context(logs)
}

impl Pair<'_> {
    async fn state(&mut self) -> Result<Compared> {
        let (revision, compacted) = state(&mut self.source).await?;
        let dest = state(&mut self.dest).await?;
        let source = (revision, compacted);
        ensure!(source == dest, "(revision, compacted): source {source:?}, destination {dest:?}");
        Ok(Compared { revision, compacted, ..Compared::default() })
    }

    /// Writes the same on both sides: a put, an update, a delete, and an end mark for the watch.
    async fn write_to_both(&mut self) -> Result<()> {
        for (client, map) in
            [(&mut self.source, &PrefixMap::identity()), (&mut self.dest, self.map)]
        {
            let key = |name: &str| map.map(&self.map.source_key(name));
            for value in ["one", "two"] {
                client.put(key("written-after"), value, None).await?;
            }
            let gone = client.delete(key("written-after"), None).await?;
            ensure!(gone.deleted() == 1, "the delete found {} keys", gone.deleted());
            client.put(key(history::END_MARK), "", None).await?;
        }
        Ok(())
    }

    async fn defragment(&mut self, done: &Compared) -> Result<()> {
        let before = ranges::read_all(&mut self.dest, 0).await?;
        self.dest.defragment().await?;
        let after = ranges::read_all(&mut self.dest, 0).await?;
        ensure!(before == after, "the keys differ after the defragmentation");
        let (revision, _) = state(&mut self.dest).await?;
        ensure!(revision == done.revision + 4, "revision {revision} after four writes");
        Ok(())
    }
}

/// The server's revision and the compaction's.
async fn state(client: &mut Client) -> Result<(i64, i64)> {
    let answer = client.hash_kv(0).await?;
    let revision = answer.header().context("no header")?.revision();
    Ok((revision, answer.compact_version()))
}
