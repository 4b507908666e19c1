//! From the first sleep to the URL.

use std::sync::Arc;

use super::calls::{SLACK, Step, unexpected};
use super::plan::{Plan, pick};
use super::renew::Renewal;
use super::session::{Session, all};
use super::view::Event;
use crate::error::{Error, NodeErrorKind, Result};
use crate::host::Host;
use crate::journal::{Mark, Story};
use crate::protocol::{
    BundleRequest, Bundled, ObjectAccess, Request, Response, SleepRequest, SnapshotRequest,
    Snapshotted, StoreAccess,
};

/// The template's limits for a command on a host: sleeping, saving, reading keys.
pub const SLEEP_LIMIT_SECONDS: u64 = 240;
pub const BUNDLE_LIMIT_SECONDS: u64 = 60;
/// Sleep's own wait, which with 30 s for putting back ends before its limit.
pub const SLEEP_WAIT_SECONDS: u64 = 180;
/// How many leaders may come and go before a snapshot is given up.
const LEADERS_MAX: u32 = 3;

/// A snapshot in the store, and all that goes with it.
pub struct Ready {
    pub snapshot: Snapshotted,
    pub host: Arc<dyn Host>,
    pub bundled: Bundled,
}

/// Sleep, snapshot, bundle, as far as the story of a killed run hasn't them already. The bundle is
/// only in memory then.
pub async fn until_ready(session: &Session<'_>, plan: &Plan, story: &Story) -> Result<Ready> {
    let renewal = Renewal::start(session.setup, session.asleep(), session.owner());
    sleep(session, plan, story).await?;
    renewal.renewed().await?;
    let work = async {
        let (snapshot, host) = match done_before(session, story) {
            Some(done) => done,
            None => snapshot(session, plan, story).await?,
        };
        renewal.still_asleep()?;
        let bundled = bundle(session, plan, &host, &snapshot).await?;
        Ok::<_, Error>(Ready { snapshot, host, bundled })
    };
    let ready = tokio::select! {
        ready = work => ready?,
        // What is saved now would be of a cluster that writes; what goes on there is ended by the rollback.
        error = renewal.lost() => return Err(error),
    };
    renewal.still_asleep()?;
    Ok(ready)
}

/// A snapshot of this attempt, which the journal has.
fn done_before(session: &Session<'_>, story: &Story) -> Option<(Snapshotted, Arc<dyn Host>)> {
    let snapshot = story.snapshot.clone()?;
    Some((snapshot, begun_before(session, story)?.1))
}

/// Whoever sleeps already says so; whoever is fenced, by this run before it was killed, sleeps on.
async fn sleep(session: &Session<'_>, plan: &Plan, story: &Story) -> Result<()> {
    session.go_on()?;
    session.show(Event::OutageBegan { seconds: super::run::since(story.outage_began_ms) });
    let clock = tokio::time::Instant::now();
    let config = &session.setup.config;
    let request = || {
        Request::Sleep(SleepRequest {
            owner: session.owner(),
            also: config.also.clone(),
            all: config.all,
            wake_after_seconds: config.wake_after_seconds,
            wait_seconds: SLEEP_WAIT_SECONDS,
        })
    };
    let may_fail = config.rate_control.may_fail(session.setup.hosts.len());
    let step = |_: &_| Step::new("sleep", SLEEP_LIMIT_SECONDS, request()).patient();
    let hosts = session.unfenced();
    let at_once = config.rate_control.at_once(hosts.len());
    let answers = session.on(hosts, at_once, may_fail, step, super::say::slept).await;
    for (host, response) in all(answers)? {
        let Response::Slept(slept) = response else { return Err(unexpected(host.as_ref())) };
        slept.warnings.iter().for_each(|text| session.warn(format!("{}: {text}", host.name())));
        plan.slept(host.name(), slept);
    }
    session.took("sleep", clock.elapsed().as_secs_f64());
    Ok(())
}

/// On the host with the leader; on another one if the leader changes meanwhile.
async fn snapshot(
    session: &Session<'_>,
    plan: &Plan,
    story: &Story,
) -> Result<(Snapshotted, Arc<dyn Host>)> {
    let mut leaders = 1;
    loop {
        session.go_on()?;
        let (object, host) = match (leaders, begun_before(session, story)) {
            (1, Some((object, host))) => (object.to_owned(), host),
            _ => (object_url(session, leaders), pick(session, plan).await?),
        };
        match save(session, plan, &host, &object).await {
            Err(Error::Step { error, host })
                if error.kind == NodeErrorKind::NotLeader && leaders < LEADERS_MAX =>
            {
                session.warn(format!("{host}: {error}; looking for the leader again"));
                leaders += 1;
            }
            done => return done.map(|snapshot| (snapshot, host)),
        }
    }
}

/// Where a killed orchestrator had begun: the step may still go on there, or be done.
fn begun_before<'s>(
    session: &'s Session<'_>,
    story: &'s Story,
) -> Option<(&'s str, Arc<dyn Host>)> {
    let (object, name) = story.object.as_ref()?;
    let host = session.setup.host(name)?;
    Some((object, Arc::clone(host)))
}

async fn save(
    session: &Session<'_>,
    plan: &Plan,
    host: &Arc<dyn Host>,
    object: &str,
) -> Result<Snapshotted> {
    session.mark(Mark::Object { object: object.into(), host: host.name().into() })?;
    let config = &session.setup.config;
    let request = SnapshotRequest {
        owner: session.owner(),
        etcd: plan.etcd(host.name()),
        require_leader: plan.has_leader(),
        store: StoreAccess { url: object.into(), ..config.store.clone() },
        working_dir: config.working_dir.clone(),
        src_prefix: plan.src_prefix.clone(),
        allow_undecryptable: config.allow_undecryptable,
        target_quota_bytes: config.target_quota_bytes,
        rehearsal: false,
        keep: session.keeps(),
        presign_seconds: config.presign_seconds,
    };
    let request = Request::Snapshot(Box::new(request));
    let limit = config.snapshot_limit_seconds;
    let step = Step::new("snapshot", limit, request).patient().once_more(nonce(object));
    let response = session.step(host, step, super::say::snapshot).await?;
    let Response::Snapshot(snapshot) = response else { return Err(unexpected(host.as_ref())) };
    session.mark(Mark::Snapshot(snapshot.clone()))?;
    snapshot.warnings.iter().for_each(|text| session.warn(format!("{}: {text}", host.name())));
    snapshot.phases.iter().for_each(|(name, seconds)| session.took(name, *seconds));
    Ok(*snapshot)
}

/// `etcd_<ClusterID>_<TIMESTAMP>`, as the template calls it, of the first try.
fn object_url(session: &Session<'_>, leaders: u32) -> String {
    let config = &session.setup.config;
    let now = jiff::Timestamp::now().strftime("%Y%m%d%H%M%S");
    let again = if leaders > 1 { format!("-{leaders}") } else { String::new() };
    let name = format!("etcd_{}_{now}{again}", config.cluster_id);
    match config.store.url.ends_with('/') {
        true => format!("{}{name}", config.store.url),
        false => format!("{}/{name}", config.store.url),
    }
}

/// Keys and URL, and that nobody has written since. In memory alone.
pub async fn bundle(
    session: &Session<'_>,
    plan: &Plan,
    host: &Arc<dyn Host>,
    snapshot: &Snapshotted,
) -> Result<Bundled> {
    session.go_on()?;
    let config = &session.setup.config;
    let store = StoreAccess { url: snapshot.object.clone(), ..config.store.clone() };
    let request = BundleRequest {
        owner: session.owner(),
        object: ObjectAccess { store },
        presign_seconds: config.presign_seconds,
        etcd: plan.etcd(host.name()),
        revision: snapshot.revision,
        quiet_until: snapshot.quiet_until,
        keys: plan.keys(host.name()),
        extra: plan.extra,
    };
    let request = Request::Bundle(Box::new(request));
    let step = Step::new("bundle", BUNDLE_LIMIT_SECONDS, request).patient();
    let clock = tokio::time::Instant::now();
    let response = session.step(host, step, super::say::bundle).await?;
    let Response::Bundle(bundled) = response else { return Err(unexpected(host.as_ref())) };
    bundled.warnings.iter().for_each(|text| session.warn(format!("{}: {text}", host.name())));
    session.took("presign and keys", clock.elapsed().as_secs_f64());
    session.mark(Mark::UrlReady)?;
    Ok(*bundled)
}

/// Ends a snapshot that a killed orchestrator had begun: it must not upload what is about to be void.
///
/// # Errors
/// Then it may still go on.
pub async fn cancel_snapshots(session: &Session<'_>, story: &Story) -> Result<()> {
    let Some((object, host)) = begun_before(session, story) else { return Ok(()) };
    let step = Step::new("snapshot", 0, Request::Status).once_more(nonce(object));
    session.cancel(host.as_ref(), step.id(session), Some(SLACK)).await
}

/// Each object is written by one step: the time in its name tells which.
fn nonce(object: &str) -> &str {
    object.rsplit('_').next().unwrap_or(object)
}
