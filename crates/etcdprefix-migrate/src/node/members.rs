//! Who etcd's members are, as this host sees them.

use etcdprefix_etcd::members::{MemberStatus, Survey};

use crate::error::NodeError;
use crate::node::reach;
use crate::protocol::{EtcdAccess, MemberFacts};

/// What the members at the endpoints say of themselves, in the order of the endpoints; those that
/// don't answer are left out.
///
/// # Errors
/// If none answers, or they are of two clusters.
pub fn run(access: &EtcdAccess) -> Result<Vec<MemberFacts>, NodeError> {
    let survey = survey(access, false)?;
    let facts: Vec<_> = survey.statuses().map(facts).collect();
    if facts.is_empty() { Err(survey.no_member().into()) } else { Ok(facts) }
}

/// All endpoints asked, and, if wanted, the members that they know of besides.
///
/// # Errors
/// If they are of two clusters, or can't be asked at all.
pub fn survey(access: &EtcdAccess, wide: bool) -> Result<Survey, NodeError> {
    let (dialer, endpoints) = reach::etcd(access)?;
    reach::wait(async {
        let survey = Survey::take(&dialer, &endpoints).await?;
        if wide { Ok(survey.widened(&dialer).await?) } else { Ok(survey) }
    })
}

/// How many members etcd has: learners, and those that are down, too.
///
/// # Errors
/// As [`survey`].
pub fn count(access: &EtcdAccess) -> Result<usize, NodeError> {
    Ok(survey(access, false)?.listed.len())
}

/// A member's status as it travels.
pub fn facts(status: &MemberStatus) -> MemberFacts {
    MemberFacts {
        endpoint: status.endpoint.to_string(),
        member_id: format!("{:x}", status.member_id),
        cluster_id: format!("{:x}", status.cluster_id),
        name: status.name.clone(),
        version: status.version.clone(),
        is_leader: status.is_leader(),
        is_learner: status.is_learner,
        db_size_bytes: status.db_size_bytes,
        db_in_use_bytes: status.db_in_use_bytes,
        revision: status.revision,
        alarms: status.alarms.iter().map(|alarm| alarm.name().to_owned()).collect(),
    }
}
