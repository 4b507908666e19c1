//! What a cluster is started as.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::certs::Subject;

/// By default one member on IPv4 without TLS.
#[derive(Clone, Copy, Debug)]
pub struct ClusterOptions {
    /// How many members vote: 1 or 3.
    pub members: usize,
    /// What clients need; members talk to each other without TLS in any case.
    pub security: Security,
    /// What every member's certificate says; each has one of its own.
    pub server: Subject<'static>,
    /// Where the members listen.
    pub family: Family,
    /// More flags of etcd, for every member.
    pub flags: &'static [&'static str],
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            members: 1,
            security: Security::Plain,
            server: Subject::SERVER,
            family: Family::Ipv4,
            flags: &[],
        }
    }
}

/// What a member asks of its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// No TLS.
    Plain,
    /// TLS; a client needs no certificate.
    Tls,
    /// TLS; a client needs a certificate of the cluster's authority.
    MutualTls,
}

impl Security {
    pub(super) fn scheme(self) -> &'static str {
        match self {
            Self::Plain => "http",
            Self::Tls | Self::MutualTls => "https",
        }
    }
}

/// Which loopback address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// 127.0.0.1
    Ipv4,
    /// ::1
    Ipv6,
}

impl Family {
    pub(super) fn host(self) -> IpAddr {
        match self {
            Self::Ipv4 => Ipv4Addr::LOCALHOST.into(),
            Self::Ipv6 => Ipv6Addr::LOCALHOST.into(),
        }
    }
}
