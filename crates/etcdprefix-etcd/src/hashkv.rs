//! Whether all members hold the same: HashKV of each at one revision.
//!
//! Hashes can only be held against each other where the same revision is compacted: a compaction
//! reaches the members one after another, so answers that differ in it are asked for again.

use std::collections::BTreeMap;
use std::time::Duration;

use etcd_client::{HashKvResponse, MaintenanceClient};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::client::{Connection, Dialer, within};
use crate::endpoint::Endpoint;
use crate::error::{Error, Failure, Result};
use crate::members::{MemberStatus, Survey};

/// Times that members are asked while a compaction goes round.
const ROUNDS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(300);

/// How members are asked for HashKV.
#[derive(Clone, Copy, Debug)]
pub struct HashOptions {
    /// The revision; `None` for the latest that all members have.
    pub revision: Option<i64>,
    /// For one answer. A member reads its whole store for it: about a second a gigabyte, from the
    /// disk longer. Default 10 min.
    pub timeout: Duration,
}

impl Default for HashOptions {
    fn default() -> Self {
        Self { revision: None, timeout: Duration::from_secs(600) }
    }
}

/// What one member answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberHash {
    /// Where it was asked.
    pub endpoint: Endpoint,
    /// Its name, if the member list told it.
    pub name: Option<String>,
    /// HashKV.
    pub hash: u32,
    /// The revision up to which it has compacted, -1 for none.
    pub compact_revision: i64,
}

/// What the members hold at one revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MembersHashKv {
    /// The revision that was asked for.
    pub revision: i64,
    /// Whether all that answered gave the same hash over the same compaction.
    pub agree: bool,
    /// Those that answered.
    pub members: Vec<MemberHash>,
    /// Those that were not asked or gave no answer, with the reason.
    pub missing: Vec<String>,
    /// Those of `missing` that were asked and should have answered.
    #[serde(skip)]
    pub silent: Vec<String>,
}

impl MembersHashKv {
    /// Asks all members of a survey.
    ///
    /// # Errors
    /// [`Error::NoMember`] if none can be asked or answers; [`Error::NoRevision`] if the revision is compacted or
    /// still to come; [`Error::Member`] if one refuses: the user has no root role. That members differ is none: see
    /// [`MembersHashKv::agree`].
    pub async fn ask(dialer: &Dialer, survey: &Survey, options: HashOptions) -> Result<Self> {
        let mut fresh;
        let mut survey = survey;
        let endpoints: Vec<_> = survey.asked.iter().map(|asked| asked.endpoint.clone()).collect();
        let mut round = 1;
        loop {
            let asking = if round == 1 { Asking::Number } else { Asking::Latest };
            let asked = Self::ask_once(dialer, survey, options, asking).await;
            let again = match &asked {
                Ok(answers) => !answers.is_comparable(),
                // The latest revision of one member may be compacted on another by now.
                Err(Error::NoRevision { why, .. }) => {
                    options.revision.is_none() && is_compacted(why)
                }
                Err(_) => false,
            };
            if !again || round == ROUNDS {
                return asked;
            }
            round += 1;
            tokio::time::sleep(PAUSE).await;
            fresh = Survey::take(dialer, &endpoints).await?;
            survey = &fresh;
        }
    }

    async fn ask_once(
        dialer: &Dialer,
        survey: &Survey,
        options: HashOptions,
        asking: Asking,
    ) -> Result<Self> {
        let mut silent: Vec<String> = survey.failures().collect();
        let unasked = survey.unasked().into_iter();
        let mut missing: Vec<String> =
            unasked.map(|name| format!("{name}: not among the endpoints")).collect();
        let (learners, voters): (Vec<_>, Vec<_>) =
            survey.connections().into_iter().partition(|(status, _)| status.is_learner);
        missing.extend(learners.iter().map(|(status, _)| format!("{}: a learner", status.title())));
        let latest = voters.iter().map(|(status, _)| status.revision).min();
        let Some(latest) = latest else { return Err(no_voter(survey, missing)) };
        let revision = options.revision.unwrap_or(latest);
        let question = Question { revision, asking, timeout: options.timeout };
        let members = ask_all(dialer, &voters, question, &mut silent).await?;
        if members.is_empty() {
            return Err(Error::NoMember { reasons: silent, failure: None, passing: true });
        }
        missing.splice(..0, silent.iter().cloned());
        let mut answers = Self { revision, agree: false, members, missing, silent };
        answers.agree = answers.groups().len() == 1;
        Ok(answers)
    }

    /// Whether all answers are over the same compaction.
    pub fn is_comparable(&self) -> bool {
        let mut compactions = self.members.iter().map(|member| member.compact_revision);
        let first = compactions.next();
        compactions.all(|other| Some(other) == first)
    }

    /// Who differs from whom, in a sentence; `None` if all agree.
    pub fn difference(&self) -> Option<String> {
        if self.agree {
            return None;
        }
        let mut groups: Vec<_> = self.groups().into_iter().collect();
        groups.sort_by_key(|(_, members)| std::cmp::Reverse(members.len()));
        let texts = groups.iter().map(|((hash, compacted), members)| {
            format!("{} {hash} (compacted at {compacted})", members.join(", "))
        });
        let texts: Vec<String> = texts.collect();
        let what = if self.is_comparable() {
            "members hold different data: HashKV"
        } else {
            "members have compacted up to different revisions, so HashKV can't be compared:"
        };
        Some(format!("{what} at revision {}: {}", self.revision, texts.join("; ")))
    }

    fn groups(&self) -> BTreeMap<(u32, i64), Vec<String>> {
        let mut groups: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for member in &self.members {
            let title = member.name.clone().filter(|name| !name.is_empty());
            let title = title.unwrap_or_else(|| member.endpoint.to_string());
            groups.entry((member.hash, member.compact_revision)).or_default().push(title);
        }
        groups
    }
}

/// None answered, or only learners did.
fn no_voter(survey: &Survey, missing: Vec<String>) -> Error {
    match survey.statuses().next() {
        Some(_) => Error::NoMember { reasons: missing, failure: None, passing: false },
        None => survey.no_member(),
    }
}

/// Asks them side by side. Who does not answer is missing; who refuses fails the whole.
async fn ask_all(
    dialer: &Dialer,
    voters: &[(&MemberStatus, &Connection)],
    question: Question,
    silent: &mut Vec<String>,
) -> Result<Vec<MemberHash>> {
    let mut tasks = JoinSet::new();
    for (index, (status, connection)) in voters.iter().enumerate() {
        let (name, connection) = (status.name.clone(), (*connection).clone());
        let dialer = dialer.clone();
        tasks.spawn(async move {
            let answer = ask_one(&dialer, &connection, question).await;
            (index, name, answer, connection)
        });
    }
    let mut answers = tasks.join_all().await;
    answers.sort_by_key(|(index, ..)| *index);
    let mut hashes = Vec::new();
    for (_, name, answer, connection) in answers {
        let endpoint = connection.endpoint().clone();
        match answer {
            Ok((hash, compact_revision)) => {
                hashes.push(MemberHash { endpoint, name, hash, compact_revision });
            }
            Err(failure @ (Failure::Silent(_) | Failure::Broken(_) | Failure::Unreachable(_))) => {
                silent.push(format!("{endpoint}: no HashKV: {failure}"))
            }
            Err(Failure::Server(why)) if is_compacted(&why) || is_future(&why) => {
                return Err(Error::NoRevision { endpoint, revision: question.revision, why });
            }
            Err(failure) => return Err(failure.at(&endpoint)),
        }
    }
    Ok(hashes)
}

/// As servers of all versions put it (`rpctypes/error.go`).
pub(crate) fn is_compacted(why: &str) -> bool {
    why.contains("required revision has been compacted")
}

fn is_future(why: &str) -> bool {
    why.contains("required revision is a future revision")
}

/// What one member is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// The revision.
    pub revision: i64,
    /// How it is asked for.
    pub asking: Asking,
    /// For the answer.
    pub timeout: Duration,
}

/// How a revision is asked for. It matters where it is the very one that is compacted, as that of a store
/// that nobody has written to for long is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// By its number. A server of 3.5.6 or newer that compacted that one since it started answers with
    /// what it hashed before, over an older compaction: nothing that its store still shows.
    Number,
    /// As the latest one, if it is that, which all servers answer from the store; if not, by its number,
    /// and the member has read its store twice.
    Latest,
}

/// HashKV of one member at a revision, and the revision up to which it has compacted.
///
/// # Errors
/// What kept the member from it; needs the root role where authentication is enabled.
pub async fn ask_one(
    dialer: &Dialer,
    connection: &Connection,
    question: Question,
) -> Result<(u32, i64), Failure> {
    let mut client = dialer.log_in(connection).await?.client().maintenance_client();
    if question.asking == Asking::Latest
        && let Some(answer) = as_latest(&mut client, question).await?
    {
        return Ok(answer);
    }
    match within(question.timeout, client.hash_kv(question.revision)).await {
        // Servers up to 3.5.5 refuse the very revision that is compacted.
        Err(Failure::Server(why)) if is_compacted(&why) => {
            let latest = as_latest(&mut client, question).await?;
            latest.ok_or(Failure::Server(why))
        }
        answer => about(&answer?, question.revision),
    }
}

/// The answer about the latest revision, if that is the one in question.
async fn as_latest(
    client: &mut MaintenanceClient,
    question: Question,
) -> Result<Option<(u32, i64)>, Failure> {
    let answer = within(question.timeout, client.hash_kv(0)).await?;
    let latest = answer.header().map(|header| header.revision());
    let asked_for = latest == Some(question.revision);
    asked_for.then(|| about(&answer, question.revision)).transpose()
}

/// Only newer members say what they answer about; 0 is not said.
fn about(answer: &HashKvResponse, revision: i64) -> Result<(u32, i64), Failure> {
    match answer.hash_revision() {
        other if other != 0 && other != revision => {
            Err(Failure::Server(format!("it answers about revision {other}, not {revision}")))
        }
        _ => Ok((answer.hash(), answer.compact_version())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(hashes: &[(u32, i64)]) -> MembersHashKv {
        let member = |(index, (hash, compact_revision)): (usize, &(u32, i64))| MemberHash {
            endpoint: format!("10.0.0.{index}:2379").parse().unwrap(),
            name: Some(format!("m{index}")),
            hash: *hash,
            compact_revision: *compact_revision,
        };
        let members = hashes.iter().enumerate().map(member).collect();
        let mut answers =
            MembersHashKv { revision: 9, agree: false, members, missing: vec![], silent: vec![] };
        answers.agree = answers.groups().len() == 1;
        answers
    }

    #[test]
    fn the_one_that_differs_is_named_last() {
        let same = answers(&[(1, 5), (1, 5)]);
        assert!(same.agree && same.difference().is_none());
        let one = answers(&[(7, 5), (1, 5), (1, 5)]).difference().unwrap();
        assert!(one.contains("m1, m2 1 (compacted at 5); m0 7 (compacted at 5)"), "{one}");
        let apart = answers(&[(1, 5), (1, 4)]);
        assert!(!apart.is_comparable());
        assert!(apart.difference().unwrap().contains("can't be compared"));
    }
}
