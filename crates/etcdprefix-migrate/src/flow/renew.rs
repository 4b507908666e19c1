//! The hosts hear of the orchestrator while it lives; if they don't, their timers wake them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::Setup;
use super::calls::{reply, work};
use super::view::Event;
use crate::error::{Error, NodeError, NodeErrorKind, Result};
use crate::host::Host;
use crate::protocol::{Call, Owner, Reply, Request};

/// How often; lost ones are made up for by the next.
const INTERVAL: Duration = Duration::from_secs(30);
/// How often whoever waits is told.
const LOOK: Duration = Duration::from_millis(200);
/// For one renewal, over a connection.
const LIMIT: Duration = Duration::from_secs(25);

/// Renews until it is dropped.
pub struct Renewal {
    task: JoinHandle<()>,
    keeper: Arc<Keeper>,
}

/// What renews, from whichever task.
struct Keeper {
    setup: Setup,
    owner: Owner,
    /// Hosts that sleep, more of them as time goes by.
    hosts: Arc<Mutex<Vec<Arc<dyn Host>>>>,
    /// A host that is known to be awake again, or to be another's.
    lost: Mutex<Option<(String, NodeError)>>,
    has_warned: AtomicBool,
}

impl Renewal {
    /// Of the timers and locks of the hosts that sleep.
    pub fn start(setup: &Setup, hosts: Arc<Mutex<Vec<Arc<dyn Host>>>>, owner: Owner) -> Self {
        let (lost, has_warned) = (Mutex::default(), AtomicBool::new(false));
        let keeper = Arc::new(Keeper { setup: setup.clone(), owner, hosts, lost, has_warned });
        let its = Arc::clone(&keeper);
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(INTERVAL).await;
                its.round().await;
            }
        });
        Self { task, keeper }
    }

    /// Renews once more now.
    ///
    /// # Errors
    /// As [`Self::still_asleep`].
    pub async fn renewed(&self) -> Result<()> {
        self.keeper.round().await;
        self.still_asleep()
    }

    /// That no host is known to be awake again, or to be another's.
    ///
    /// # Errors
    /// [`Error::Step`].
    pub fn still_asleep(&self) -> Result<()> {
        match self.keeper.lost.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            Some((host, error)) => Err(Error::Step { host, error }),
            None => Ok(()),
        }
    }

    /// Ends as soon as a host is lost.
    pub async fn lost(&self) -> Error {
        loop {
            if let Err(error) = self.still_asleep() {
                return error;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Keeper {
    async fn round(&self) {
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let round = hosts.iter().map(|host| async move {
            let outcome = renew(&self.setup, host.as_ref(), &self.owner).await;
            self.note(host.name(), outcome);
        });
        futures_util::future::join_all(round).await;
    }

    fn note(&self, host: &str, outcome: Outcome) {
        match outcome {
            Outcome::Renewed => {}
            Outcome::Lost(error) => {
                let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
                lost.get_or_insert((host.to_owned(), error));
            }
            Outcome::Failed(why) => {
                if !self.has_warned.swap(true, Ordering::Relaxed) {
                    let text = format!("{host}: its timer is not renewed: {why}");
                    self.setup.view.show(&Event::Warning(text));
                }
            }
        }
    }
}

enum Outcome {
    Renewed,
    Lost(NodeError),
    Failed(String),
}
async fn renew(setup: &Setup, host: &dyn Host, owner: &Owner) -> Outcome {
    let limit = LIMIT + host.detour();
    let request = Request::Renew {
        owner: owner.clone(),
        wake_after_seconds: setup.config.wake_after_seconds,
    };
    let call = Call {
        id: format!("{}.renew", owner.run),
        limit_seconds: limit.as_secs(),
        request,
        environment: Default::default(),
    };
    let Ok(work) = work(setup, &call, limit) else { return Outcome::Renewed };
    match host.run(&work).await.and_then(reply) {
        Ok(Reply::Done(_)) => Outcome::Renewed,
        Ok(Reply::Failed(error)) => match error.kind {
            NodeErrorKind::Awake | NodeErrorKind::Locked => Outcome::Lost(error),
            _ => Outcome::Failed(error.to_string()),
        },
        Err(error) => Outcome::Failed(error.to_string()),
    }
}
