//! What is left to do once the managed side runs.
//!
//! ```text
//! open -> await_ready: until the managed API answers -> look: findings and a list of actions
//!     nodes: masters that are gone     components: what has to be installed anew, or switched on
//!     pod: whether pods start          -> perform: one action, if the API can do it
//! ```
//!
//! All of it may be repeated: what is done is found done.

mod components;
mod nodes;
mod pod;

use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::kubernetes::{Cluster, Object, Unchanged};

pub(crate) use components::{ALB, TERWAY, VIRTUAL_NODE, replicas};
pub use nodes::Master;
pub(crate) use nodes::is_ready;

/// Between two questions whether the API is ready.
const PAUSE: Duration = Duration::from_secs(1);

/// What is to be known beforehand.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The URL of the API before the migration.
    pub expected_server: Option<String>,
    /// The version before the migration, such as `v1.28.3`.
    pub expected_version: Option<String>,
    /// Names or addresses of the masters, beside those that their labels tell.
    pub masters: Vec<String>,
    /// For the test pod; by default the pause image that nodes have already.
    pub pod_image: Option<String>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// The API that answered.
    pub server: String,
    /// Whether its address is the one from before; `None` if that is not known.
    pub same_server: Option<bool>,
    /// Its version.
    pub version: String,
    /// Whether that is the one from before; `None` if that is not known.
    pub same_version: Option<bool>,
    /// Masters that it still has as nodes.
    pub masters: Vec<Master>,
    /// What is to be done, in this order.
    pub actions: Vec<Action>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// `delete_node`, …: stable, for programs; the same several times if there are several objects.
    pub name: String,
    /// What is done.
    pub what: String,
    /// Why.
    pub why: String,
    /// What a person types, or where they click; empty if there is nothing to do.
    pub command: String,
    /// What must be done before, and can't be seen from here.
    pub after: Option<String>,
    /// How it stands.
    pub state: State,
    /// How the API does it.
    pub step: Step,
}

/// How an action stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// [`Aftercare::perform`] can do it.
    Todo,
    /// Nothing is left to do.
    Done,
    /// A person has to.
    ByHand,
}

/// What the API is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Nothing.
    None,
    /// Delete a node if it is still not ready.
    DeleteNode(String),
    /// Delete an object.
    Delete(Object),
    /// Give a deployment so many replicas.
    Scale {
        /// The deployment.
        deployment: Object,
        /// How many.
        replicas: u32,
    },
    /// Start a pod, wait until it runs, delete it.
    TestPod {
        /// Its image.
        image: String,
        /// How long it may take.
        limit_seconds: u64,
    },
}

/// What came of an action.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Performed {
    /// The action's.
    pub name: String,
    /// In a few words.
    pub what: String,
    /// Whether anything was changed.
    pub changed: bool,
    /// How long it took.
    pub seconds: f64,
}

/// The managed side's API.
pub struct Aftercare {
    cluster: Cluster,
}

impl Aftercare {
    /// By a kubeconfig. Nothing is asked yet.
    ///
    /// # Errors
    /// [`Error::Kubernetes`] for a kubeconfig that can't be used.
    pub async fn open(kubeconfig: &Path) -> Result<Self> {
        Ok(Self { cluster: Cluster::open(kubeconfig).await? })
    }

    /// Waits until the API says that it is ready; how long that took, in seconds.
    ///
    /// # Errors
    /// [`Error::Kubernetes`] with its last answer.
    pub async fn await_ready(&self, limit: Duration) -> Result<f64> {
        let start = Instant::now();
        loop {
            let Err(why) = self.cluster.ready().await else {
                return Ok(start.elapsed().as_secs_f64());
            };
            if start.elapsed() + PAUSE > limit {
                let seconds = limit.as_secs();
                return Err(Error::Kubernetes(format!("not ready after {seconds} s: {why}")));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Looks at everything, and changes nothing.
    ///
    /// # Errors
    /// [`Error::Kubernetes`] if the API does not answer.
    pub async fn look(&self, options: &Options) -> Result<Findings> {
        let (cluster, server) = (&self.cluster, self.cluster.server().to_owned());
        let version = cluster.version().await?;
        let all = cluster.nodes().await?;
        let masters = nodes::masters(&all, &options.masters);
        let mut actions = nodes::actions(&masters);
        actions.extend(components::actions(cluster).await?);
        actions.push(pod::action(&all, options.pod_image.as_deref()));
        actions.push(nodes::release(&masters));
        let expected = options.expected_server.as_deref();
        let same_server = expected.map(|expected| is_same_server(expected, &server));
        let same_version = options.expected_version.as_ref().map(|expected| *expected == version);
        Ok(Findings { server, same_server, version, same_version, masters, actions })
    }

    /// Does it, if it is to do and the API can.
    ///
    /// # Errors
    /// [`Error::Kubernetes`] if the API refuses, or something speaks against it by now.
    pub async fn perform(&self, action: &Action) -> Result<Performed> {
        let start = Instant::now();
        let cluster = &self.cluster;
        let changed = match &action.step {
            _ if action.state != State::Todo => false,
            Step::None => false,
            Step::DeleteNode(name) => nodes::delete(cluster, name).await?,
            Step::Delete(object) => cluster.delete(object, &Unchanged::default()).await?,
            Step::Scale { deployment, replicas } => {
                components::scale(cluster, deployment, *replicas).await?
            }
            Step::TestPod { image, limit_seconds } => {
                pod::test(cluster, image, Duration::from_secs(*limit_seconds)).await?
            }
        };
        let (name, what) = (action.name.clone(), action.what.clone());
        Ok(Performed { name, what, changed, seconds: start.elapsed().as_secs_f64() })
    }
}

/// The same host and port.
fn is_same_server(one: &str, other: &str) -> bool {
    let place = |url: &str| {
        let url: http::Uri = url.parse().ok()?;
        Some((url.host()?.to_ascii_lowercase(), url.port_u16().unwrap_or(443)))
    };
    place(one).is_some() && place(one) == place(other)
}

impl Action {
    fn new(name: &str, what: impl Into<String>, why: &str) -> Self {
        Self {
            name: name.into(),
            what: what.into(),
            why: why.into(),
            command: String::new(),
            after: None,
            state: State::Done,
            step: Step::None,
        }
    }

    fn todo(self, command: impl Into<String>, step: Step) -> Self {
        Self { command: command.into(), state: State::Todo, step, ..self }
    }

    fn by_hand(self, command: impl Into<String>) -> Self {
        Self { command: command.into(), state: State::ByHand, ..self }
    }

    fn after(self, what: &str) -> Self {
        Self { after: Some(what.into()), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_the_same_by_host_and_port() {
        assert!(is_same_server("https://10.0.0.1:6443/", "https://10.0.0.1:6443"));
        assert!(is_same_server("https://API.example", "https://api.example:443/"));
        assert!(!is_same_server("https://10.0.0.1:6443", "https://10.0.0.2:6443"));
        assert!(!is_same_server("https://10.0.0.1:6443", "https://10.0.0.1"));
        assert!(!is_same_server("", ""));
    }
}
