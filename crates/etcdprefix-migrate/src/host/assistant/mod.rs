//! Hosts by Alibaba Cloud Assistant: commands that the cloud's API hands to an agent on the instance.
//!
//! ```text
//! install: RunCommand ─ fetch by URL ─ SHA-256 ─ --version
//! run:     RunCommand ─ node relay ─ node step;  its reply is sealed, and fetched page by page
//! ```
//!
//! Whoever may look at the account sees commands and outputs. So no request has a secret in it, and every
//! reply is sealed to a key that only this process has.

mod pace;
mod refusal;
mod reply;
mod script;
mod seal;
pub mod targets;
mod wait;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::OnceCell;

use super::binary::sha256_of;
use super::{Host, HostError, Installed, Output, Work};
use crate::cloud::{Api, ApiOptions, MAX_OUTPUT_BYTES};
use crate::config::{AssistantConfig, Fetched};
use crate::error::{Error, Result};
use pace::Pace;
use reply::{Reply, Taken};
use script::Ask;
use seal::RunKey;
use wait::{Caller, Seen, Stops};

/// Fetching a binary over a slow line, as long as the cloud's template waits.
const INSTALL_LIMIT: Duration = Duration::from_secs(240);
/// For a page of a reply that is there.
const PAGE_LIMIT: Duration = Duration::from_secs(60);
/// Of many hosts that take turns at the API.
const DETOUR: Duration = Duration::from_secs(25);
/// What of an output is the page: the rest is Base64's and the line's own.
const PAGE_BYTES: usize = (MAX_OUTPUT_BYTES - 1024) / 4 * 3;
/// Outputs that are cut off shorter than that are no answers.
const PAGE_BYTES_MIN: usize = 256;
/// How often the same is asked for whose reply can't be fetched.
const TRIES: usize = 3;

/// What the instances of a migration share: the API, and a key.
pub struct Assistant {
    api: Api,
    options: AssistantConfig,
    binaries: Vec<(String, Fetched)>,
    key: RunKey,
    pace: Pace,
    stops: Stops,
}

/// An instance, by its id.
pub struct AssistantHost {
    name: String,
    instance: String,
    state: String,
    shared: Arc<Assistant>,
    installed: OnceCell<Installed>,
    /// Replies that lie on the host, and that we have.
    taken: Mutex<Vec<String>>,
}

impl Assistant {
    /// Sends nothing yet. `own` is this program, whose SHA-256 is that of hosts of its kind if none is given.
    ///
    /// # Errors
    /// [`Error::Usage`] for a binary without SHA-256, [`Error::Cloud`] without credentials for the API.
    pub fn open(options: &AssistantConfig, own: &Path) -> Result<Self> {
        let mut binaries = options.binaries.clone();
        for (arch, fetched) in &mut binaries {
            if fetched.sha256.is_none() && arch == std::env::consts::ARCH {
                let sha256 = sha256_of(own).map_err(|error| Error::Usage(error.to_string()))?;
                fetched.sha256 = Some(sha256);
            }
        }
        if let Some((arch, _)) = binaries.iter().find(|(_, fetched)| fetched.sha256.is_none()) {
            let why = format!("the binary for {arch} has no sha256; try: --binary-sha256 {arch}=…");
            return Err(Error::Usage(why));
        }
        Ok(Self {
            api: api(options)?,
            options: options.clone(),
            binaries: binaries.into_iter().collect(),
            key: RunKey::generate(),
            pace: Pace::default(),
            stops: Stops::default(),
        })
    }
}

/// The API of that region.
fn api(options: &AssistantConfig) -> Result<Api> {
    let options = ApiOptions {
        region: options.region.clone(),
        ecs_endpoint: options.endpoint.clone(),
        oos_endpoint: None,
        cacert: options.cacert.clone(),
        profile: options.profile.clone(),
        credentials: options.credentials.clone(),
    };
    Api::open(&options, &etcdprefix_store::Environment::of_process())
}

impl AssistantHost {
    /// The binary goes to `bin` in `node_state`.
    pub fn new(instance: &str, shared: Arc<Assistant>, node_state: &Path) -> Self {
        Self {
            name: format!("ecs:{instance}"),
            instance: instance.into(),
            state: node_state.display().to_string(),
            shared,
            installed: OnceCell::new(),
            taken: Mutex::default(),
        }
    }

    fn caller<'a>(&'a self, seen: &'a Seen) -> Caller<'a> {
        let Assistant { api, pace, options, stops, .. } = &*self.shared;
        Caller { api, pace, region: &options.region, instance: &self.instance, stops, seen }
    }

    async fn place(&self, seen: &Seen) -> Result<Installed, HostError> {
        let folder = format!("{}/bin", self.state);
        let script = script::install(&folder, &self.shared.binaries)?;
        let said =
            self.caller(seen).stoppable("etcdprefix-install", &script, INSTALL_LIMIT).await?;
        script::installed(&folder, &self.shared.binaries, &said).map_err(HostError::Binary)
    }

    async fn installed(&self, seen: &Seen) -> Result<&Installed, HostError> {
        self.installed.get_or_try_init(|| self.place(seen)).await
    }

    /// Whatever is asked for may be asked for twice, so a reply that is lost is asked for anew.
    async fn relayed(&self, work: &Work, seen: &Seen) -> Result<Output, HostError> {
        let mut page_bytes = PAGE_BYTES;
        for _ in 0..TRIES {
            let id = seal::fresh_id();
            if let Some(sealed) = self.once(&id, work, &mut page_bytes, seen).await? {
                self.lock_taken().push(id.clone());
                return self.shared.key.open(&id, &sealed);
            }
        }
        Err(HostError::Binary("its reply is gone before it can be fetched, every time".into()))
    }

    async fn once(
        &self,
        id: &str,
        work: &Work,
        page_bytes: &mut usize,
        seen: &Seen,
    ) -> Result<Option<Vec<u8>>, HostError> {
        let path = &self.installed(seen).await?.path;
        let ask = |page_bytes| Ask { path, state: &self.state, id, page_bytes };
        let forget = self.lock_taken().clone();
        let recipient = self.shared.key.recipient();
        let script = script::run(&ask(*page_bytes), &recipient, &forget, work)?;
        let mut said = self.caller(seen).done("etcdprefix", &script, work.limit).await?;
        self.lock_taken().retain(|id| !forget.contains(id));
        let mut reply = Reply::of(id);
        loop {
            match reply.take(&said)? {
                Taken::Whole => return Ok(Some(reply.sealed)),
                Taken::Gone => return Ok(None),
                Taken::Part => {}
                Taken::Torn if *page_bytes / 2 < PAGE_BYTES_MIN => {
                    let why = "its output comes back cut off or changed, however short it is";
                    return Err(HostError::Binary(why.into()));
                }
                Taken::Torn => *page_bytes /= 2,
            }
            let script = script::page(&ask(*page_bytes), reply.sealed.len())?;
            said = self.caller(seen).done("etcdprefix-page", &script, PAGE_LIMIT).await?;
        }
    }

    fn lock_taken(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Host for AssistantHost {
    fn name(&self) -> &str {
        &self.name
    }

    fn install(&self) -> BoxFuture<'_, Result<Installed, HostError>> {
        async move {
            let seen = Seen::default();
            let placed = tokio::time::timeout(INSTALL_LIMIT, self.installed(&seen)).await;
            placed.unwrap_or_else(|_| Err(seen.out_of_time(INSTALL_LIMIT))).cloned()
        }
        .boxed()
    }

    fn was_used(&self) -> bool {
        self.installed.initialized()
    }

    fn detour(&self) -> Duration {
        DETOUR
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.shared.stops.end().boxed()
    }

    fn run<'a>(&'a self, work: &'a Work) -> BoxFuture<'a, Result<Output, HostError>> {
        async move {
            script::refuse_secrets(work)?;
            self.install().await?;
            let seen = Seen::default();
            let ended = tokio::time::timeout(work.limit, self.relayed(work, &seen)).await;
            ended.unwrap_or_else(|_| Err(seen.out_of_time(work.limit)))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
