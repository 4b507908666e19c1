//! Everything but the sleep, so that nothing is found out for the first time during the outage.

use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::calls::{Step, unexpected};
use super::lock::{Hurry, give_back, lock_all};
use super::plan::{Plan, against, facts, look, pick};
use super::run::may_begin;
use super::session::Session;
use super::view::Event;
use super::{Rehearsal, Setup};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::journal::{Journal, write_private};
use crate::node::preflight::{across, not_found};
use crate::protocol::{Request, Response, SnapshotRequest, Snapshotted};

/// How old a rehearsal may be.
pub const VALID_SECONDS: f64 = 3600.0;
/// Putting three manifests away: containers are gone after one to six seconds, and the kubelet looks
/// every twenty seconds at the latest.
const SLEEP_SECONDS: f64 = 20.0;
/// Signing, trying the URL, reading keys, fences.
const HAND_OUT_SECONDS: f64 = 5.0;

pub async fn rehearse(setup: &Setup) -> Result<Rehearsal> {
    let journal = Journal::open(&setup.folder)?;
    may_begin(&journal)?;
    let session = Session::rehearsal(setup, &journal);
    let rehearsed = rehearse_locked(&session).await;
    give_back(&session).await;
    let rehearsal = rehearsed?;
    let json = serde_json::to_vec_pretty(&rehearsal);
    let json = json.map_err(|error| Error::Usage(error.to_string()))?;
    write_private(&file(setup), &json)?;
    Ok(rehearsal)
}

async fn rehearse_locked(session: &Session<'_>) -> Result<Rehearsal> {
    lock_all(session, Hurry::Soon).await?;
    let hosts = look(session, true, false).await?;
    let mut across = across(&hosts);
    if session.setup.config.has_targets() {
        across.extend(not_found(&hosts));
    }
    session.show(Event::Checked { host: None, checks: across.clone() });
    let failed = against(&hosts, &across);
    if !failed.is_empty() {
        return Err(Error::NotReady { failed });
    }
    let plan = Plan::new(session, facts(&hosts), false)?;
    let host = pick(session, &plan).await?;
    let snapshot = snapshot(session, &plan, &host).await?;
    snapshot.warnings.iter().for_each(|text| session.warn(format!("{}: {text}", host.name())));
    snapshot.phases.iter().for_each(|(name, seconds)| session.took(name, *seconds));
    let phases = session.times();
    let work: f64 = phases.iter().map(|phase| phase.seconds).sum();
    within_limit(session, work)?;
    let at_once = session.setup.config.rate_control.at_once(hosts.len());
    let waves = hosts.len().div_ceil(at_once) as f64;
    Ok(Rehearsal {
        at_ms: now_ms(),
        config_digest: config_digest(session.setup),
        hosts,
        across,
        snapshot,
        snapshot_host: host.name().into(),
        expected_outage_seconds: SLEEP_SECONDS * waves + work + HAND_OUT_SECONDS,
        phases,
        warnings: session.warnings(),
    })
}

/// What would be ended at its limit in the outage is found out now.
fn within_limit(session: &Session<'_>, work_seconds: f64) -> Result<()> {
    let limit = session.setup.config.snapshot_limit_seconds;
    if work_seconds < limit as f64 * 0.9 {
        return Ok(());
    }
    let why = format!(
        "saving, rewriting and uploading would take about {work_seconds:.0} s of the {limit} s that \
         snapshot_limit_seconds allows"
    );
    Err(Error::NotReady { failed: vec![why] })
}

async fn snapshot(session: &Session<'_>, plan: &Plan, host: &Arc<dyn Host>) -> Result<Snapshotted> {
    let config = &session.setup.config;
    let request = SnapshotRequest {
        owner: session.owner(),
        etcd: plan.etcd(host.name()),
        require_leader: false,
        store: config.store.clone(),
        working_dir: config.working_dir.clone(),
        src_prefix: plan.src_prefix.clone(),
        allow_undecryptable: config.allow_undecryptable,
        target_quota_bytes: config.target_quota_bytes,
        rehearsal: true,
        keep: false,
        presign_seconds: config.presign_seconds,
    };
    let request = Request::Snapshot(Box::new(request));
    let step = Step::new("snapshot", config.snapshot_limit_seconds, request);
    match session.step(host, step, super::say::snapshot).await? {
        Response::Snapshot(snapshot) => Ok(*snapshot),
        _ => Err(unexpected(host.as_ref())),
    }
}

/// That there was a rehearsal of this configuration within the last hour.
///
/// # Errors
/// [`Error::NotRehearsed`].
pub fn rehearsed(setup: &Setup) -> Result<()> {
    let not = |why: &str| {
        Error::NotRehearsed(format!("{why}; try: migrate rehearse, or --skip-rehearsal"))
    };
    let Ok(json) = std::fs::read(file(setup)) else {
        return Err(not("this migration was not rehearsed"));
    };
    let read: std::result::Result<Rehearsal, _> = serde_json::from_slice(&json);
    let rehearsal = read.map_err(|_| not("the rehearsal can't be read"))?;
    if rehearsal.config_digest != config_digest(setup) {
        return Err(not("another configuration was rehearsed"));
    }
    let now = now_ms();
    if rehearsal.at_ms > now {
        return Err(not("the rehearsal is from the future: this clock was set back"));
    }
    if (now - rehearsal.at_ms) as f64 / 1000.0 > VALID_SECONDS {
        return Err(not("the rehearsal is older than an hour"));
    }
    Ok(())
}

/// Of all that a configuration says, but for the way to the cloud's API, which may have to be another by then.
pub fn config_digest(setup: &Setup) -> String {
    let mut config = setup.config.clone();
    config.assistant = config.assistant.map(|assistant| assistant.without_ways());
    digest(&config)
}

/// Of what says where objects go.
pub fn store_digest(setup: &Setup) -> String {
    digest(&setup.config.store)
}

fn digest(of: &impl serde::Serialize) -> String {
    let json = serde_json::to_vec(of).unwrap_or_default();
    etcdprefix_core::format::trailer::hex(&Sha256::digest(json).into())
}

fn file(setup: &Setup) -> PathBuf {
    setup.folder.join("rehearsal.json")
}

fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default()
}
