//! Members at endpoints that can be reached from here.

use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use etcdprefix_etcd::hashkv::HashOptions;
use etcdprefix_etcd::members::{MemberStatus, Survey};
use etcdprefix_etcd::save::{Change, SaveOptions, Saved, save};
use etcdprefix_etcd::{Dialer, Endpoint, QuietWatch};
use futures_util::future::BoxFuture;
use serde_json::Value;
use tempfile::{Builder, TempDir};
use zeroize::Zeroizing;

use super::{Reached, Wanted, Watch, Way};
use crate::error::{Error, NodeError, NodeErrorKind, Result};
use crate::hosted::Setup;
use crate::hosted::journal::own;
use crate::hosted::objects::Objects;
use crate::journal::write_private;
use crate::node::reach;
use crate::node::snapshot::{CATCH_UP, unwritten};
use crate::protocol::EtcdAccess;

/// The longest time without any byte of the snapshot.
const IDLE: Duration = Duration::from_secs(30);
/// How many times the stream may break.
const RETRIES: u32 = 2;
/// Where HyperShift keeps what clients of etcd need, and under which names.
const CLIENT: &str = "etcd-client-tls";
const CLIENT_CERT: &str = "etcd-client.crt";
const CLIENT_KEY: &str = "etcd-client.key";
/// Versions before the authority was on its own.
const OLD_CA: &str = "etcd-client-ca.crt";
const CA: &str = "etcd-ca";
const CA_CERT: &str = "ca.crt";
/// How the folder begins in which certificates are for a moment.
const LEFT: &str = "etcdprefix-etcd-tls-";

/// Endpoints, and how they are believed.
pub struct Direct {
    dialer: Dialer,
    endpoints: Vec<Endpoint>,
    /// The namespace that the members are to be in.
    control_plane: String,
}

impl Direct {
    /// With the endpoints and certificates given, or those of the control plane.
    pub async fn open(setup: &Setup, objects: &Objects<'_>, access: &EtcdAccess) -> Result<Self> {
        let mut access = access.clone();
        if access.endpoints.is_empty() {
            access.endpoints =
                vec![format!("https://etcd-client.{}.svc:2379", setup.control_plane)];
        }
        let is_plain = access.endpoints.iter().all(|endpoint| !endpoint.starts_with("https://"));
        let has_files = [&access.cacert, &access.cert, &access.key].iter().any(|it| it.is_some());
        let own = match is_plain || has_files {
            true => None,
            false => Some(Certificates::read(setup, objects).await?),
        };
        if let Some(own) = &own {
            access = own.access(access);
        }
        // The files have been read when this returns.
        let (dialer, endpoints) = reach::etcd(&access).map_err(failed)?;
        let endpoints = widened(&dialer, endpoints).await;
        Ok(Self { dialer, endpoints, control_plane: setup.control_plane.clone() })
    }

    async fn survey(&self) -> Result<Reached> {
        let survey = Survey::take(&self.dialer, &self.endpoints).await.map_err(of_etcd)?;
        let mut warnings: Vec<String> = survey.failures().collect();
        let voters: Vec<&MemberStatus> = survey.statuses().filter(|it| !it.is_learner).collect();
        let leader = voters.iter().find(|status| status.is_leader());
        if leader.is_none() {
            warnings.push("the leader of etcd is not among those that answer".into());
        }
        let Some(member) = leader.or(voters.first()) else {
            return Err(of_etcd(survey.no_member()));
        };
        let urls: Vec<&String> = survey.listed.iter().flat_map(|it| &it.client_urls).collect();
        let is_here = |url: &&String| url.split('.').any(|label| label == self.control_plane);
        if !urls.iter().any(is_here) {
            warnings.push(format!(
                "no member of this etcd says that clients reach it in {}: is it this hosted \
                 cluster's?",
                self.control_plane
            ));
        }
        Ok(Reached { member: member.title(), db_bytes: member.db_size_bytes, warnings })
    }

    async fn saved(&self, wanted: Wanted<'_>) -> Result<Saved> {
        let options = SaveOptions {
            target: wanted.target.to_owned(),
            from: None,
            retries: RETRIES,
            idle_timeout: IDLE,
            total_timeout: None,
            check: true,
            verify_members: true,
            hash_timeout: HashOptions::default().timeout,
            change: wanted.change.map(|options| Change { options, keep: None }),
            threads: etcdprefix_core::options::default_threads(),
        };
        save(&self.dialer, &self.endpoints, &options, wanted.progress).await.map_err(of_etcd)
    }
}

/// With the members that only the cluster itself names, as far as they answer: the leader may be among
/// them. A service leads to any one of them.
async fn widened(dialer: &Dialer, given: Vec<Endpoint>) -> Vec<Endpoint> {
    let Ok(survey) = Survey::take(dialer, &given).await else { return given };
    if survey.unasked().is_empty() {
        return given;
    }
    let Ok(wide) = survey.widened(dialer).await else { return given };
    let answering: Vec<Endpoint> = wide.statuses().map(|status| status.endpoint.clone()).collect();
    let mut all = given;
    for endpoint in answering {
        if !all.contains(&endpoint) {
            all.push(endpoint);
        }
    }
    all
}

impl Way for Direct {
    fn title(&self) -> String {
        let endpoints: Vec<String> = self.endpoints.iter().map(ToString::to_string).collect();
        endpoints.join(", ")
    }

    fn look(&self) -> BoxFuture<'_, Result<Reached>> {
        Box::pin(self.survey())
    }

    fn watch(&self) -> BoxFuture<'_, Result<Box<dyn Watch>>> {
        Box::pin(async {
            let watch = QuietWatch::start(&self.dialer, &self.endpoints).await.map_err(of_etcd)?;
            Ok(Box::new(Events(watch)) as Box<dyn Watch>)
        })
    }

    fn save<'a>(&'a self, wanted: Wanted<'a>) -> BoxFuture<'a, Result<Saved>> {
        Box::pin(self.saved(wanted))
    }
}

/// Every event of every key.
struct Events(QuietWatch);

impl Watch for Events {
    fn unwritten_since(&self, revision: i64) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(async move {
            let seen = self.0.caught_up(CATCH_UP).await.map_err(of_etcd)?;
            unwritten(&seen, revision).map_err(|error| match error.kind {
                NodeErrorKind::Written => Error::Written(error.message),
                _ => failed(error),
            })?;
            let late = seen.first_write_revision.map(|first| {
                format!(
                    "somebody wrote when all writers were gone, at revision {first}; it is in \
                         the snapshot"
                )
            });
            Ok(late.into_iter().collect())
        })
    }
}

/// Files with what the control plane's own clients have, for the moment in which they are read.
struct Certificates {
    folder: TempDir,
}

impl Certificates {
    async fn read(setup: &Setup, objects: &Objects<'_>) -> Result<Self> {
        let namespace = &setup.control_plane;
        let client = objects.secret(namespace, CLIENT).await?;
        let client = client.ok_or_else(|| unknown(namespace, "there is no Secret"))?;
        let authority = authority(namespace, objects, &client).await?;
        own(&setup.folder)?;
        let made = Builder::new().prefix(LEFT).tempdir_in(&setup.folder);
        let folder = made.map_err(Error::file("make a folder in", &setup.folder))?;
        for (name, bytes) in [
            (CLIENT_CERT, decoded(&client, CLIENT_CERT)),
            (CLIENT_KEY, decoded(&client, CLIENT_KEY)),
            (CA_CERT, Some(authority)),
        ] {
            let missing = || unknown(namespace, &format!("there is no {name} in the Secret"));
            write_private(&folder.path().join(name), &bytes.ok_or_else(missing)?)?;
        }
        Ok(Self { folder })
    }

    fn access(&self, access: EtcdAccess) -> EtcdAccess {
        let file = |name| Some(self.folder.path().join(name));
        let (cacert, cert, key) = (file(CA_CERT), file(CLIENT_CERT), file(CLIENT_KEY));
        EtcdAccess { cacert, cert, key, ..access }
    }
}

/// Whether a file of this name in our folder is what a killed run left.
pub fn is_left(name: &str) -> bool {
    name.starts_with(LEFT)
}

/// What a killed run may have left goes with the next: a key may be in it.
pub fn remove_left(folder: &Path) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| is_left(&entry.file_name().to_string_lossy())) {
        // What can't be removed is no reason to leave a cluster as it is.
        let _ = std::fs::remove_dir_all(entry.path());
    }
}

async fn authority(
    namespace: &str,
    objects: &Objects<'_>,
    client: &Value,
) -> Result<Zeroizing<Vec<u8>>> {
    if let Some(map) = objects.config_map(namespace, CA).await?
        && let Some(text) = map["data"][CA_CERT].as_str()
    {
        return Ok(Zeroizing::new(text.as_bytes().to_vec()));
    }
    let secret = objects.secret(namespace, CA).await?;
    let found = secret.as_ref().and_then(|secret| decoded(secret, CA_CERT));
    found.or_else(|| decoded(client, OLD_CA)).ok_or_else(|| unknown(namespace, "no authority for"))
}

fn decoded(secret: &Value, name: &str) -> Option<Zeroizing<Vec<u8>>> {
    STANDARD.decode(secret["data"][name].as_str()?).ok().map(Zeroizing::new)
}

fn unknown(namespace: &str, why: &str) -> Error {
    Error::NotFit(format!(
        "{why} {CLIENT} of {namespace}: how etcd is asked is not known; try: --etcd-cacert, \
         --etcd-cert and --etcd-key"
    ))
}

fn of_etcd(error: etcdprefix_etcd::Error) -> Error {
    match error {
        etcdprefix_etcd::Error::Interrupted => Error::Interrupted,
        error => failed(error.into()),
    }
}

fn failed(error: NodeError) -> Error {
    match error.kind {
        NodeErrorKind::Interrupted => Error::Interrupted,
        _ => Error::Step { host: "etcd".into(), error },
    }
}
