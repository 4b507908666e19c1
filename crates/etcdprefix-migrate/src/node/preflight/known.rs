//! What this host's own manifests tell, also while they sleep.

use crate::error::{NodeError, NodeErrorKind};
use crate::node::kubelet::Layout;
use crate::node::manifest::StaticPod;
use crate::node::runtime::API_SERVER;
use crate::node::state::State;
use crate::node::{Context, members};
use crate::protocol::{EtcdAccess, KeyFiles, MemberFacts};

use super::apiserver::ApiServer;
use super::{address, keys};

/// What the API server's manifest says of etcd and keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// As it reaches etcd.
    pub etcd: EtcdAccess,
    /// `--etcd-prefix`; `/registry` if it has none.
    pub etcd_prefix: String,
    /// Where the keys of a bundle lie.
    pub keys: KeyFiles,
}

/// Reads the manifests: those that sleep moved where they lie now, and the others in the kubelet's folder.
///
/// # Errors
/// [`NodeErrorKind::NotAsExpected`] if none of them is an API server's.
pub fn known(context: &Context) -> Result<Known, NodeError> {
    let pods = pods(context)?;
    let Some(pod) = pods.iter().find(|pod| pod.runs(API_SERVER)) else {
        let why = "no manifest of an API server is on this host, neither awake nor asleep";
        return Err(NodeError::new(NodeErrorKind::NotAsExpected, why)
            .try_("--etcd-endpoints and the files beside it, as the API server has them"));
    };
    let server = ApiServer { pod, root: &context.machine.root };
    Ok(Known {
        etcd: server.etcd(),
        etcd_prefix: server.prefix(),
        keys: keys::files(&server, &pods),
    })
}

/// Those that sleep come first: whatever came in their place meanwhile is not what was migrated.
fn pods(context: &Context) -> Result<Vec<StaticPod>, NodeError> {
    let state = State::existing(&context.state)?;
    let record = state.map(|state| state.record()).transpose()?.flatten();
    let mut pods = Vec::new();
    if let Some(record) = record {
        let is_ours = |pod: &StaticPod| record.files.iter().any(|it| it.name == pod.file_name());
        let asleep =
            if record.backup.is_dir() { StaticPod::read_all(&record.backup)? } else { Vec::new() };
        pods.extend(asleep.into_iter().filter(is_ours));
    }
    pods.extend(StaticPod::read_all(&Layout::of(context)?.manifests)?);
    Ok(pods)
}

/// The members of etcd that run on this host, each once; with others' they are told apart by their client
/// URLs.
///
/// # Errors
/// If nobody answers, or etcd can't be asked.
pub fn own_members(etcd: &EtcdAccess) -> Result<Vec<MemberFacts>, NodeError> {
    let survey = members::survey(etcd, true)?;
    let mut facts: Vec<_> = survey.statuses().map(members::facts).collect();
    if facts.is_empty() {
        return Err(survey.no_member().into());
    }
    facts.retain(|member| address::is_local_url(&member.endpoint));
    let mut seen = std::collections::BTreeSet::new();
    facts.retain(|member| seen.insert(member.member_id.clone()));
    Ok(facts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::fixture::{Fixture, context, owner};
    use crate::node::state::{Kept, Moved, Record};

    const MANIFEST: &str = "kind: Pod\nmetadata: {name: kube-apiserver}\nspec: {containers: [{name: \
        kube-apiserver, command: [kube-apiserver, --etcd-servers=https://127.0.0.1:2379, \
        --etcd-prefix=/kubernetes.io]}]}\n";

    fn put_to_sleep(host: &Fixture) {
        let from = host.manifests().join("kube-apiserver.yaml");
        std::fs::create_dir_all(host.backup()).unwrap();
        std::fs::rename(from, host.backup().join("kube-apiserver.yaml")).unwrap();
        let fingerprint = serde_json::json!({"name": "kube-apiserver.yaml", "sha256": "",
            "size_bytes": 1});
        let moved = serde_json::from_value::<Moved>(fingerprint).unwrap();
        let record = Record {
            run: owner().run,
            since_ms: 1,
            folder: host.manifests(),
            backup: host.backup(),
            made_backup: true,
            files: vec![moved],
            targets: Vec::new(),
        };
        host.state().write(Kept::Slept, &record).unwrap();
    }

    #[test]
    fn a_manifest_is_found_awake_and_asleep() {
        let host = Fixture::with_control_plane();
        host.file("/etc/kubernetes/manifests/kube-apiserver.yaml", MANIFEST);
        let awake = known(&context(&host)).unwrap();
        assert_eq!(awake.etcd.endpoints, ["https://127.0.0.1:2379"]);
        assert_eq!(awake.etcd_prefix, "/kubernetes.io");
        put_to_sleep(&host);
        assert_eq!(known(&context(&host)).unwrap(), awake);
        host.state().remove(Kept::Slept).unwrap();
        let error = known(&context(&host)).unwrap_err();
        assert_eq!(error.kind, NodeErrorKind::NotAsExpected);
    }
}
