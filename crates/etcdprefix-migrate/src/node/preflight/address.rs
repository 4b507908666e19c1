//! Addresses: public ones, and those of this host.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

/// Whether it is one of the Internet. Those that carriers and clouds share are none.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            let is_shared = first == 100 && (64..128).contains(&second);
            !(address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_unspecified()
                || is_shared)
        }
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => is_public(mapped.into()),
            None => {
                !(address.is_loopback()
                    || address.is_unique_local()
                    || address.is_unicast_link_local()
                    || address.is_unspecified())
            }
        },
    }
}

/// Whether `https://10.0.0.1:2379` leads to this host. Names don't tell.
pub(super) fn is_local_url(url: &str) -> bool {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse().is_ok_and(is_local)
}

/// To itself a host sends from the same address. Nothing is sent to find that out.
fn is_local(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let source = || {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect((address, 9))?;
        socket.local_addr()
    };
    address.is_loopback() || source().is_ok_and(|source| source.ip() == address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_addresses_are_told_from_others() {
        for (text, public) in [
            ("47.98.1.2", true),
            ("8.8.8.8", true),
            ("10.0.0.1", false),
            ("172.16.0.1", false),
            ("192.168.1.1", false),
            ("100.100.100.200", false),
            ("100.128.0.1", true),
            ("127.0.0.1", false),
            ("169.254.1.1", false),
            ("::1", false),
            ("fd00::1", false),
            ("fe80::1", false),
            ("2400:3200::1", true),
            ("::ffff:10.0.0.1", false),
        ] {
            assert_eq!(is_public(text.parse().unwrap()), public, "{text}");
        }
    }

    #[test]
    fn this_host_is_known_by_its_addresses() {
        for url in ["https://127.0.0.1:2379", "localhost:2379", "http://127.9.9.9:1"] {
            assert!(is_local_url(url), "{url}");
        }
        for url in ["https://192.0.2.1:2379", "https://etcd.example:2379", ""] {
            assert!(!is_local_url(url), "{url}");
        }
    }
}
