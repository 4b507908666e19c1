use std::fs;

use anyhow::Result;
use etcdprefix_testkit::Version;
use etcdprefix_testkit::certs::{Authority, Identity, Subject};
use etcdprefix_testkit::cluster::{ClusterOptions, EtcdCluster, Family, Security};
use tempfile::TempDir;

use super::{one, run, save, status, text};

fn secured(version: Version, security: Security, server: Subject<'static>) -> Result<EtcdCluster> {
    one(version, ClusterOptions { security, server, ..ClusterOptions::default() })
}

/// `host:port`, which an endpoint's scheme stands before.
fn address(endpoint: &str) -> &str {
    endpoint.split_once("://").map_or(endpoint, |(_, address)| address)
}

#[test]
fn a_members_certificate_needs_a_known_authority() -> Result<()> {
    let cluster = secured(Version::V3_5_16, Security::Tls, Subject::SERVER)?;
    let (endpoint, foreign) = (cluster.endpoint(0), Authority::new()?);
    let [ca, wrong] = [cluster.authority(), &foreign].map(|it| text(it.certificate()));
    status(endpoint, &["--cacert", ca])?.succeeds();
    status(address(endpoint), &["--cacert", ca])?.succeeds();
    status(endpoint, &["--insecure-skip-tls-verify"])?.succeeds();
    let unknown = "signed by an authority that";
    status(endpoint, &["--cacert", wrong])?.fails(22, &[endpoint, unknown, "; try: --cacert"]);
    status(endpoint, &[])?.fails(22, &[endpoint, unknown, "; try: --cacert"]);
    // Several that refuse say no less than one.
    let twice = format!("{endpoint},{endpoint}/");
    status(&twice, &[])?.fails(22, &[unknown, "; try: --cacert"]);
    let folder = TempDir::new()?;
    let target = folder.path().join("s.db");
    save(endpoint, &target, &["--cacert", wrong])?.fails(22, &[unknown, "; try: --cacert"]);
    assert_eq!(fs::read_dir(folder.path())?.count(), 0);
    save(endpoint, &target, &["--cacert", ca])?.succeeds();
    schemes_that_do_not_fit(&cluster)
}

fn schemes_that_do_not_fit(cluster: &EtcdCluster) -> Result<()> {
    let tls = format!("http://{}", address(cluster.endpoint(0)));
    status(&tls, &[])?.fails(23, &[&tls, "perhaps it speaks TLS", "https://"]);
    let plain = format!("https://{}", address(cluster.plain_url(0)));
    status(&plain, &[])?.fails(22, &[&plain, "perhaps it does not speak TLS", "http://"]);
    Ok(())
}

#[test]
fn a_name_that_does_not_match_is_told_with_the_ones_that_would() -> Result<()> {
    const ELSEWHERE: Subject<'static> =
        Subject { names: &["etcd-7.example", "10.9.8.7"], ..Subject::SERVER };
    let cluster = secured(Version::V3_5_1, Security::Tls, ELSEWHERE)?;
    let (endpoint, ca) = (cluster.endpoint(0), text(cluster.authority().certificate()));
    let says = ["127.0.0.1", "etcd-7.example", "10.9.8.7", "--tls-server-name"];
    status(endpoint, &["--cacert", ca])?.fails(22, &says);
    for good in ["etcd-7.example", "10.9.8.7"] {
        status(endpoint, &["--cacert", ca, "--tls-server-name", good])?.succeeds();
    }
    // The common name counts for nothing where there are others.
    for wrong in ["etcd", "etcd-8.example"] {
        let named = status(endpoint, &["--cacert", ca, "--tls-server-name", wrong])?;
        named.fails(22, &[wrong, "etcd-7.example"]);
    }
    let impossible = status(endpoint, &["--tls-server-name", "a b"])?;
    impossible.fails(2, &["\"a b\" is no name of a server"]);
    Ok(())
}

#[test]
fn an_expired_certificate_is_believed_by_its_pin_only() -> Result<()> {
    let cluster = secured(Version::V3_4_23, Security::Tls, Subject::SERVER.expired())?;
    let (endpoint, ca) = (cluster.endpoint(0), text(cluster.authority().certificate()));
    status(endpoint, &["--cacert", ca])?.fails(22, &[endpoint, "expired", "--tls-pin"]);
    let pin = cluster.server_certificate(0).sha256();
    status(endpoint, &["--tls-pin", pin])?.succeeds();
    Ok(())
}

#[test]
fn files_that_can_not_be_used_are_named() -> Result<()> {
    let folder = TempDir::new()?;
    let [missing, garbage] = ["missing.pem", "garbage.pem"].map(|name| folder.path().join(name));
    let (missing, garbage) = (text(&missing), text(&garbage));
    fs::write(garbage, "-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n")?;
    let endpoint = "https://127.0.0.1:1";
    for file in [missing, garbage] {
        status(endpoint, &["--cacert", file])?.fails(4, &[file]);
        let pair = ["--cert", file, "--key", file];
        status(endpoint, &pair)?.fails(4, &[file]);
    }
    for half in ["--cert", "--key"] {
        status(endpoint, &[half, missing])?.fails(2, &["--cert and --key belong together"]);
    }
    let authority = Authority::new()?;
    let [one, other] = [1, 2].map(|_| authority.issue(Subject::client("client")));
    let (one, other) = (one?, other?);
    let crossed = own(&one, &other);
    status(endpoint, &crossed)?.fails(4, &[text(other.key()), "not the key of"]);
    Ok(())
}

fn own<'a>(certificate: &'a Identity, key: &'a Identity) -> [&'a str; 4] {
    ["--cert", text(certificate.certificate()), "--key", text(key.key())]
}

/// What a member has against ours comes as an alert at the end of the handshake or after it.
#[test]
fn our_certificate_is_one_that_members_accept() -> Result<()> {
    let foreign = Authority::new()?.issue(Subject::client("client"))?;
    let folder = TempDir::new()?;
    for version in Version::ALL {
        let cluster = secured(version, Security::MutualTls, Subject::SERVER)?;
        let endpoint = cluster.endpoint(0);
        let ca = ["--cacert", text(cluster.authority().certificate())];
        let good = cluster.client_certificate();
        status(endpoint, &[&ca[..], &own(good, good)].concat())?.succeeds();
        let target = folder.path().join(version.number());
        save(endpoint, &target, &[&ca[..], &own(good, good)].concat())?.succeeds();
        let try_own = "; try: --cert and --key";
        let without = status(endpoint, &ca)?;
        without.fails(22, &[endpoint, "does not accept", "without a certificate", try_own]);
        let expired = cluster.authority().issue(Subject::client("client").expired())?;
        for bad in [&foreign, &expired] {
            let refused = status(endpoint, &[&ca[..], &own(bad, bad)].concat())?;
            refused.fails(22, &[endpoint, "does not accept our certificate", try_own]);
        }
        let other = folder.path().join("refused.db");
        save(endpoint, &other, &ca)?.fails(22, &["does not accept", try_own]);
        assert!(!other.exists());
    }
    Ok(())
}

#[test]
fn addresses_of_ipv6() -> Result<()> {
    for security in [Security::Plain, Security::Tls] {
        let options = ClusterOptions { security, family: Family::Ipv6, ..Default::default() };
        let cluster = one(Version::V3_5_16, options)?;
        let (endpoint, ca) = (cluster.endpoint(0), text(cluster.authority().certificate()));
        assert!(endpoint.contains("://[::1]:"), "{endpoint}");
        let flags: &[&str] = if security == Security::Plain { &[] } else { &["--cacert", ca] };
        for endpoint in [endpoint, address(endpoint)] {
            let json = status(endpoint, &[flags, &["--cluster", "-w", "json"]].concat())?;
            assert_eq!(json.succeeds().json()?["members"][0]["endpoint"], cluster.endpoint(0));
        }
    }
    run(&["endpoint", "status", "--endpoints", "::1:2379"])?.fails(2, &["needs brackets"]);
    Ok(())
}
