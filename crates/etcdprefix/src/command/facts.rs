//! What is known of a snapshot that a command made, to be said beside it where it is sent.

use etcdprefix_core::Outcome;

/// What is known; `None` if it is not.
#[derive(Clone, Debug, Default)]
#[cfg_attr(not(feature = "store"), expect(dead_code, reason = "nothing is sent by this build"))]
pub struct Facts {
    pub cluster_id: Option<String>,
    pub revision: Option<i64>,
    pub status_hash: Option<String>,
    /// The trailer.
    pub sha256: Option<String>,
    pub etcd_version: Option<String>,
    pub prefix: Option<String>,
}

impl Facts {
    /// Of a change's output.
    pub fn of(outcome: &Outcome) -> Self {
        Self {
            cluster_id: cluster_id(&outcome.dest_prefix),
            revision: Some(outcome.census.revision),
            status_hash: outcome.status_hash_after.clone(),
            sha256: outcome.sha256.clone(),
            etcd_version: None,
            prefix: Some(outcome.dest_prefix.clone()).filter(|prefix| !prefix.is_empty()),
        }
    }
}

/// Managed control planes keep a cluster under its id: `/c123`. What kube-apiserver uses by default
/// is nobody's id.
fn cluster_id(dest_prefix: &str) -> Option<String> {
    let id = dest_prefix.strip_prefix('/')?;
    let is_one = !id.is_empty() && !id.contains('/') && id != "registry";
    is_one.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_single_component_can_be_a_clusters_id() {
        assert_eq!(cluster_id("/c123").as_deref(), Some("c123"));
        for prefix in ["", "/", "/registry", "/a/b", "c123"] {
            assert_eq!(cluster_id(prefix), None, "{prefix}");
        }
    }
}
