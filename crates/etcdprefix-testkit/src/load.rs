//! Fills a real etcd with a large store of a fixed seed, for measurements and for the limits.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use etcd_client::{Client, LeaseGrantOptions, PutOptions, Txn, TxnOp};

use crate::random::Random;
use crate::{EtcdServer, Version, block_on, save};

/// etcd's limit is 128; its request limit of 1.5 MiB counts too.
const OPERATIONS_PER_TXN: usize = 100;
const BYTES_PER_TXN: usize = 1_000_000;

/// The server must take a store of any size that the disk holds.
const QUOTA_BYTES: &str = "107374182400";

/// One lease for every so many events, as the events of a cluster share theirs.
const KEYS_PER_LEASE: u64 = 1_000;

/// Writes to each key where updates prevail. A transaction names a key once, so there must be more
/// keys than operations in one: from 30,000 records on.
const UPDATES_PER_KEY: u64 = 300;

/// What the keys and the values' sizes look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// Resources of a cluster: pods, events with leases, leases, secrets, config maps; values of
    /// half to one and a half times the size asked for; from 1,000 keys on a tenth of the writes
    /// are updates and a hundredth deletes.
    Kubernetes,
    /// Config maps, each value exactly of the size asked for, no update.
    Large,
    /// The same resources, few of them, each updated hundreds of times.
    Updates,
}

/// What to fill a store with.
#[derive(Clone, Debug)]
pub struct Load {
    /// Writes to make: about as many records (deleting a deleted key leaves none).
    pub records: u64,
    /// The mean size of a value.
    pub value_bytes: usize,
    /// Which keys and sizes.
    pub mix: Mix,
    /// The same seed gives the same records.
    pub seed: u64,
}

/// Fills an empty server and saves its snapshot; returns the file's size in bytes.
///
/// Needs about twice the snapshot's size of free disk in the temporary folder, and
/// prints progress to standard error.
pub fn load(version: Version, load: &Load, to: &Path) -> Result<u64> {
    let mut arguments = vec!["--quota-backend-bytes", QUOTA_BYTES, "--snapshot-count", "10000"];
    if version == Version::V3_4_23 {
        arguments.extend(["--log-level", "error"]);
    }
    let server = EtcdServer::start(version, &arguments)?;
    block_on(async {
        let mut client = server.client().await?;
        fill(&mut client, load).await
    })
    .with_context(|| server.log())?;
    save::snapshot(&server, to)
}

/// Fills a store that holds nothing of an earlier fill: leases are numbered from 1.
pub async fn fill(client: &mut Client, load: &Load) -> Result<()> {
    let start = Instant::now();
    let mut source = Source::new(load);
    let (mut written, mut reported) = (0, 0);
    while written < load.records {
        let room = usize::try_from(load.records - written).unwrap_or(usize::MAX);
        let operations = source.batch(client, room.min(OPERATIONS_PER_TXN)).await?;
        written += operations.len() as u64;
        client.txn(Txn::new().and_then(operations)).await?;
        if written / 100_000 > reported {
            reported = written / 100_000;
            eprintln!("{written} records, {:.0} s", start.elapsed().as_secs_f64());
        }
    }
    Ok(())
}

/// Draws the operations.
struct Source<'a> {
    load: &'a Load,
    random: Random,
    /// Keys made so far; key `n` is the same in every run.
    made: u64,
    lease: i64,
}

impl<'a> Source<'a> {
    fn new(load: &'a Load) -> Self {
        Self { load, random: Random::new(load.seed), made: 0, lease: 0 }
    }

    /// Operations for one transaction, which must not name a key twice.
    async fn batch(&mut self, client: &mut Client, most: usize) -> Result<Vec<TxnOp>> {
        let mut operations = Vec::new();
        let mut named = BTreeSet::new();
        let mut bytes = 0;
        // The first operation is always taken, so a value of any legal size gets through.
        while operations.len() < most && (operations.is_empty() || bytes < BYTES_PER_TXN) {
            let (number, kind) = self.next();
            if !named.insert(number) {
                continue;
            }
            if number.is_multiple_of(KEYS_PER_LEASE) || self.lease == 0 {
                self.lease += 1;
                let options = LeaseGrantOptions::new().with_id(self.lease);
                client.lease_grant(86_400, Some(options)).await?;
            }
            let operation = self.operation(number, kind);
            bytes += self.load.value_bytes * 3 / 2;
            operations.push(operation);
        }
        Ok(operations)
    }

    fn next(&mut self) -> (u64, Kind) {
        let draw = self.random.below(100);
        let old = self.random.below(self.made.max(1));
        match self.load.mix {
            Mix::Kubernetes if self.made > 1_000 && draw == 0 => (old, Kind::Delete),
            Mix::Kubernetes if self.made > 1_000 && draw <= 10 => (old, Kind::Put),
            Mix::Updates if self.made > self.load.records / UPDATES_PER_KEY => (old, Kind::Put),
            _ => {
                self.made += 1;
                (self.made - 1, Kind::Put)
            }
        }
    }

    fn operation(&mut self, number: u64, kind: Kind) -> TxnOp {
        let (key, leased) = key(self.load.mix, number);
        match kind {
            // A key deleted twice makes no second record; the count stays within a hundredth.
            Kind::Delete => TxnOp::delete(key, None),
            Kind::Put => {
                let options = leased.then(|| PutOptions::new().with_lease(self.lease));
                TxnOp::put(key, self.value(), options)
            }
        }
    }

    fn value(&mut self) -> Vec<u8> {
        let mean = self.load.value_bytes;
        let size = match self.load.mix {
            Mix::Kubernetes | Mix::Updates => {
                mean / 2 + self.random.below(mean as u64 + 1) as usize
            }
            Mix::Large => mean,
        };
        let mut value = b"k8s\0".to_vec();
        value.resize(size.max(4), 0);
        self.random.fill(&mut value[4..]);
        value.truncate(size);
        value
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Put,
    Delete,
}

/// The key of that number and whether it hangs on a lease.
fn key(mix: Mix, number: u64) -> (String, bool) {
    let space = number % 97;
    let resource = match (mix, number % 20) {
        (Mix::Large, _) => "configmaps",
        (_, 0..6) => "pods",
        (_, 6..14) => "events",
        (_, 14..16) => "leases",
        (_, 16..18) => "secrets",
        _ => "configmaps",
    };
    let hash = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (format!("/registry/{resource}/namespace-{space}/object-{hash:016x}"), resource == "events")
}
