//! Real clusters of one or three members, with or without TLS, that a test can break.
//!
//! Fixtures need no TLS: a member of a cluster with TLS also listens on a port without, which it
//! does not advertise. [`EtcdCluster::client`] and [`EtcdCluster::writer`] use that one.

mod auth;
mod learner;
mod node;
mod options;
mod roles;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use etcd_client::Client;

pub use auth::{READER, ROOT};
use node::{Addresses, Node, State};
pub(crate) use node::{HASTE, PATIENCE};
pub use options::{ClusterOptions, Family, Security};

use crate::certs::{Authority, Identity, Subject};
use crate::member::Started;
use crate::process::PORT_TRIES;
use crate::writer::Writer;
use crate::{Version, block_on};

/// A running cluster. A member is named by its index, in the order of their start; it keeps it
/// when it or others end. All processes end on drop, stopped ones too.
pub struct EtcdCluster {
    // Dropped before the certificates that they read.
    nodes: Vec<Node>,
    version: Version,
    options: ClusterOptions,
    client: Identity,
    authority: Authority,
    authenticated: bool,
}

impl EtcdCluster {
    /// Starts an empty cluster and waits until every member serves.
    pub fn start(version: Version, options: ClusterOptions) -> Result<Self> {
        for _ in 0..PORT_TRIES {
            if let Some(cluster) = Self::attempt(version, options)? {
                return Ok(cluster);
            }
        }
        bail!("no free ports in {PORT_TRIES} tries")
    }

    /// `None` if another process took a port.
    fn attempt(version: Version, options: ClusterOptions) -> Result<Option<Self>> {
        let authority = Authority::new()?;
        let client = authority.issue(Subject::client("client"))?;
        let addresses = Addresses::free(&options, 0..options.members)?;
        let initial: Vec<String> = addresses.iter().map(Addresses::initial).collect();
        let initial = initial.join(",");
        let spawn = |it| Node::spawn(version, &options, &authority, it, &initial, &[]);
        let nodes = addresses.into_iter().map(spawn).collect::<Result<_>>()?;
        let mut cluster = Self { nodes, version, options, client, authority, authenticated: false };
        Ok(cluster.settle()?.then_some(cluster))
    }

    /// Whether every member serves and not another process took a port.
    fn settle(&mut self) -> Result<bool> {
        for node in &mut self.nodes {
            if let Started::PortTaken = node.settle(|_| true)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Where clients reach the members, in their order, those that ended included.
    pub fn endpoints(&self) -> Vec<&str> {
        self.nodes.iter().map(|node| node.addresses.endpoint.as_str()).collect()
    }

    /// Where clients reach a member: `https://` if the cluster has TLS.
    pub fn endpoint(&self, member: usize) -> &str {
        &self.nodes[member].addresses.endpoint
    }

    /// Where a member is reached without TLS in any case.
    pub fn plain_url(&self, member: usize) -> &str {
        &self.nodes[member].addresses.plain
    }

    /// A member's ID.
    pub fn member_id(&self, member: usize) -> u64 {
        self.nodes[member].id
    }

    /// The authority that members and their clients trust.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// A client's certificate that the members accept; its common name is `client`.
    pub fn client_certificate(&self) -> &Identity {
        &self.client
    }

    /// A member's certificate.
    pub fn server_certificate(&self, member: usize) -> &Identity {
        &self.nodes[member].certificate
    }

    /// A client of one member for fixtures: without TLS, as root once auth is enabled.
    pub async fn client(&self, member: usize) -> Result<Client> {
        self.nodes[member].member.client(self.user()).await
    }

    /// As [`Self::client`], as another user.
    pub async fn client_as(&self, member: usize, user: (&str, &str)) -> Result<Client> {
        self.nodes[member].member.client(Some(user)).await
    }

    /// Writes through a member until it is stopped.
    pub fn writer(&self, member: usize, pause: Duration) -> Writer {
        Writer::start_as(self.plain_url(member), self.user(), pause)
    }

    fn user(&self) -> Option<(&'static str, &'static str)> {
        self.authenticated.then_some(ROOT)
    }

    /// etcdctl for a member's endpoint, with the flags of TLS that it needs. Authenticates as
    /// nobody.
    pub fn etcdctl(&self, member: usize) -> Result<Command> {
        let client = (self.options.security == Security::MutualTls).then_some(&self.client);
        self.etcdctl_at(self.endpoint(member), client)
    }

    /// As [`Self::etcdctl`] for any endpoint, a proxy's for one, and with this certificate of a
    /// client or without any.
    pub fn etcdctl_at(&self, endpoint: &str, client: Option<&Identity>) -> Result<Command> {
        let mut command = Command::new(self.version.etcdctl()?);
        command.env("ETCDCTL_API", "3").args(["--endpoints", endpoint]);
        if self.options.security != Security::Plain {
            command.arg("--cacert").arg(self.authority.certificate());
        }
        if let Some(client) = client {
            command.arg("--cert").arg(client.certificate()).arg("--key").arg(client.key());
        }
        Ok(command)
    }

    /// Ends a member's process, as a power failure would.
    pub fn kill(&mut self, member: usize) -> Result<()> {
        let node = &mut self.nodes[member];
        node.state = State::Killed;
        node.member.process.0.kill()?;
        node.member.process.0.wait().map(drop).context("not ended")
    }

    /// Freezes a member: clients connect to it, but it never answers.
    pub fn stop(&mut self, member: usize) -> Result<()> {
        let node = &mut self.nodes[member];
        node.member.process.stop()?;
        node.state = State::Stopped;
        Ok(())
    }

    /// Ends what [`Self::stop`] began.
    pub fn resume(&mut self, member: usize) -> Result<()> {
        let node = &mut self.nodes[member];
        node.member.process.resume()?;
        node.state = State::Running;
        Ok(())
    }

    /// The database file that a member works on and holds a lock of.
    pub fn database(&self, member: usize) -> PathBuf {
        self.nodes[member].member.database()
    }

    /// The version that serves.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The end of a member's log, for a failure's message.
    pub fn log(&self, member: usize) -> String {
        self.nodes[member].member.log()
    }

    fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.state == State::Running)
    }

    /// For requests that any member serves.
    async fn any_client(&self) -> Result<Client> {
        let node = self.running().next().context("no member runs")?;
        node.member.client(self.user()).await
    }
}

impl Node {
    /// Waits until it serves, and learns its ID.
    fn settle(&mut self, ready: impl Fn(&etcd_client::StatusResponse) -> bool) -> Result<Started> {
        let started = self.member.settle(ready)?;
        if let Started::Serving = started {
            let status = block_on(self.member.status()).context("it served a moment ago")?;
            self.id = status.header().context("a status without header")?.member_id();
        }
        Ok(started)
    }
}
