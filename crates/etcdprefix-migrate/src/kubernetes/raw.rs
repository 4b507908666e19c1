//! Objects by their paths, of kinds that have no type here.

use http::{Method, Request, header::CONTENT_TYPE};
use serde_json::Value;

use super::{Cluster, is};
use crate::error::Result;

/// What came of a change.
#[derive(Clone, Debug, PartialEq)]
pub enum Patched {
    /// The object as it is now.
    Done(Value),
    /// It is no longer the one that was meant: somebody changed it meanwhile.
    Changed,
    /// It is not there.
    Missing,
}

impl Cluster {
    /// What is at this path, such as `/api/v1/namespaces/a/pods?limit=1`; `what` is for people.
    ///
    /// # Errors
    /// See [`Cluster::version`]; that nothing is there is none.
    pub async fn read(&self, what: &str, path: &str) -> Result<Option<Value>> {
        self.answer(&format!("get {what}"), async {
            let request = Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
            match self.client.request(request).await {
                Err(error) if is(&error, 404) => Ok(None),
                found => found.map(Some),
            }
        })
        .await
    }

    /// Asks a question that is put as an object; `what` is for people.
    ///
    /// # Errors
    /// See [`Cluster::version`].
    pub async fn post(&self, what: &str, path: &str, body: &Value) -> Result<Value> {
        self.answer(&format!("make {what}"), async {
            let request = Request::post(path).header(CONTENT_TYPE, "application/json");
            let request = request.body(body.to_string().into_bytes());
            self.client.request(request.map_err(kube::Error::HttpError)?).await
        })
        .await
    }

    /// Merges a change into what is at this path. A `metadata.resourceVersion` in it must still be
    /// the object's.
    ///
    /// # Errors
    /// See [`Cluster::version`]: then it may or may not have been done.
    pub async fn patch(&self, what: &str, path: &str, change: &Value) -> Result<Patched> {
        self.answer(&format!("change {what}"), async {
            let request = Request::builder().method(Method::PATCH).uri(path);
            let request = request.header(CONTENT_TYPE, "application/merge-patch+json");
            let body = change.to_string().into_bytes();
            match self.client.request(request.body(body).map_err(kube::Error::HttpError)?).await {
                Err(error) if is(&error, 409) => Ok(Patched::Changed),
                Err(error) if is(&error, 404) => Ok(Patched::Missing),
                done => done.map(Patched::Done),
            }
        })
        .await
    }
}
