//! Who leads.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::EtcdCluster;
use crate::block_on;

/// An election takes a few seconds on a loaded machine.
const AGREEMENT_LIMIT: Duration = Duration::from_secs(60);

impl EtcdCluster {
    /// The leading member, as soon as all that run agree on one that runs.
    pub fn leader(&self) -> Result<usize> {
        let start = Instant::now();
        loop {
            if let Some(leader) = self.agreed_leader() {
                return Ok(leader);
            }
            ensure!(start.elapsed() < AGREEMENT_LIMIT, "no leader after {AGREEMENT_LIMIT:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Makes a member the leader and waits until all that run agree.
    pub fn move_leader(&self, to: usize) -> Result<()> {
        let leader = self.leader()?;
        block_on(async {
            self.client(leader).await?.move_leader(self.member_id(to)).await?;
            anyhow::Ok(())
        })?;
        let now = self.leader()?;
        ensure!(now == to, "member {now} leads, not {to}");
        Ok(())
    }

    fn agreed_leader(&self) -> Option<usize> {
        let name = |node: &super::Node| Some(block_on(node.member.status())?.leader());
        let named: BTreeSet<u64> = self.running().map(name).collect::<Option<_>>()?;
        let leader = self.running().find(|node| named == BTreeSet::from([node.id]))?.id;
        self.nodes.iter().position(|node| node.id == leader)
    }
}
