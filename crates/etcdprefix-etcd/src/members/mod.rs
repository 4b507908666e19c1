//! All members at one moment: what they say of themselves, and which of them to take.

mod choose;
mod status;

use std::collections::BTreeSet;

use tokio::task::JoinSet;

use crate::client::{Connection, Dialer, UNHEARD};
use crate::endpoint::Endpoint;
use crate::error::{Error, Failure, Result};

pub use choose::{Ranking, Standing, rank};
pub use status::{Alarm, MemberStatus};

/// What became of asking one endpoint.
pub struct Asked {
    /// Where.
    pub endpoint: Endpoint,
    /// The member's status and the connection to it, not logged in, or why there is none.
    pub answer: Result<(MemberStatus, Connection), Failure>,
}

/// A member of the member list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The member's id.
    pub id: u64,
    /// Its name; empty until it has started for the first time.
    pub name: String,
    /// Whether it has no vote yet.
    pub is_learner: bool,
    /// Where it says that clients reach it.
    pub client_urls: Vec<String>,
}

/// All endpoints asked at one moment.
pub struct Survey {
    /// In the order of the endpoints.
    pub asked: Vec<Asked>,
    /// The member list, as the first member that would give it has it; empty if none did.
    pub listed: Vec<Listed>,
}

impl Survey {
    /// Asks all `endpoints` side by side for their status, and one of them for the member list.
    /// Takes at most a dial timeout and three request timeouts.
    ///
    /// # Errors
    /// [`Error::TwoClusters`]. That members don't answer is none: see [`Asked::answer`].
    pub async fn take(dialer: &Dialer, endpoints: &[Endpoint]) -> Result<Self> {
        let mut asked = ask_all(dialer, endpoints).await;
        one_cluster(&asked)?;
        let limit = dialer.options().request_timeout.saturating_mul(2);
        let listed = tokio::time::timeout(limit, member_list(dialer, &asked)).await;
        let listed = listed.unwrap_or_default();
        for (status, _) in asked.iter_mut().filter_map(|asked| asked.answer.as_mut().ok()) {
            let own = listed.iter().find(|listed| listed.id == status.member_id);
            status.name = own.map(|own| own.name.clone());
            // Servers before 3.4 have no learners; 3.4's status may not say that it is one.
            status.is_learner |= own.is_some_and(|own| own.is_learner);
        }
        Ok(Self { asked, listed })
    }

    /// The client URLs of all members, one each, if the member list is there and tells them.
    ///
    /// Who was asked over TLS is asked over TLS again, whatever scheme a member tells: it must not be
    /// able to have a password sent in clear.
    ///
    /// # Errors
    /// [`Error::NoMember`] if nobody told the list, [`Error::Endpoint`] for a URL that can't be used.
    pub fn cluster_endpoints(&self, dialer: &Dialer) -> Result<Vec<Endpoint>> {
        if self.listed.is_empty() {
            return Err(self.no_list());
        }
        let secure = self.asked.iter().any(|asked| !dialer.is_plain(&asked.endpoint));
        let urls = self.listed.iter().filter_map(|listed| listed.client_urls.first());
        let endpoints = urls.map(|url| {
            let endpoint: Endpoint = url.parse()?;
            Ok(if secure { endpoint.over_tls() } else { endpoint })
        });
        endpoints.collect()
    }

    /// The same, and all other members of the list, at the URLs that it tells. Where it is not told or
    /// can't be used, the same alone.
    ///
    /// # Errors
    /// As [`Survey::take`].
    pub async fn widened(&self, dialer: &Dialer) -> Result<Self> {
        let mut endpoints: Vec<_> = self.asked.iter().map(|asked| asked.endpoint.clone()).collect();
        endpoints.extend(self.cluster_endpoints(dialer).unwrap_or_default());
        Self::take(dialer, &endpoints).await
    }

    /// Members of the list that none of the endpoints leads to, by name or else by id.
    pub fn unasked(&self) -> Vec<String> {
        let known: BTreeSet<u64> = self.statuses().map(|status| status.member_id).collect();
        let unasked = self.listed.iter().filter(|listed| !known.contains(&listed.id));
        unasked.map(Listed::to_string).collect()
    }

    /// The members that answered.
    pub fn statuses(&self) -> impl Iterator<Item = &MemberStatus> {
        self.asked.iter().filter_map(|asked| asked.answer.as_ref().ok()).map(|(status, _)| status)
    }

    /// The members that answered, one for each id, with connections to them; in the order of the endpoints.
    pub fn connections(&self) -> Vec<(&MemberStatus, &Connection)> {
        let answers = self.asked.iter().filter_map(|asked| asked.answer.as_ref().ok());
        let mut known = BTreeSet::new();
        let members = answers.filter(|(status, _)| known.insert(status.member_id));
        members.map(|(status, connection)| (status, connection)).collect()
    }

    /// For each endpoint that gave no status, why not.
    pub fn failures(&self) -> impl Iterator<Item = String> {
        self.asked.iter().filter_map(|asked| {
            let why = asked.answer.as_ref().err()?;
            Some(format!("{}: {why}", asked.endpoint))
        })
    }

    /// That none of the endpoints answers. One that refuses says more than one that is silent.
    pub fn no_member(&self) -> Error {
        let failures = || self.asked.iter().filter_map(|asked| asked.answer.as_ref().err());
        let failure = failures().find(|failure| failure.is_refusal()).or(failures().next());
        let passing = failures().any(Failure::is_passing);
        Error::NoMember { reasons: self.failures().collect(), failure: failure.cloned(), passing }
    }

    /// That nobody tells who else there is: learners don't, nor some members without quorum.
    fn no_list(&self) -> Error {
        let Some(status) = self.statuses().next() else { return self.no_member() };
        let who = if status.is_learner { "it is a learner, which gives" } else { "it gave" };
        let reason = format!("{}: {who} no member list", status.endpoint);
        Error::NoMember { reasons: vec![reason], failure: None, passing: false }
    }
}

impl std::fmt::Display for Listed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.name.is_empty() { write!(f, "{:x}", self.id) } else { f.write_str(&self.name) }
    }
}

async fn ask_all(dialer: &Dialer, endpoints: &[Endpoint]) -> Vec<Asked> {
    let mut tasks = JoinSet::new();
    for (index, endpoint) in endpoints.iter().enumerate() {
        let (dialer, endpoint) = (dialer.clone(), endpoint.clone());
        tasks.spawn(async move {
            let answer = ask(&dialer, &endpoint).await;
            (index, Asked { endpoint, answer })
        });
    }
    let mut asked = tasks.join_all().await;
    asked.sort_by_key(|(index, _)| *index);
    asked.into_iter().map(|(_, asked)| asked).collect()
}

async fn ask(dialer: &Dialer, endpoint: &Endpoint) -> Result<(MemberStatus, Connection), Failure> {
    // A password is checked through raft, which a cluster without quorum can't, while it still tells
    // its status to anybody.
    let connection = dialer.dial_anonymously(endpoint).await?;
    let status = MemberStatus::ask(&connection).await.map_err(stranger)?;
    Ok((status, connection))
}

/// Who ends a connection before the first answer may be anybody.
fn stranger(failure: Failure) -> Failure {
    match failure {
        Failure::Broken(why) if !why.contains(UNHEARD) => Failure::Broken(format!(
            "{why} before any answer; this may be no etcd, or one that wants TLS"
        )),
        failure => failure,
    }
}

fn one_cluster(asked: &[Asked]) -> Result<()> {
    let mut clusters = asked.iter().filter_map(|asked| {
        let (status, _) = asked.answer.as_ref().ok()?;
        Some((status.cluster_id, &asked.endpoint))
    });
    let Some((cluster, one)) = clusters.next() else { return Ok(()) };
    match clusters.find(|(other, _)| *other != cluster) {
        Some((_, other)) => Err(Error::TwoClusters { one: one.clone(), other: other.clone() }),
        None => Ok(()),
    }
}

/// From the first member that gives it. From 3.6 on it wants to know who asks.
async fn member_list(dialer: &Dialer, asked: &[Asked]) -> Vec<Listed> {
    for (_, connection) in asked.iter().filter_map(|asked| asked.answer.as_ref().ok()) {
        if let Ok(listed) = list_of(connection).await {
            return listed;
        }
    }
    for (_, connection) in asked.iter().filter_map(|asked| asked.answer.as_ref().ok()) {
        if dialer.options().user.is_some()
            && let Ok(connection) = dialer.log_in(connection).await
            && let Ok(listed) = list_of(&connection).await
        {
            return listed;
        }
    }
    Vec::new()
}

async fn list_of(connection: &Connection) -> Result<Vec<Listed>, Failure> {
    let mut client = connection.client();
    let list = connection.ask(client.member_list()).await?;
    let members = list.members().iter().map(|member| Listed {
        id: member.id(),
        name: member.name().into(),
        is_learner: member.is_learner(),
        client_urls: member.client_urls().to_vec(),
    });
    Ok(members.collect())
}
