//! The store: rights, region, clock, credentials and Referer protection, by a small object.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use etcdprefix_core::progress::Progress;
use etcdprefix_store::{
    CheckOptions, Checked, Kind, ObjectLocation, Purpose, StepOutcome, Store, check, policy,
};

use super::Check;
use super::topic::{Topic, listed};
use crate::error::NodeError;
use crate::node::{Context, reach};
use crate::protocol::StoreAccess;

const RIGHTS: Topic = Topic::new(
    "store",
    "the snapshot goes to the store from this host if its member leads, and the managed side fetches \
     it by a presigned URL",
);
const CREDENTIALS: Topic =
    Topic::new("store_credentials", "a presigned URL ends with the credentials that signed it");

/// A store that hangs must not take the whole time of the step.
const LIMIT: Duration = Duration::from_secs(45);
/// From the rehearsal to the hand-out: an hour at most, and the outage.
const MARGIN: Duration = Duration::from_secs(75 * 60);

/// What later checks go by.
#[derive(Clone, Debug, Default)]
pub(super) struct Learnt {
    /// Whether the store is one of Alibaba Cloud.
    pub(super) is_oss: bool,
    /// Whether a snapshot may be put there and fetched.
    pub(super) is_enough: bool,
    /// The region of its endpoint.
    pub(super) region: Option<String>,
}

/// Each host has a probe of its own: they try at the same time.
pub(super) async fn look(
    access: &StoreAccess,
    context: &Context,
    presign_seconds: u64,
    hostname: &str,
) -> (Vec<Check>, Learnt) {
    let (store, location) = match reach::store(access, &context.environment) {
        Ok(opened) => opened,
        Err(error) => return (vec![failed(&error)], Learnt::default()),
    };
    let lifetime = Duration::from_secs(presign_seconds);
    let (checks, is_enough) = match tried(&store, &location, lifetime, hostname, context).await {
        Ok(checked) => {
            let rights = rights(&location, &checked);
            (vec![rights, credentials(&store, lifetime).await], checked.failure.is_none())
        }
        Err(error) => (vec![failed(&error)], false),
    };
    let region = access.region.as_deref().or(store.endpoint().region());
    let region = region.map(|region| region.trim_start_matches("oss-").to_owned());
    (checks, Learnt { is_oss: store.kind() == Kind::Oss, is_enough, region })
}

/// Shows nothing, and ends when it is told to.
struct Until(Arc<AtomicBool>);

impl Progress for Until {
    fn interrupted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

async fn tried(
    store: &Store,
    location: &ObjectLocation,
    lifetime: Duration,
    hostname: &str,
    context: &Context,
) -> Result<Checked, NodeError> {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || "-.".contains(*c);
    let host: String = hostname.chars().filter(is_plain).collect();
    let prefix = format!("{}preflight-{host}-", location.key);
    // A life of nothing is the store's usual.
    let options =
        CheckOptions { lifetime: Some(lifetime).filter(|life| !life.is_zero()), shorter_ok: false };
    let checked =
        check(store, &prefix, &options, Arc::new(Until(Arc::clone(&context.interrupted))));
    match tokio::time::timeout(LIMIT, checked).await {
        Ok(checked) => Ok(checked?),
        Err(_) => {
            let why = format!("{location}: not tried to the end within {} s", LIMIT.as_secs());
            let error = NodeError::new(crate::error::NodeErrorKind::Store, why);
            Err(error
                .try_("endpoint and region of the store, and what is between it and this host"))
        }
    }
}

fn failed(error: &NodeError) -> Check {
    let advice = error.hint.as_deref().unwrap_or("the section of the store in the configuration");
    RIGHTS.fail(error.message.as_str(), advice)
}

fn rights(location: &ObjectLocation, checked: &Checked) -> Check {
    let missing = checked.missing();
    if let Some(failure) = &checked.failure {
        let advice = match missing.is_empty() {
            true => hint(failure),
            false => grant(location),
        };
        let missing = listed_missing(&missing);
        return RIGHTS.fail(format!("{location}: {missing}{failure}"), advice);
    }
    if missing.is_empty() && checked.warnings.is_empty() {
        return RIGHTS.ok(format!("{location}: put, fetched and presigned"));
    }
    let odd = checked.steps.iter().filter(|step| step.outcome == StepOutcome::Denied);
    let odd = odd.map(|step| format!("{} denied", step.permission));
    let odd: Vec<String> = odd.chain(checked.warnings.iter().cloned()).collect();
    RIGHTS.warn(
        format!("{location}: enough, but {}", listed(&odd, "not all")),
        "nothing for the migration; what is left in the bucket is removed by hand",
    )
}

fn listed_missing(missing: &[&str]) -> String {
    if missing.is_empty() { String::new() } else { format!("{} missing: ", missing.join(", ")) }
}

fn hint(failure: &etcdprefix_store::Error) -> String {
    let advice = reach::store_hint(failure);
    advice.unwrap_or("to try `etcdprefix store check` by hand on this host").to_owned()
}

/// The statement to add, as the console takes it.
fn grant(location: &ObjectLocation) -> String {
    let (purpose, which) = match location.kind {
        Kind::Oss => (Purpose::AckMaster, "the policy whose name begins with k8sMasterRolePolicy"),
        Kind::S3 => (Purpose::UploadPresign, "the policy of these credentials"),
    };
    let prefix = if location.kind == Kind::Oss { "" } else { location.key.as_str() };
    match policy(purpose, location.kind, &location.bucket, prefix) {
        Ok(policy) => format!("to add to {which}: {}", policy.document),
        Err(_) => "a policy that allows to put and get objects: `etcdprefix store policy`".into(),
    }
}

async fn credentials(store: &Store, lifetime: Duration) -> Check {
    let credentials = match store.credentials().await {
        Ok(credentials) => credentials,
        Err(error) => return failed(&error.into()),
    };
    let origin = credentials.origin;
    let Some(left) = credentials.left() else {
        let found = match credentials.token.is_some() {
            true => format!("temporary ones from {origin} that do not say when they end"),
            false => format!("lasting ones from {origin}"),
        };
        return CREDENTIALS.ok(found);
    };
    let found = format!("from {origin}, {} min left", left.as_secs() / 60);
    match left >= lifetime + MARGIN || is_renewed(origin) {
        true => CREDENTIALS.ok(found),
        false => CREDENTIALS.warn(
            found,
            format!(
                "credentials that last {} min or more when the migration begins",
                (lifetime + MARGIN).as_secs() / 60
            ),
        ),
    }
}

/// Of these there are fresh ones before they end.
fn is_renewed(origin: &str) -> bool {
    ["role", "OIDC", "URI"].iter().any(|renewed| origin.contains(renewed))
}
