//! Members that don't vote.

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use etcd_client::MemberAddOptions;

use super::node::{Addresses, Node};
use super::{EtcdCluster, block_on};
use crate::member::{START_LIMIT, Started};
use crate::process::PORT_TRIES;

impl EtcdCluster {
    /// Adds a learner and waits until it has all that was written before; returns its index.
    /// etcd allows one at a time.
    pub fn add_learner(&mut self) -> Result<usize> {
        for _ in 0..PORT_TRIES {
            let number = self.nodes.len();
            let addresses = Addresses::free(&self.options, number..number + 1)?;
            let addresses = addresses.into_iter().next().context("one was asked for")?;
            let id = block_on(self.register(&addresses.peer))?;
            if let Some(learner) = self.learner(addresses)? {
                self.nodes.push(learner);
                return Ok(number);
            }
            block_on(self.unregister(id)).context("cannot take the learner back")?;
        }
        bail!("no free ports in {PORT_TRIES} tries")
    }

    /// `None` if another process took a port.
    fn learner(&self, addresses: Addresses) -> Result<Option<Node>> {
        let members = self.nodes.iter().map(|node| &node.addresses).chain([&addresses]);
        let initial: Vec<String> = members.map(Addresses::initial).collect();
        let initial = initial.join(",");
        let existing = ["--initial-cluster-state", "existing"];
        let applied = block_on(self.applied())?;
        let (version, options) = (self.version, &self.options);
        let mut learner =
            Node::spawn(version, options, &self.authority, addresses, &initial, &existing)?;
        let caught_up = learner
            .settle(|status| status.is_learner() && status.raft_applied_index() >= applied)?;
        Ok(matches!(caught_up, Started::Serving).then_some(learner))
    }

    /// Adds it to the list of members, and waits until all that run know: a new process asks any
    /// of them, and ends if one doesn't know it.
    async fn register(&self, peer: &str) -> Result<u64> {
        let options = MemberAddOptions::new().with_is_learner();
        let added = self.any_client().await?.member_add([peer], Some(options)).await?;
        let id = added.member().context("no member was added")?.id();
        let start = Instant::now();
        for node in self.running() {
            let mut client = node.member.client(self.user()).await?;
            while !client.member_list().await?.members().iter().any(|member| member.id() == id) {
                ensure!(start.elapsed() < START_LIMIT, "{} doesn't list it", node.addresses.name);
            }
        }
        Ok(id)
    }

    async fn unregister(&self, id: u64) -> Result<()> {
        self.any_client().await?.member_remove(id).await?;
        Ok(())
    }

    async fn applied(&self) -> Result<u64> {
        Ok(self.any_client().await?.status().await?.raft_applied_index())
    }
}
