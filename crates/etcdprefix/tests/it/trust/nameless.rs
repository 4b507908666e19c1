use anyhow::Result;
use etcdprefix_testkit::Version;
use etcdprefix_testkit::certs::{Authority, Subject};
use etcdprefix_testkit::cluster::{ClusterOptions, Security};

use super::{one, status, text};

#[test]
fn a_common_name_is_believed_when_it_is_asked_for() -> Result<()> {
    for version in [Version::V3_4_23, Version::V3_5_16] {
        let options = ClusterOptions {
            security: Security::Tls,
            server: Subject::NAMELESS_SERVER,
            ..ClusterOptions::default()
        };
        let cluster = one(version, options)?;
        let (endpoint, ca) = (cluster.endpoint(0), text(cluster.authority().certificate()));
        let says = ["only the common name \"etcd\"", "; try: --tls-server-name etcd", "--tls-pin"];
        status(endpoint, &["--cacert", ca])?.fails(22, &says);
        let named = |ca, name| status(endpoint, &["--cacert", ca, "--tls-server-name", name]);
        named(ca, "etcd")?.succeeds();
        named(ca, "other")?.fails(22, &says);
        let foreign = Authority::new()?;
        let unknown = named(text(foreign.certificate()), "etcd")?;
        unknown.fails(22, &["signed by an authority that"]);
        pins(endpoint, cluster.server_certificate(0).sha256())?;
    }
    Ok(())
}

/// Whoever signed it, whatever its names.
fn pins(endpoint: &str, sha256: &str) -> Result<()> {
    let colons: Vec<&str> = (0..32).map(|byte| &sha256[byte * 2..byte * 2 + 2]).collect();
    let fingerprint = colons.join(":").to_uppercase();
    let wrong = "0".repeat(64);
    for pin in [sha256, &fingerprint] {
        status(endpoint, &["--tls-pin", pin])?.succeeds();
        status(endpoint, &["--tls-pin", &wrong, "--tls-pin", pin])?.succeeds();
    }
    let other = status(endpoint, &["--tls-pin", &wrong])?;
    other.fails(22, &["not a pinned one", sha256, "; try: --tls-pin"]);
    status(endpoint, &["--tls-pin", "12"])?.fails(2, &["no SHA-256"]);
    Ok(())
}
