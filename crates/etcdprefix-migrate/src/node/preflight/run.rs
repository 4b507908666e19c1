//! All checks of one host, in the order in which they matter.

use std::path::{Path, PathBuf};

use super::apiserver::ApiServer;
use super::etcd::Members;
use super::topic::Topic;
use super::version::{self, Version};
use super::{
    Check, Facts, Preflight, address, apiserver, cluster, encryption, etcd, host, keys, space,
    store,
};
use crate::error::NodeError;
use crate::node::clock::now_ms;
use crate::node::kubelet::{Kubelet, Layout};
use crate::node::manifest::StaticPod;
use crate::node::runtime::API_SERVER;
use crate::node::{Context, members, plan, reach};
use crate::protocol::{EtcdAccess, PreflightRequest};

const STATIC: Topic = Topic::new(
    "api_server_pod",
    "an API server that is no static pod can't be put to sleep, and its flags tell where the data is",
);

/// Where kubeadm and ACK have it.
const KUBECONFIG: &str = "/etc/kubernetes/admin.conf";

/// Looks at everything. Changes nothing but for a small object that is put into the store and removed
/// again.
///
/// # Errors
/// If it is to end, or no threads can be had: whatever else fails is a check that stands badly.
pub fn run(request: &PreflightRequest, context: &Context) -> Result<Preflight, NodeError> {
    let mut look = Look::new(request, context);
    if let Some(pods) = look.host() {
        look.manifests(&pods);
    }
    context.check_interrupted()?;
    let survey = look.etcd();
    look.space(survey.as_ref());
    context.check_interrupted()?;
    let asked = reach::wait(async { Ok(tokio::join!(look.store(), look.cluster())) })?;
    look.add_remote(asked);
    Ok(Preflight { checks: look.checks, facts: look.facts })
}

struct Look<'a> {
    request: &'a PreflightRequest,
    context: &'a Context,
    checks: Vec<Check>,
    facts: Facts,
}

type Asked = (Option<(Vec<Check>, store::Learnt)>, Option<Result<cluster::Seen, String>>);

impl<'a> Look<'a> {
    fn new(request: &'a PreflightRequest, context: &'a Context) -> Self {
        let now_ms = now_ms();
        let asked = i64::try_from(request.asked_ms).unwrap_or_default();
        let now = i64::try_from(now_ms).unwrap_or(i64::MAX);
        let uname = rustix::system::uname();
        let facts = Facts {
            hostname: uname.nodename().to_string_lossy().into_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            now_ms,
            clock_offset_ms: (asked > 0).then(|| now.saturating_sub(asked)),
            time_zone: host::time_zone(&context.machine),
            ..Facts::default()
        };
        Self { request, context, checks: Vec::new(), facts }
    }

    /// The static pods, if they can be looked at.
    fn host(&mut self) -> Option<Vec<StaticPod>> {
        let machine = &self.context.machine;
        let kubelet = Kubelet::find(machine);
        let pods = self.folder(kubelet.as_ref());
        self.checks.push(host::runtime(machine, kubelet.as_ref()));
        self.checks.push(host::timer(machine));
        self.checks.extend(host::clock(self.facts.clock_offset_ms));
        self.checks.push(host::zone(self.facts.time_zone.as_deref()));
        self.checks.push(host::binary(&self.facts.version, &self.facts.arch));
        self.checks.push(host::assistant(machine));
        pods
    }

    fn folder(&mut self, kubelet: Option<&Kubelet>) -> Option<Vec<StaticPod>> {
        let read = Layout::of(self.context).and_then(|layout| {
            let pods = StaticPod::read_all(&layout.manifests)?;
            Ok((layout, pods))
        });
        let (layout, pods) = match read {
            Ok(read) => read,
            Err(error) => {
                self.checks.push(host::no_folder(&error.message, error.hint.as_deref()));
                return None;
            }
        };
        let PreflightRequest { also, all, .. } = self.request;
        let (moved, stay) = plan::would_move(&pods, also, *all);
        let machine = &self.context.machine;
        self.checks.push(host::kubelet(machine, kubelet, &layout));
        self.checks.push(host::static_pods(&moved, &stay, &pods));
        self.checks.extend(host::odd_names(&pods));
        self.checks.push(host::backup(&layout, &moved));
        let targets = plan::targets_of(&pods, also, *all);
        self.checks.extend(host::other_api_server(machine, kubelet, &targets));
        (self.facts.would_move, self.facts.would_stay) = (moved, stay);
        if !pods.iter().any(|pod| pod.runs(API_SERVER)) {
            self.checks.push(no_api_server(&layout, &pods));
        }
        Some(pods)
    }

    fn manifests(&mut self, pods: &[StaticPod]) {
        let Some(pod) = pods.iter().find(|pod| pod.runs(API_SERVER)) else { return };
        let server = ApiServer { pod, root: &self.context.machine.root };
        self.checks.push(STATIC.ok(pod.file.display().to_string()));
        self.checks.extend(apiserver::checks(&server));
        self.facts.etcd_prefix = server.prefix();
        self.facts.etcd = server.etcd();
        self.facts.kubernetes_version = server.version();
        let version = self.facts.kubernetes_version.as_deref().and_then(Version::parse);
        self.checks.push(encryption::check(&server, version));
        let (checks, digests) = keys::checks(&server, pods);
        self.checks.extend(checks);
        self.facts.public_keys = digests;
        self.facts.keys = keys::files(&server, pods);
        if self.request.extra {
            self.checks.push(keys::authority(&self.facts.keys));
        }
    }

    /// All members, as asked for or else as the API server reaches them.
    fn etcd(&mut self) -> Option<Members> {
        let own = Some(&self.facts.etcd).filter(|own| !own.endpoints.is_empty());
        let Some(access) = self.request.etcd.as_ref().or(own) else {
            self.checks.extend(etcd::unasked("no endpoints are known", None));
            return None;
        };
        let found = match survey(access) {
            Ok(found) => found,
            Err(error) => {
                self.checks.extend(etcd::unasked(&error.message, error.hint.as_deref()));
                return None;
            }
        };
        self.checks.extend(etcd::checks(&found));
        if self.request.etcd.is_some() {
            self.checks.extend(own.and_then(|own| same_etcd(own, &found)));
        }
        let local = found.facts.iter().find(|member| address::is_local_url(&member.endpoint));
        self.facts.own_member = local.map(|member| member.member_id.clone());
        self.facts.members.clone_from(&found.facts);
        Some(found)
    }

    fn space(&mut self, members: Option<&Members>) {
        let size = members.and_then(Members::db_size_bytes);
        self.checks.push(space::check(&self.request.working_dir, size));
    }

    async fn store(&self) -> Option<(Vec<Check>, store::Learnt)> {
        let access = self.request.store.as_ref()?;
        let seconds = self.request.presign_seconds;
        Some(store::look(access, self.context, seconds, &self.facts.hostname).await)
    }

    async fn cluster(&self) -> Option<Result<cluster::Seen, String>> {
        if !self.request.cluster_checks {
            return None;
        }
        let usual = || self.context.machine.path(Path::new(KUBECONFIG));
        let kubeconfig: PathBuf = self.request.kubeconfig.clone().unwrap_or_else(usual);
        Some(cluster::ask(&kubeconfig).await.map_err(|error| error.to_string()))
    }

    fn add_remote(&mut self, (store, cluster): Asked) {
        let (checks, learnt) = store.map_or((Vec::new(), None), |(checks, it)| (checks, Some(it)));
        self.checks.extend(checks);
        let by_api = match &cluster {
            Some(Ok(seen)) => Some(seen.version.as_str()),
            _ => None,
        };
        let by_image = self.facts.kubernetes_version.clone();
        let version = version::told(&[by_api, by_image.as_deref()]).map(str::to_owned);
        if cluster.is_some() || version.is_some() {
            self.checks.push(version::check(version.as_deref()));
        }
        self.facts.kubernetes_version = version;
        match cluster {
            Some(Ok(seen)) => {
                self.checks.extend(cluster::checks(&seen, learnt.as_ref()));
                self.facts.api_server = Some(seen.server);
            }
            Some(Err(why)) => self.checks.extend(cluster::unasked(&why)),
            None => {}
        }
    }
}

fn survey(access: &EtcdAccess) -> Result<Members, NodeError> {
    Ok(Members::of(&members::survey(access, true)?))
}

/// Whether the API server writes to the cluster that was asked.
fn same_etcd(own: &EtcdAccess, asked: &Members) -> Option<Check> {
    let own = survey(own).unwrap_or_default();
    let own = own.facts.first().map(|member| member.cluster_id.as_str());
    Some(apiserver::same_etcd(own, &asked.facts.first()?.cluster_id))
}

fn no_api_server(layout: &Layout, pods: &[StaticPod]) -> Check {
    let slept = StaticPod::read_all(&layout.backup).unwrap_or_default();
    if let Some(pod) = slept.iter().find(|pod| pod.runs(API_SERVER)) {
        return STATIC.fail(
            format!("asleep: {}", pod.file.display()),
            "etcdprefix migrate rollback, or to move the manifests back by hand if something else \
             put them there",
        );
    }
    let names: Vec<String> = pods.iter().map(StaticPod::file_name).collect();
    STATIC.fail(
        format!("no kube-apiserver in {} ({})", layout.manifests.display(), names.join(", ")),
        "a master whose API server is a static pod of its kubelet",
    )
}
