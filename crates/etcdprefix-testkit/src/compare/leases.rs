//! Leases: which there are, how long they were granted for, which keys hang on them.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use etcd_client::{Client, LeaseTimeToLiveOptions};

use super::{Compared, Pair};

#[derive(Debug, PartialEq, Eq)]
struct Lease {
    granted_seconds: i64,
    keys: Vec<Vec<u8>>,
}

impl Pair<'_> {
    pub(super) async fn leases(&mut self, done: &mut Compared) -> Result<()> {
        let mut source = read(&mut self.source).await?;
        let dest = read(&mut self.dest).await?;
        for lease in source.values_mut() {
            lease.keys.iter_mut().for_each(|key| *key = self.map.map(key));
            lease.keys.sort();
        }
        ensure!(source == dest, "leases: expected {source:?}, found {dest:?}");
        done.leases = dest.len();
        Ok(())
    }
}

async fn read(client: &mut Client) -> Result<BTreeMap<i64, Lease>> {
    let mut leases = BTreeMap::new();
    for lease in client.leases().await?.leases() {
        let options = LeaseTimeToLiveOptions::new().with_keys();
        let answer = client.lease_time_to_live(lease.id(), Some(options)).await?;
        let mut keys = answer.keys().to_vec();
        keys.sort();
        leases.insert(lease.id(), Lease { granted_seconds: answer.granted_ttl(), keys });
    }
    Ok(leases)
}
