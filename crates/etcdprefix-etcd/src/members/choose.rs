//! Which member to take a snapshot from.

use std::cmp::Reverse;

use crate::client::Connection;
use crate::endpoint::Endpoint;
use crate::error::{Error, Failure};
use crate::members::{Alarm, Asked, MemberStatus, Survey};

/// What speaks for a member or against it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It leads: by its id, in the highest term.
    Leader,
    /// It votes and follows the leader.
    Voter,
    /// Its database is full; what it holds is right, so it is taken if there is no other.
    Full,
    /// It has no vote, and may lag behind.
    Learner,
    /// An alarm says that its data is wrong, or one that is not known here.
    Alarmed(Alarm),
    /// It sees no leader, so it may be cut off.
    Leaderless,
    /// It follows, or thinks it is, the leader of a term that is over.
    Behind,
    /// It did not answer.
    Silent(Failure),
}

impl Standing {
    /// Why it is taken or not, to follow the member's name.
    pub fn why(&self) -> String {
        match self {
            Self::Leader => "the leader".into(),
            Self::Voter => "a voter that follows the leader".into(),
            Self::Full => "it has a NOSPACE alarm".into(),
            Self::Learner => "it is a learner".into(),
            Self::Alarmed(alarm) => format!("it has a {} alarm", alarm.name()),
            Self::Leaderless => "it sees no leader".into(),
            Self::Behind => "it is cut off: its raft term is over".into(),
            Self::Silent(failure) => failure.to_string(),
        }
    }

    /// Whether it may be another in a moment: in an election nobody sees a leader.
    fn is_passing(&self) -> bool {
        match self {
            Self::Leaderless | Self::Behind => true,
            Self::Silent(failure) => failure.is_passing(),
            _ => false,
        }
    }

    fn rank(&self) -> Option<u8> {
        match self {
            Self::Leader => Some(0),
            Self::Voter => Some(1),
            Self::Full => Some(2),
            _ => None,
        }
    }
}

/// The endpoints of a survey with what speaks for and against them.
pub struct Ranking<'a> {
    survey: &'a Survey,
    standings: Vec<Standing>,
}

/// Judges the members of a survey.
pub fn rank(survey: &Survey) -> Ranking<'_> {
    let term = survey.statuses().map(|status| status.raft_term).max().unwrap_or_default();
    let standings = survey.asked.iter().map(|asked| match &asked.answer {
        Ok((status, _)) => standing(status, term),
        Err(failure) => Standing::Silent(failure.clone()),
    });
    Ranking { survey, standings: standings.collect() }
}

fn standing(status: &MemberStatus, term: u64) -> Standing {
    let worst = status.alarms.iter().find(|alarm| **alarm != Alarm::Nospace);
    if status.is_learner {
        Standing::Learner
    } else if let Some(alarm) = worst {
        Standing::Alarmed(*alarm)
    } else if status.leader_id.is_none() {
        Standing::Leaderless
    } else if status.raft_term < term {
        Standing::Behind
    } else if !status.alarms.is_empty() {
        Standing::Full
    } else if status.is_leader() {
        Standing::Leader
    } else {
        Standing::Voter
    }
}

impl<'a> Ranking<'a> {
    /// Those that can be taken, the best first: the leader, then voters and then full members, each
    /// by how much they have applied.
    pub fn candidates(&self) -> Vec<(&'a MemberStatus, &'a Connection, &Standing)> {
        let all = self.survey.asked.iter().zip(&self.standings);
        let mut candidates: Vec<_> = all
            .filter_map(|(asked, standing)| {
                let (status, connection) = asked.answer.as_ref().ok()?;
                Some((standing.rank()?, status, connection, standing))
            })
            .collect();
        candidates.sort_by_key(|(rank, status, ..)| (*rank, Reverse(status.revision)));
        candidates
            .into_iter()
            .map(|(_, status, connection, why)| (status, connection, why))
            .collect()
    }

    /// What speaks for and against one endpoint.
    pub fn of(&self, endpoint: &Endpoint) -> Option<(&'a Asked, &Standing)> {
        let mut all = self.survey.asked.iter().zip(&self.standings);
        all.find(|(asked, _)| asked.endpoint == *endpoint)
    }

    /// That none of them can be taken.
    pub fn no_member(&self) -> Error {
        let failures = self.standings.iter().filter_map(|standing| match standing {
            Standing::Silent(failure) => Some(failure.clone()),
            _ => None,
        });
        Error::NoMember {
            reasons: self.reasons(),
            failure: failures.into_iter().next(),
            passing: self.standings.iter().any(Standing::is_passing),
        }
    }

    /// For each endpoint that can't be taken, why not.
    pub fn reasons(&self) -> Vec<String> {
        let all = self.survey.asked.iter().zip(&self.standings);
        let out = all.filter(|(_, standing)| standing.rank().is_none());
        out.map(|(asked, standing)| format!("{}: {}", asked.endpoint, standing.why())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(member_id: u64) -> MemberStatus {
        MemberStatus {
            endpoint: "127.0.0.1:2379".parse().unwrap(),
            member_id,
            cluster_id: 1,
            name: None,
            version: "3.5.1".into(),
            db_size_bytes: 1,
            db_in_use_bytes: 1,
            leader_id: Some(1),
            is_learner: false,
            raft_term: 5,
            raft_index: 9,
            raft_applied_index: 9,
            revision: 3,
            alarms: vec![],
            errors: vec![],
        }
    }

    #[test]
    fn what_speaks_against_a_member_is_weighed() {
        let standing = |change: fn(&mut MemberStatus), id| {
            let mut status = member(id);
            change(&mut status);
            standing(&status, 5)
        };
        assert_eq!(standing(|_| {}, 1), Standing::Leader);
        assert_eq!(standing(|_| {}, 2), Standing::Voter);
        assert_eq!(standing(|status| status.is_learner = true, 2), Standing::Learner);
        assert_eq!(standing(|status| status.leader_id = None, 2), Standing::Leaderless);
        // One that was cut off goes on believing that it leads.
        assert_eq!(standing(|status| status.raft_term = 4, 1), Standing::Behind);
        assert_eq!(standing(|status| status.alarms = vec![Alarm::Nospace], 1), Standing::Full);
        let corrupt = |status: &mut MemberStatus| {
            status.alarms = vec![Alarm::Nospace, Alarm::Corrupt];
        };
        assert_eq!(standing(corrupt, 1), Standing::Alarmed(Alarm::Corrupt));
    }
}
