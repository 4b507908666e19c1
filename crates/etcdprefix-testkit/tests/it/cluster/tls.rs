//! TLS as etcdctl sees it: Go's verification is the one that members were set up for.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::Result;
use etcdprefix_testkit::certs::{Authority, Subject};
use etcdprefix_testkit::cluster::{ClusterOptions, EtcdCluster, Family, Security};
use etcdprefix_testkit::{Version, block_on};

use super::{fails, succeeds};

fn secured(version: Version, security: Security) -> Result<EtcdCluster> {
    EtcdCluster::start(version, ClusterOptions { security, ..ClusterOptions::default() })
}

#[test]
fn a_member_with_tls_serves_who_trusts_its_authority() -> Result<()> {
    for version in Version::ALL {
        let cluster = secured(version, Security::Tls)?;
        assert!(cluster.endpoint(0).starts_with("https://127.0.0.1:"), "{:?}", cluster.endpoints());
        succeeds(&mut cluster.etcdctl(0)?, &["put", "key", "over TLS"])?;
        let seen = block_on(async {
            let answer = cluster.client(0).await?.get("key", None).await?;
            anyhow::Ok(answer.kvs()[0].value().to_vec())
        })?;
        assert_eq!(seen, b"over TLS", "the fixtures' client sees the same store");

        let stranger = Authority::new()?;
        let mut distrusting = std::process::Command::new(version.etcdctl()?);
        distrusting.env("ETCDCTL_API", "3").arg("--cacert").arg(stranger.certificate());
        fails(&mut distrusting, &["--endpoints", cluster.endpoint(0), "get", "key"])?;
    }
    Ok(())
}

#[test]
fn mutual_tls_refuses_clients_without_a_certificate_of_its_authority() -> Result<()> {
    for version in Version::ALL {
        let cluster = secured(version, Security::MutualTls)?;
        succeeds(&mut cluster.etcdctl(0)?, &["put", "key", "value"])?;
        let foreign = Authority::new()?.issue(Subject::client("client"))?;
        let expired = cluster.authority().issue(Subject::client("client").expired())?;
        for (identity, reason) in [
            (None, "client didn't provide a certificate"),
            (Some(&foreign), "certificate signed by unknown authority"),
            (Some(&expired), "certificate has expired"),
        ] {
            fails(&mut cluster.etcdctl_at(cluster.endpoint(0), identity)?, &["get", "key"])?;
            // etcdctl tells the reason on some versions only.
            assert!(cluster.log(0).contains(reason), "{reason}: {}", cluster.log(0));
        }
    }
    Ok(())
}

#[test]
fn go_refuses_a_server_that_only_its_common_name_tells_and_one_that_ran_out() -> Result<()> {
    let (nameless, expired) = (Subject::NAMELESS_SERVER, Subject::SERVER.expired());
    for (server, expected) in [(nameless, "any IP SANs"), (expired, "has expired")] {
        let security = Security::Tls;
        let options = ClusterOptions { security, server, ..ClusterOptions::default() };
        let cluster = EtcdCluster::start(Version::V3_5_16, options)?;
        let refusal = fails(&mut cluster.etcdctl(0)?, &["get", "key"])?;
        assert!(refusal.contains(expected), "{refusal}");
        succeeds(&mut cluster.etcdctl(0)?, &["--insecure-skip-tls-verify", "put", "key", "value"])?;
    }
    Ok(())
}

#[test]
fn three_members_listen_on_ipv6_with_a_certificate_each() -> Result<()> {
    let (security, family) = (Security::Tls, Family::Ipv6);
    let options = ClusterOptions { members: 3, security, family, ..ClusterOptions::default() };
    let cluster = EtcdCluster::start(Version::V3_5_16, options)?;
    for member in 0..3 {
        assert!(
            cluster.endpoint(member).starts_with("https://[::1]:"),
            "{:?}",
            cluster.endpoints()
        );
        succeeds(&mut cluster.etcdctl(member)?, &["put", "key", "value"])?;
    }
    let (one, other) = (cluster.server_certificate(0), cluster.server_certificate(1));
    assert_ne!(one.sha256(), other.sha256());
    Ok(())
}

#[test]
fn a_key_is_its_owners_alone_and_a_pin_is_of_the_certificate() -> Result<()> {
    let authority = Authority::new()?;
    let identity = authority.issue(Subject::SERVER)?;
    assert_eq!(fs::metadata(identity.key())?.permissions().mode() & 0o777, 0o600);
    assert!(fs::read_to_string(identity.key())?.contains("PRIVATE KEY"));
    assert_eq!(identity.sha256().len(), 64);
    assert!(fs::read_to_string(identity.certificate())?.starts_with("-----BEGIN CERTIFICATE"));
    Ok(())
}
