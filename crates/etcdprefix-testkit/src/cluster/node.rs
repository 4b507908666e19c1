//! One member of a cluster, and what it takes to start it.

use std::net::SocketAddr;

use anyhow::Result;
use tempfile::TempDir;

use super::{ClusterOptions, Security};
use crate::Version;
use crate::certs::{Authority, Identity};
use crate::member::{Launch, Member};
use crate::process::free_ports;

/// Three members on two loaded cores must not depose their leader by themselves.
pub const PATIENCE: [&str; 4] = ["--heartbeat-interval", "100", "--election-timeout", "1500"];

/// By default a member is not added within five seconds of the last connection between members,
/// and a user's password costs a tenth of a second.
pub const HASTE: [&str; 3] = ["--strict-reconfig-check=false", "--bcrypt-cost", "4"];

/// A member's place in the network.
pub struct Addresses {
    pub name: String,
    /// Where the clients under test reach it.
    pub endpoint: String,
    /// Where the fixtures' clients reach it, without TLS.
    pub plain: String,
    pub peer: String,
}

/// A member, running or not.
pub struct Node {
    pub member: Member,
    pub addresses: Addresses,
    pub certificate: Identity,
    /// 0 until it has served.
    pub id: u64,
    pub state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Running,
    Stopped,
    Killed,
}

impl Addresses {
    /// Free ones for members of these numbers.
    pub fn free(options: &ClusterOptions, numbers: std::ops::Range<usize>) -> Result<Vec<Self>> {
        let host = options.family.host();
        let ports = free_ports(host, numbers.len() * 3)?;
        let url = |scheme, port| format!("{scheme}://{}", SocketAddr::new(host, port));
        let addresses = numbers.zip(ports.chunks(3)).map(|(number, ports)| {
            let endpoint = url(options.security.scheme(), ports[0]);
            let plain = match options.security {
                Security::Plain => endpoint.clone(),
                Security::Tls | Security::MutualTls => url("http", ports[1]),
            };
            Self { name: format!("member-{number}"), endpoint, plain, peer: url("http", ports[2]) }
        });
        Ok(addresses.collect())
    }

    /// As in `--initial-cluster`.
    pub fn initial(&self) -> String {
        format!("{}={}", self.name, self.peer)
    }
}

impl Node {
    /// Starts its process, in a new folder.
    pub fn spawn(
        version: Version,
        options: &ClusterOptions,
        authority: &Authority,
        addresses: Addresses,
        initial: &str,
        more: &[&str],
    ) -> Result<Self> {
        let certificate = authority.issue(options.server)?;
        let plain_flags = PATIENCE.iter().chain(&HASTE).chain(options.flags).chain(more);
        let mut flags: Vec<String> = plain_flags.map(|&flag| flag.to_owned()).collect();
        flags.extend(tls_flags(options.security, authority, &certificate));
        let launch = Launch {
            version,
            name: &addresses.name,
            plain: &addresses.plain,
            advertised: &addresses.endpoint,
            peer: &addresses.peer,
            initial,
            flags,
        };
        let member = Member::spawn(TempDir::new()?, &launch)?;
        Ok(Self { member, addresses, certificate, id: 0, state: State::Running })
    }
}

fn tls_flags(security: Security, authority: &Authority, server: &Identity) -> Vec<String> {
    let mut flags = Vec::new();
    if security != Security::Plain {
        flags.push(format!("--cert-file={}", server.certificate().display()));
        flags.push(format!("--key-file={}", server.key().display()));
    }
    if security == Security::MutualTls {
        flags.push(format!("--trusted-ca-file={}", authority.certificate().display()));
        flags.push("--client-cert-auth".into());
    }
    flags
}
