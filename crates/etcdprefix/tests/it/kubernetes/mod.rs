//! A real cluster, end to end: kube-apiserver on etcd, moved to another prefix.

// The cluster before: what is written, in which order, and how it looks from outside.
mod source;
// The cluster after: held against the one before, written to, left to expire.
mod moved;

use std::fs;

use anyhow::{Context, Result};
use etcdprefix_testkit::kubernetes::{Apiserver, Await, Credentials, Provider, Setup, stored};
use etcdprefix_testkit::{EtcdServer, Version, save};
use tempfile::TempDir;

use self::moved::Moved;
use self::source::Source;
use crate::support::{DEST, change, number, rewrite_and_judge, run, said};

/// What kube-apiserver says of a value that was sealed under another key of etcd.
const FORETOLD: &str = "cipher: message authentication failed";

fn moves_on(version: Version) -> Result<()> {
    let folder = TempDir::new()?;
    let (snapshot, output) = (folder.path().join("snapshot.db"), folder.path().join("output.db"));
    let source = Source::make(version, &snapshot)?;
    let result = rewrite_and_judge(&snapshot, &output, &[])?;
    assert_eq!(number(&result, "unmatched"), 0, "{result}");
    assert!(number(&result["known"], "compact_rev_key") > 0, "{result}");
    let revision = number(&result, "revision");
    source.assert_unchanged_since(revision)?;
    let etcd = EtcdServer::restored(version, &output)?;
    let moved = Moved::start(&etcd, &source, revision)?;
    moved.holds_the_same().context("objects after the move")?;
    let moved = moved.without_cache()?;
    let watches = moved.watches_go_on().context("watches from an old resourceVersion")?;
    moved.takes_writes(&watches).context("writes after the move")?;
    moved.lets_events_expire(&watches).context("events on leases")?;
    moved.keeps_to_its_prefix()
}

#[test]
fn a_cluster_moves_on_3_4_23() -> Result<()> {
    moves_on(Version::V3_4_23)
}

#[test]
fn a_cluster_moves_on_3_5_16() -> Result<()> {
    moves_on(Version::V3_5_16)
}

/// Refused in words that kube-apiserver uses too, once the refusal is overridden.
#[test]
fn aesgcm_fails_as_foretold() -> Result<()> {
    let folder = TempDir::new()?;
    let (snapshot, output) = (folder.path().join("snapshot.db"), folder.path().join("output.db"));
    let credentials = Credentials::new()?;
    let setup = |prefix| Setup { prefix, secrets: Provider::Aesgcm, flags: &[] };
    let etcd = EtcdServer::start(Version::V3_4_23, &[])?;
    {
        let server = Apiserver::start(&etcd, &credentials, setup("/registry"), Await::Ready)?;
        let secret = ["create", "secret", "generic", "sealed", "--from-literal=a=b"];
        server.kubectl().run(&secret)?;
        server.kubectl().run(&["create", "configmap", "open"])?;
        let value = &stored(&etcd)?["/registry/secrets/default/sealed"].value;
        assert!(value.starts_with(Provider::Aesgcm.mark().as_bytes()), "not sealed: {value:?}");
        save::snapshot(&etcd, &snapshot)?;
    }
    let before = fs::read(&snapshot)?;
    let path = snapshot.to_str().context("the path is UTF-8")?;
    let refused = run(["change-prefix", "--db", path, "--dest-prefix", DEST])?;
    assert_eq!(refused.status.code(), Some(14), "{}", said(&refused));
    assert!(refused.stdout.is_empty(), "{}", said(&refused));
    assert!(said(&refused).contains(FORETOLD), "{}", said(&refused));
    assert!(fs::read(&snapshot)? == before, "the refused file was touched");

    change(&snapshot, &output, ["/registry", DEST], &["--allow-undecryptable"])?;
    let etcd = EtcdServer::restored(Version::V3_4_23, &output)?;
    // Never quite ready: an informer reads all Secrets.
    let awaited = Await::ReadyWithoutInformers;
    let server = Apiserver::start(&etcd, &credentials, setup(DEST), awaited)?;
    let kubectl = server.kubectl();
    for what in [&["get", "secret", "sealed"][..], &["get", "secrets"]] {
        let answer = kubectl.output(what)?;
        assert!(!answer.status.success() && said(&answer).contains(FORETOLD), "{}", said(&answer));
    }
    assert!(!kubectl.answers("/readyz")?, "ready with a Secret that it can't read");
    kubectl.run(&["get", "configmap", "open"]).map(drop)
}
