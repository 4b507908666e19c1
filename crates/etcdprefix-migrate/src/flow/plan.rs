//! What a run goes by: what the hosts said before anything was changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::calls::{Step, unexpected};
use super::session::{Session, all};
use super::view::Event;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::node::preflight::{Check, Facts, Preflight, Standing};
use crate::protocol::{
    EtcdAccess, KeyFiles, MemberFacts, PreflightRequest, Request, Response, Slept,
};

/// For a look at a host.
const PREFLIGHT_LIMIT_SECONDS: u64 = 120;
const MEMBERS_LIMIT_SECONDS: u64 = 60;

/// What is known of the hosts.
pub struct Plan {
    /// `/registry`, or what the API servers say.
    pub src_prefix: String,
    /// With ca and EncryptionConfiguration in the bundle.
    pub extra: bool,
    facts: BTreeMap<String, Facts>,
    etcd: Option<EtcdAccess>,
    slept: Mutex<BTreeMap<String, Slept>>,
}

impl Plan {
    /// Of what the hosts said.
    ///
    /// # Errors
    /// [`Error::NotReady`] if their API servers have different prefixes, and none is configured.
    pub fn new(session: &Session<'_>, facts: BTreeMap<String, Facts>, extra: bool) -> Result<Self> {
        let config = &session.setup.config;
        let mut prefixes: Vec<&str> =
            facts.values().map(|facts| facts.etcd_prefix.as_str()).collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        let src_prefix = match (&config.src_prefix, prefixes.as_slice()) {
            (Some(prefix), _) => prefix.clone(),
            (None, [prefix]) => (*prefix).to_owned(),
            (None, several) => {
                let failed = vec![format!("API servers have the prefixes {}", several.join(", "))];
                return Err(Error::NotReady { failed });
            }
        };
        let etcd = config.etcd.clone();
        Ok(Self { src_prefix, extra, facts, etcd, slept: Mutex::default() })
    }

    /// How etcd is asked from a host.
    pub fn etcd(&self, host: &str) -> EtcdAccess {
        let own = || self.facts.get(host).map(|facts| facts.etcd.clone());
        self.etcd.clone().or_else(own).unwrap_or_default()
    }

    /// Where a host has its keys.
    pub fn keys(&self, host: &str) -> KeyFiles {
        self.facts.get(host).map(|facts| facts.keys.clone()).unwrap_or_default()
    }

    /// Whether some host sees the leader; then a snapshot has to be from it.
    pub fn has_leader(&self) -> bool {
        self.facts.values().flat_map(|facts| &facts.members).any(|member| member.is_leader)
    }

    /// Keeps what putting a host to sleep said.
    pub fn slept(&self, host: &str, slept: Slept) {
        let mut all = self.slept.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(host.into(), slept);
    }

    /// What was put to sleep, by host.
    pub fn all_slept(&self) -> BTreeMap<String, Slept> {
        self.slept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Looks at every host; `full` with store and Kubernetes API.
pub async fn look(
    session: &Session<'_>,
    full: bool,
    extra: bool,
) -> Result<Vec<(String, Preflight)>> {
    let config = &session.setup.config;
    let first = session.setup.hosts.first().map(|host| host.name().to_owned());
    let make = |host: &Arc<dyn Host>| {
        let now = jiff::Timestamp::now().as_millisecond();
        let request = PreflightRequest {
            etcd: config.etcd.clone(),
            store: full.then(|| config.store.clone()),
            working_dir: config.working_dir.clone(),
            presign_seconds: config.presign_seconds,
            also: config.also.clone(),
            all: config.all,
            kubeconfig: config.kubeconfig.clone(),
            cluster_checks: full && first.as_deref() == Some(host.name()),
            extra,
            asked_ms: u64::try_from(now).unwrap_or_default(),
        };
        Step::new("preflight", PREFLIGHT_LIMIT_SECONDS, Request::Preflight(request))
            .once_more(session.moment())
    };
    let answers = session.on_all(usize::MAX, make, super::say::preflight).await;
    let looks = all(answers)?.into_iter().map(|(host, response)| match response {
        Response::Preflight(look) => Ok((host.name().to_owned(), *look)),
        _ => Err(unexpected(host.as_ref())),
    });
    let looks: Vec<_> = looks.collect::<Result<_>>()?;
    for (host, look) in &looks {
        let checks = look.checks.clone();
        session.show(Event::Checked { host: Some(host.clone()), checks });
    }
    Ok(looks)
}

/// What the hosts said, by host.
pub fn facts(looks: &[(String, Preflight)]) -> BTreeMap<String, Facts> {
    looks.iter().map(|(host, look)| (host.clone(), look.facts.clone())).collect()
}

/// Checks that speak against it, by host.
pub fn against(looks: &[(String, Preflight)], across: &[Check]) -> Vec<String> {
    let fails = |check: &&Check| check.standing == Standing::Fail;
    let tell = |check: &Check| match check.advice.is_empty() {
        true => format!("{}: {}", check.name, check.found),
        false => format!("{}: {} ({})", check.name, check.found, check.advice),
    };
    let own = looks.iter().flat_map(|(host, look)| {
        look.checks.iter().filter(fails).map(move |check| format!("{host}: {}", tell(check)))
    });
    own.chain(across.iter().filter(fails).map(tell)).collect()
}

/// The host to make the snapshot on: that of the leader, as far as that can be told.
///
/// # Errors
/// [`Error::NotReady`] if some host sees a leader now and then none does.
pub async fn pick(session: &Session<'_>, plan: &Plan) -> Result<Arc<dyn Host>> {
    let make = |host: &Arc<dyn Host>| {
        let request = Request::Members(plan.etcd(host.name()));
        Step::new("members", MEMBERS_LIMIT_SECONDS, request).patient().once_more(session.moment())
    };
    let answers = session.on_all(usize::MAX, make, super::say::members).await;
    let mut seen = Vec::new();
    let mut why = None;
    for answer in answers {
        match answer.outcome {
            Some(Ok(Response::Members(members))) => seen.push((answer.host, members)),
            Some(Err(Error::Interrupted)) => return Err(Error::Interrupted),
            Some(Err(error)) => why = Some(error),
            _ => {}
        }
    }
    let leading = seen.iter().filter(|(_, members)| members.iter().any(leads));
    let nearest = leading.clone().find(|(host, members)| is_on(host.as_ref(), members));
    match (nearest.or(leading.clone().next()), why) {
        (Some((host, _)), _) => Ok(Arc::clone(host)),
        (None, Some(error)) => Err(error),
        (None, None) => {
            let failed = vec!["no host sees a leader of etcd".to_owned()];
            Err(Error::NotReady { failed })
        }
    }
}

fn leads(member: &MemberFacts) -> bool {
    member.is_leader && !member.is_learner
}

/// Whether the leader is on this host itself: it is seen on loopback, or at the host's own address.
fn is_on(host: &dyn Host, members: &[MemberFacts]) -> bool {
    members.iter().filter(|member| leads(member)).any(|member| {
        let authority = member.endpoint.rsplit("://").next().unwrap_or_default();
        let name = authority.rsplit_once(':').map_or(authority, |(name, _)| name);
        let is_loopback = ["127.0.0.1", "localhost", "[::1]"].contains(&name);
        let own = host.name().rsplit('@').next().unwrap_or_default();
        let own = own.strip_prefix("ssh://").unwrap_or(own);
        is_loopback || own == name || own.rsplit_once(':').is_some_and(|(own, _)| own == name)
    })
}
