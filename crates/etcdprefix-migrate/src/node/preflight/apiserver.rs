//! What the API server's manifest tells.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::topic::Topic;
use super::{Check, Standing};
use crate::node::manifest::StaticPod;
use crate::protocol::EtcdAccess;

/// What kube-apiserver takes without the flag.
const DEFAULT_PREFIX: &str = "/registry";

const PREFIX: Topic = Topic::new(
    "etcd_prefix",
    "only keys under the API server's prefix are rewritten for the managed side",
);
const SERVERS: Topic = Topic::new("etcd_servers", "the API server's own etcd is the one to save");
const SAME: Topic =
    Topic::new("same_etcd", "the etcd that is saved must be the one that Kubernetes writes to");
const OVERRIDES: Topic = Topic::new(
    "etcd_overrides",
    "resources that are kept in another etcd are not in the snapshot, so they would be gone",
);

/// The API server's pod, read from a folder that stands for the host's root.
#[derive(Clone, Copy)]
pub(super) struct ApiServer<'a> {
    pub(super) pod: &'a StaticPod,
    pub(super) root: &'a Path,
}

impl<'a> ApiServer<'a> {
    pub(super) fn flag(&self, name: &str) -> Option<&'a str> {
        self.pod.flag(name).filter(|value| !value.is_empty())
    }

    /// A file that the pod knows by this path.
    pub(super) fn host_path(&self, inside: &str) -> PathBuf {
        on_host(self.root, &self.pod.host_path(Path::new(inside)))
    }

    /// As the API server itself joins it: with one slash in front and none behind.
    pub(super) fn prefix(&self) -> String {
        let given = self.flag("etcd-prefix").unwrap_or(DEFAULT_PREFIX);
        let parts = given.split('/').filter(|part| !part.is_empty());
        format!("/{}", parts.collect::<Vec<_>>().join("/"))
    }

    /// As it reaches etcd.
    pub(super) fn etcd(&self) -> EtcdAccess {
        let servers = self.flag("etcd-servers").unwrap_or_default();
        let servers = servers.split(',').map(str::trim).filter(|server| !server.is_empty());
        let file = |name| self.flag(name).map(|path| self.host_path(path));
        EtcdAccess {
            endpoints: servers.map(str::to_owned).collect(),
            cacert: file("etcd-cafile"),
            cert: file("etcd-certfile"),
            key: file("etcd-keyfile"),
        }
    }

    /// `v1.28.3` of the image's tag.
    pub(super) fn version(&self) -> Option<String> {
        let own = self.pod.containers.iter().find(|it| it.image.contains("kube-apiserver"))?;
        let (_, tag) = own.image.split('@').next()?.rsplit_once(':')?;
        super::version::Version::parse(tag).map(|_| tag.to_owned())
    }
}

/// A path of the host below the folder that stands for its root.
pub(super) fn on_host(root: &Path, path: &Path) -> PathBuf {
    match path.strip_prefix("/") {
        Ok(below) if root != Path::new("/") => root.join(below),
        _ => path.to_owned(),
    }
}

pub(super) fn checks(server: &ApiServer<'_>) -> Vec<Check> {
    vec![prefix(server), servers(server), overrides(server)]
}

fn prefix(server: &ApiServer<'_>) -> Check {
    let prefix = server.prefix();
    match server.flag("etcd-prefix") {
        _ if prefix == "/" => PREFIX.fail(
            "--etcd-prefix is /, which all keys of etcd begin with",
            "to leave this cluster as it is: without a prefix its keys can't be told from others",
        ),
        Some(_) => PREFIX.ok(format!("{prefix}, by --etcd-prefix")),
        None => PREFIX.ok(format!("{prefix}, the default")),
    }
}

fn servers(server: &ApiServer<'_>) -> Check {
    let endpoints = server.etcd().endpoints;
    let sockets = endpoints.iter().find(|endpoint| endpoint.starts_with("unix"));
    match sockets {
        _ if endpoints.is_empty() => SERVERS.fail(
            "the manifest has no --etcd-servers",
            "a manifest whose kube-apiserver has --etcd-servers on its command line",
        ),
        Some(socket) => SERVERS.fail(
            format!("--etcd-servers names the socket {socket}"),
            "etcd's client URLs in the configuration (etcd: endpoints)",
        ),
        None => SERVERS.ok(endpoints.join(", ")),
    }
}

/// The cluster of `--etcd-servers`, if it answers, and that of the endpoints which were given.
pub(super) fn same_etcd(own: Option<&str>, given: &str) -> Check {
    match own {
        Some(own) if own == given => SAME.ok(format!("cluster {given}")),
        Some(own) => SAME.fail(
            format!("--etcd-servers is of the cluster {own}, the endpoints given are of {given}"),
            "endpoints of the etcd in the API server's manifest, or none at all",
        ),
        None => SAME.warn(
            "the members in --etcd-servers do not answer this host",
            "to compare --etcd-servers with the endpoints given by hand",
        ),
    }
}

/// One resource that has another etcd.
struct Override<'a> {
    resource: &'a str,
    servers: BTreeSet<&'a str>,
}

impl<'a> Override<'a> {
    /// `group/resource#server;server`; the group of the core is empty.
    fn parse(text: &'a str) -> Self {
        let (resource, servers) = text.split_once('#').unwrap_or((text, ""));
        Self { resource: resource.trim(), servers: servers.split(';').map(str::trim).collect() }
    }

    fn is_of_events(&self) -> bool {
        ["/events", "events.k8s.io/events"].contains(&self.resource)
    }
}

fn overrides(server: &ApiServer<'_>) -> Check {
    let own = server.etcd().endpoints;
    let own: BTreeSet<&str> = own.iter().map(String::as_str).collect();
    let given = server.flag("etcd-servers-overrides").unwrap_or_default();
    let given = given.split(',').map(str::trim).filter(|text| !text.is_empty());
    let elsewhere: Vec<_> = given.map(Override::parse).filter(|it| it.servers != own).collect();
    let standing = match elsewhere.iter().all(Override::is_of_events) {
        _ if elsewhere.is_empty() => return OVERRIDES.ok("all resources are in one etcd"),
        true => Standing::Warn,
        false => Standing::Fail,
    };
    let names: Vec<_> = elsewhere.iter().map(|it| it.resource.trim_start_matches('/')).collect();
    let found = format!("in another etcd: {}", names.join(", "));
    let advice = match standing {
        Standing::Warn => "nothing, if past events may be lost; they expire within an hour anyway",
        _ => "to move these resources into the main etcd and drop --etcd-servers-overrides first",
    };
    OVERRIDES.check(standing, found, advice)
}
