//! The cluster after: the restored etcd with an apiserver under the new prefix.

use anyhow::{Context, Result, ensure};
use etcdprefix_testkit::EtcdServer;
use etcdprefix_testkit::kubernetes::{
    Apiserver, Await, Kubectl, Provider, Setup, Stored, Watch, stored,
};
use serde_json::Value;

use super::source::{
    PATIENCE, SHORT, Source, UNCACHED, WATCHED, assert_sealed, is_last, resource_version, secret,
    volatile,
};
use crate::support::DEST;

/// The moved cluster and what it has to be like.
pub struct Moved<'a> {
    etcd: &'a EtcdServer,
    server: Apiserver<'a>,
    source: &'a Source,
    /// The snapshot's.
    revision: u64,
}

impl<'a> Moved<'a> {
    /// Looks at what is in etcd before an apiserver can change it, and starts one.
    pub fn start(etcd: &'a EtcdServer, source: &'a Source, revision: u64) -> Result<Self> {
        assert_sealed(etcd, DEST)?;
        let last = etcd_value(etcd, "events/shop/last")?;
        ensure!(last.lease != 0, "the event has lost its lease");
        let server = started(etcd, source, &[SHORT])?;
        Ok(Self { etcd, server, source, revision })
    }

    /// The same with another apiserver, whose watches reach back.
    pub fn without_cache(self) -> Result<Self> {
        let Self { etcd, server, source, .. } = self;
        drop(server);
        Ok(Self { server: started(etcd, source, &[SHORT, UNCACHED])?, ..self })
    }

    fn kubectl(&self) -> &Kubectl {
        self.server.kubectl()
    }

    /// Every object, byte for byte: uid and resourceVersion are in it.
    pub fn holds_the_same(&self) -> Result<()> {
        let found = self.kubectl().objects()?;
        for (path, expected) in self.source.objects.iter().filter(|(path, _)| !volatile(path)) {
            let found = found.get(path).with_context(|| format!("{path} is gone"))?;
            ensure!(expected == found, "{path}:\nexpected {expected}\nfound    {found}");
        }
        let new = |path: &&String| !volatile(path) && !self.source.objects.contains_key(*path);
        let new: Vec<&String> = found.keys().filter(new).collect();
        ensure!(new.is_empty(), "nobody wrote {new:?}");
        Ok(())
    }

    /// Watches from the old resourceVersion see what they saw before the move.
    pub fn watches_go_on(&self) -> Result<Vec<Watch>> {
        let open = |(path, expected): (&&str, &Vec<Value>)| {
            let watch = self.kubectl().watch(path, self.source.mark)?;
            let found = watch.until(PATIENCE, is_last)?;
            ensure!(*expected == found, "{path}:\nexpected {expected:?}\nfound    {found:?}");
            Ok(watch)
        };
        WATCHED.iter().zip(&self.source.events).map(open).collect()
    }

    /// The same watches see writes under the new prefix.
    pub fn takes_writes(&self, watches: &[Watch]) -> Result<()> {
        for kind in ["configmap", "secret", "pod", "widget"] {
            self.kubectl().run(&["label", kind, "last", "-n", "shop", "moved=yes"])?;
        }
        secret(self.kubectl(), "after")?;
        self.kubectl().run(&["delete", "secret", "by-identity", "-n", "shop"])?;
        for (watch, path) in
            watches.iter().zip(WATCHED).filter(|(_, path)| !path.ends_with("events"))
        {
            self.next(watch, "MODIFIED", "last").context(path)?;
        }
        self.next(&watches[1], "ADDED", "after")?;
        self.next(&watches[1], "DELETED", "by-identity")?;
        let value = etcd_value(self.etcd, "secrets/shop/after")?.value;
        let sealed = value.starts_with(Provider::Secretbox.mark().as_bytes());
        ensure!(sealed, "a new Secret is not sealed");
        let path = "/api/v1/namespaces/shop/secrets/after";
        let data = self.kubectl().raw(path)?["data"]["password"].clone();
        ensure!(data == "YWZ0ZXI=", "the new Secret reads as {data}");
        Ok(())
    }

    /// The next event is this one, with a resourceVersion that no object had before.
    fn next(&self, watch: &Watch, kind: &str, name: &str) -> Result<()> {
        let event = watch.next(PATIENCE)?;
        let found = &event["object"]["metadata"]["name"];
        ensure!(event["type"] == kind && found == name, "no {kind} of {name}: {event}");
        let version = resource_version(&event["object"])?;
        ensure!(version > self.revision, "{version} is not above {}", self.revision);
        Ok(())
    }

    /// An event of before the move and one of after it end by their leases; one on a long lease
    /// stays.
    pub fn lets_events_expire(&self, watches: &[Watch]) -> Result<()> {
        let events = watches.last().context("events are watched")?;
        let fresh = "apiVersion: v1\nkind: Event\nmetadata: {name: fresh, namespace: shop}\n\
                     involvedObject: {kind: Pod, name: web-0, namespace: shop}\n";
        self.kubectl().feed(&["create"], fresh)?;
        let mut seen = Vec::new();
        for _ in 0..3 {
            let event = events.next(PATIENCE).with_context(|| format!("after {seen:?}"))?;
            let name = event["object"]["metadata"]["name"].as_str().unwrap_or_default();
            seen.push(format!("{} {name}", event["type"].as_str().unwrap_or_default()));
        }
        seen.sort();
        ensure!(seen == ["ADDED fresh", "DELETED fresh", "DELETED last"], "{seen:?}");
        self.kubectl().raw("/api/v1/namespaces/shop/events/lasting").map(drop)
    }

    /// Nothing stands, and nothing was written, outside of the new prefix.
    pub fn keeps_to_its_prefix(&self) -> Result<()> {
        let stored = stored(self.etcd)?;
        let inside = |key: &str| key.strip_prefix(DEST).is_some_and(|rest| rest.starts_with('/'));
        let outside: Vec<&String> = stored.keys().filter(|key| !inside(key)).collect();
        ensure!(outside == ["compact_rev_key"], "outside of the prefix: {outside:?}");
        Ok(())
    }
}

fn started<'a>(etcd: &'a EtcdServer, source: &Source, flags: &[&str]) -> Result<Apiserver<'a>> {
    let setup = Setup { prefix: DEST, secrets: Provider::Secretbox, flags };
    Apiserver::start(etcd, &source.credentials, setup, Await::Ready)
}

fn etcd_value(etcd: &EtcdServer, name: &str) -> Result<Stored> {
    let key = format!("{DEST}/{name}");
    stored(etcd)?.remove(&key).with_context(|| format!("no {key}"))
}
