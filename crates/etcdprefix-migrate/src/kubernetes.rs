//! The Kubernetes API: a few objects read, and a few deleted.

mod raw;

use std::error::Error as _;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::api::{
    DeleteParams, GetParams, ListParams, Patch, PatchParams, PostParams, Preconditions,
};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::core::Request;
use kube::{Client, Config};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};

pub use raw::Patched;

/// For a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// For one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
/// Nodes that are asked for at once.
const PAGE: u32 = 500;

/// Where ACK and kubeadm keep what they bring along.
pub const SYSTEM: &str = "kube-system";

/// A cluster's API, for the runtime that it was opened on.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    server: String,
}

/// Kinds of objects that are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Of the whole cluster.
    Node,
    /// In a namespace.
    Pod,
    /// In a namespace.
    Service,
    /// In a namespace.
    ConfigMap,
    /// In a namespace.
    ServiceAccount,
    /// In a namespace.
    Deployment,
    /// Of the whole cluster.
    ClusterRoleBinding,
}

/// One object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// Of which kind.
    pub kind: Kind,
    /// Empty if its kind has none.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What an object must still be for it to be deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unchanged {
    /// Its uid.
    pub uid: Option<String>,
    /// Its resource version.
    pub resource_version: Option<String>,
}

impl Kind {
    /// As kubectl takes it.
    pub fn resource(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Pod => "pod",
            Self::Service => "service",
            Self::ConfigMap => "configmap",
            Self::ServiceAccount => "serviceaccount",
            Self::Deployment => "deployment",
            Self::ClusterRoleBinding => "clusterrolebinding",
        }
    }

    fn root(self) -> &'static str {
        match self {
            Self::Deployment => "/apis/apps/v1",
            Self::ClusterRoleBinding => "/apis/rbac.authorization.k8s.io/v1",
            _ => "/api/v1",
        }
    }
}

impl Object {
    /// An object; the namespace is empty for kinds without.
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }

    /// What a person types to do it.
    pub fn kubectl(&self, verb: &str) -> String {
        let place = match self.namespace.as_str() {
            "" => String::new(),
            namespace => format!(" -n {namespace}"),
        };
        format!("kubectl{place} {verb} {} {}", self.kind.resource(), self.name)
    }

    fn collection(&self) -> String {
        let place = match self.namespace.as_str() {
            "" => String::new(),
            namespace => format!("/namespaces/{namespace}"),
        };
        format!("{}{place}/{}s", self.kind.root(), self.kind.resource())
    }
}

impl std::fmt::Display for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ", self.kind.resource())?;
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(&self.name)
    }
}

impl Cluster {
    /// By a kubeconfig's current context. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Kubernetes`] for a file that can't be used.
    pub async fn open(kubeconfig: &Path) -> Result<Self> {
        let unusable = |why: String| {
            let file = kubeconfig.display();
            Error::Kubernetes(format!(
                "cannot use the kubeconfig {file}: {why}; try: the file of an administrator, such \
                 as /etc/kubernetes/admin.conf of a master"
            ))
        };
        let read = Kubeconfig::read_from(kubeconfig).map_err(|error| unusable(told(&error)))?;
        let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
        let mut config = config.map_err(|error| unusable(told(&error)))?;
        config.connect_timeout = Some(CONNECT_LIMIT);
        config.read_timeout = Some(ANSWER_LIMIT);
        // Who waits for the API asks again on his own.
        config.default_retry = false;
        let server = config.cluster_url.to_string();
        let client = Client::try_from(config).map_err(|error| unusable(explain(&error)))?;
        Ok(Self { client, server: server.trim_end_matches('/').to_owned() })
    }

    /// The URL of the server.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Its version, such as `v1.20.2`.
    ///
    /// # Errors
    /// [`Error::Kubernetes`], as all that follow.
    pub async fn version(&self) -> Result<String> {
        let version = self.answer("tell its version", self.client.apiserver_version()).await?;
        Ok(version.git_version)
    }

    /// Fails unless the server says that it is ready.
    ///
    /// # Errors
    /// With what it says instead.
    pub async fn ready(&self) -> Result<()> {
        let request = Request::new("").get("readyz", &GetParams::default());
        self.answer("say that it is ready", self.text(request)).await.map(drop)
    }

    /// All nodes.
    ///
    /// # Errors
    /// See [`Cluster::version`].
    pub async fn nodes(&self) -> Result<Vec<Node>> {
        let nodes = kube::Api::<Node>::all(self.client.clone());
        let (mut all, mut page) = (Vec::new(), ListParams::default().limit(PAGE));
        loop {
            let list = self.answer("list nodes", nodes.list(&page)).await?;
            all.extend(list.items);
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(all),
            }
        }
    }

    /// An object, if it is there.
    ///
    /// # Errors
    /// See [`Cluster::version`].
    pub async fn get<T: DeserializeOwned>(&self, object: &Object) -> Result<Option<T>> {
        let request = Request::new(object.collection()).get(&object.name, &GetParams::default());
        let doing = format!("get {object}");
        let asked = self.answer(&doing, async {
            match self.client.request(request.map_err(kube::Error::BuildRequest)?).await {
                Err(error) if is(&error, 404) => Ok(None),
                found => found.map(Some),
            }
        });
        asked.await
    }

    /// Makes it.
    ///
    /// # Errors
    /// See [`Cluster::version`].
    pub async fn create(&self, object: &Object, body: &Value) -> Result<()> {
        let body = body.to_string().into_bytes();
        let request = Request::new(object.collection()).create(&PostParams::default(), body);
        self.answer(&format!("create {object}"), self.text(request)).await.map(drop)
    }

    /// Merges a change into it.
    ///
    /// # Errors
    /// See [`Cluster::version`].
    pub async fn merge(&self, object: &Object, change: &Value) -> Result<()> {
        let (params, change) = (PatchParams::default(), Patch::Merge(change));
        let request = Request::new(object.collection()).patch(&object.name, &params, &change);
        self.answer(&format!("change {object}"), self.text(request)).await.map(drop)
    }

    /// Deletes it if it is still what it was; whether it was there.
    ///
    /// # Errors
    /// See [`Cluster::version`]; if it has changed, too.
    pub async fn delete(&self, object: &Object, unchanged: &Unchanged) -> Result<bool> {
        let Unchanged { uid, resource_version } = unchanged.clone();
        let preconditions = Some(Preconditions { uid, resource_version });
        let params = DeleteParams { preconditions, ..DeleteParams::background() };
        let request = Request::new(object.collection()).delete(&object.name, &params);
        let doing = format!("delete {object}");
        let asked = self.answer(&doing, async {
            match self.text(request).await {
                Err(error) if is(&error, 404) => Ok(false),
                done => done.map(|_| true),
            }
        });
        asked.await
    }

    async fn text(&self, request: Built) -> Result<String, kube::Error> {
        self.client.request_text(request.map_err(kube::Error::BuildRequest)?).await
    }

    async fn answer<T>(
        &self,
        doing: &str,
        asked: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T> {
        let answer = tokio::time::timeout(ANSWER_LIMIT + CONNECT_LIMIT, asked).await;
        let (why, advice) = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => (explain(&error), advice(&error)),
            Err(_) => ("no answer in time".to_owned(), UNREACHABLE),
        };
        let server = &self.server;
        Err(Error::Kubernetes(format!("{server} does not {doing}: {why}; try: {advice}")))
    }
}

type Built = Result<http::Request<Vec<u8>>, kube::core::request::Error>;

const UNREACHABLE: &str =
    "whether the API server runs and this host reaches it (curl -k of the address with /readyz)";

fn is(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

fn advice(error: &kube::Error) -> &'static str {
    match error {
        kube::Error::Api(status) => match status.code {
            401 => "a kubeconfig whose certificate or token is valid still",
            403 => "the kubeconfig of an administrator",
            409 => "again: the object changed meanwhile",
            _ => "again in a moment",
        },
        _ => UNREACHABLE,
    }
}

/// In the server's words, or with all causes: the outer ones alone tell nothing.
fn explain(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        // Failed probes come as lines of plain text, one for each part.
        let lines = status.message.lines().map(str::trim).filter(|line| !line.is_empty());
        let bad: Vec<&str> = lines.clone().filter(|line| !line.starts_with("[+]")).collect();
        return format!("{} (HTTP {})", bad.join(", "), status.code);
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        source = cause.source();
    }
    text
}

/// Without what was read: it may hold a key or a token.
fn told(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::Parse(_) => "it is no YAML of a kubeconfig".to_owned(),
        KubeconfigError::ReadConfig(why, _) => why.to_string(),
        error => error.to_string(),
    }
}
