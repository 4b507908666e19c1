//! What a member says of itself.

use etcd_client::{AlarmAction, AlarmType, StatusResponse};
use serde::Serialize;

use crate::client::Connection;
use crate::endpoint::Endpoint;
use crate::error::{Failure, Result};

/// A member's status, by etcd's own names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberStatus {
    /// Where it was asked.
    pub endpoint: Endpoint,
    /// Its id, as etcdctl prints it: hexadecimal.
    #[serde(serialize_with = "hexadecimal")]
    pub member_id: u64,
    /// The cluster's id.
    #[serde(serialize_with = "hexadecimal")]
    pub cluster_id: u64,
    /// Its name, if the member list told it.
    pub name: Option<String>,
    /// Its version, as `3.5.1`.
    pub version: String,
    /// The size of its database file, free pages included.
    pub db_size_bytes: u64,
    /// What of that is in use; 0 before 3.4.
    pub db_in_use_bytes: u64,
    /// The id of the leader it follows, its own if it leads; `None` without leader.
    #[serde(serialize_with = "optional_hexadecimal")]
    pub leader_id: Option<u64>,
    /// Whether it has no vote yet.
    pub is_learner: bool,
    /// The raft term.
    pub raft_term: u64,
    /// The last entry of its raft log that is committed.
    pub raft_index: u64,
    /// The last one that it has applied; 0 before 3.4.
    pub raft_applied_index: u64,
    /// The revision of its store.
    pub revision: i64,
    /// Alarms raised by or about this member.
    pub alarms: Vec<Alarm>,
    /// What it finds wrong with itself, alarms of all members included.
    pub errors: Vec<String>,
}

/// An alarm that an operator has not disarmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Alarm {
    /// Its database reached the quota; its data is right but nobody can write.
    Nospace,
    /// Its data is not that of the other members.
    Corrupt,
    /// One that is not known here.
    Other,
}

impl MemberStatus {
    /// Whether it is the leader by its own word. A learner's status may say so little that only
    /// comparing ids tells.
    pub fn is_leader(&self) -> bool {
        self.leader_id == Some(self.member_id)
    }

    /// Name and endpoint, or only the endpoint.
    pub fn title(&self) -> String {
        match self.name.as_deref() {
            Some(name) if !name.is_empty() => format!("{name} ({})", self.endpoint),
            _ => self.endpoint.to_string(),
        }
    }

    pub(crate) async fn ask(connection: &Connection) -> Result<Self, Failure> {
        let mut client = connection.client();
        let status = connection.ask(client.status()).await?;
        let Some(header) = status.header() else {
            return Err(Failure::Server("a status without header: this is no etcd".into()));
        };
        let (member_id, cluster_id) = (header.member_id(), header.cluster_id());
        let revision = header.revision();
        let alarms = if says_errors(&status) {
            alarms_in(status.errors(), member_id)
        } else {
            listed_alarms(connection, member_id).await
        };
        Ok(Self {
            endpoint: connection.endpoint().clone(),
            member_id,
            cluster_id,
            name: None,
            version: status.version().into(),
            db_size_bytes: unsigned(status.db_size()),
            db_in_use_bytes: unsigned(status.raft_used_db_size()),
            leader_id: Some(status.leader()).filter(|leader| *leader != 0),
            is_learner: status.is_learner(),
            raft_term: status.raft_term(),
            raft_index: status.raft_index(),
            raft_applied_index: status.raft_applied_index(),
            revision,
            alarms,
            errors: status.errors().to_vec(),
        })
    }
}

fn unsigned(number: i64) -> u64 {
    number.try_into().unwrap_or_default()
}

/// From 3.4 on (`StatusResponse.errors`).
fn says_errors(status: &StatusResponse) -> bool {
    !["3.0.", "3.1.", "3.2.", "3.3."].iter().any(|old| status.version().starts_with(old))
}

/// The alarms of one member among the errors of a status, which have those of all members in the
/// text form of `AlarmMember`: `memberID:10276657743932975437 alarm:NOSPACE `. Without an id it may
/// be anybody's: 3.5.1's corruption check raises it so, and the text form leaves a zero out.
fn alarms_in(errors: &[String], member_id: u64) -> Vec<Alarm> {
    let own = format!("memberID:{member_id}");
    let words = errors.iter().map(|error| error.split_whitespace().collect::<Vec<_>>());
    let mine = words.filter(|words| {
        words.contains(&own.as_str()) || !words.iter().any(|word| word.starts_with("memberID:"))
    });
    let names = mine.filter_map(|words| words.iter().find_map(|word| word.strip_prefix("alarm:")));
    names.map(Alarm::named).collect::<Vec<_>>()
}

/// Before 3.4 the alarms have to be asked for, which goes through raft; without an answer there is
/// none to tell.
async fn listed_alarms(connection: &Connection, member_id: u64) -> Vec<Alarm> {
    let mut client = connection.client();
    let alarms = client.alarm(AlarmAction::Get, AlarmType::None, None);
    let Ok(alarms) = connection.ask(alarms).await else { return Vec::new() };
    let own = alarms.alarms().iter().filter(|alarm| [member_id, 0].contains(&alarm.member_id()));
    let kinds = own.map(|alarm| match alarm.alarm() {
        AlarmType::Nospace => Alarm::Nospace,
        AlarmType::Corrupt => Alarm::Corrupt,
        AlarmType::None => Alarm::Other,
    });
    kinds.collect()
}

impl Alarm {
    fn named(name: &str) -> Self {
        match name {
            "NOSPACE" => Self::Nospace,
            "CORRUPT" => Self::Corrupt,
            _ => Self::Other,
        }
    }

    /// As etcd spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nospace => "NOSPACE",
            Self::Corrupt => "CORRUPT",
            Self::Other => "unknown",
        }
    }
}

fn hexadecimal<S: serde::Serializer>(id: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{id:x}"))
}

fn optional_hexadecimal<S: serde::Serializer>(
    id: &Option<u64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match id {
        Some(id) => hexadecimal(id, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_has_only_its_own_alarms() {
        let errors = [
            "memberID:7 alarm:NOSPACE ".to_owned(),
            "memberID:77 alarm:CORRUPT ".to_owned(),
            "etcdserver: no leader".to_owned(),
            "alarm:NOVELTY memberID:7".to_owned(),
        ];
        assert_eq!(alarms_in(&errors, 7), [Alarm::Nospace, Alarm::Other]);
        assert_eq!(alarms_in(&errors, 77), [Alarm::Corrupt]);
        assert_eq!(alarms_in(&errors, 8), []);
        assert_eq!(alarms_in(&["alarm:CORRUPT ".to_owned()], 8), [Alarm::Corrupt]);
    }
}
