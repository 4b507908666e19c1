//! Runs real etcd servers and judges snapshots by them.
//!
//! ```text
//! scenario: a live etcd is filled  ->  save: its snapshot file  ->  (the tool under test)
//!     ->  tools: restored by etcd's own tool  ->  server: served  ->  compare: against the source
//! ```
//!
//! [`cluster`] starts members with TLS and breaks them, [`proxy`] breaks what runs between a client
//! and a member, and [`writer`] writes meanwhile. [`kubernetes`] puts a real kube-apiserver before such a server.
//! [`stores`] has object stores, their official clients, and a front that breaks requests to them.
//! [`hosts`] has master nodes that are reached over SSH, and [`openapi`] the cloud's API that runs commands on them.
//!
//! Without the feature `etcd` only what needs no server is here: [`bolt`], [`source`] and [`evil`], in a few
//! seconds of building instead of minutes.
//!
//! Nothing here uses `etcdprefix-core`: the judge has its own reader of the file format
//! ([`bolt`]), its own prefix rule ([`PrefixMap`]) and its own hash ([`hashkv`]).

pub mod bolt;
#[cfg(feature = "etcd")]
pub mod certs;
#[cfg(feature = "etcd")]
pub mod cluster;
#[cfg(feature = "etcd")]
pub mod compare;
pub mod evil;
#[cfg(feature = "etcd")]
pub mod hashkv;
#[cfg(feature = "etcd")]
pub mod hosts;
#[cfg(feature = "etcd")]
pub mod kubernetes;
#[cfg(feature = "etcd")]
pub mod load;
#[cfg(feature = "etcd")]
mod member;
pub mod mutate;
#[cfg(feature = "etcd")]
pub mod openapi;
mod prefix;
#[cfg(feature = "etcd")]
mod process;
#[cfg(feature = "etcd")]
pub mod provisioned;
#[cfg(feature = "etcd")]
pub mod proxy;
pub mod random;
#[cfg(feature = "etcd")]
pub mod save;
#[cfg(feature = "etcd")]
pub mod scenario;
#[cfg(feature = "etcd")]
mod server;
pub mod source;
#[cfg(feature = "etcd")]
pub mod stores;
#[cfg(feature = "etcd")]
pub mod tamper;
#[cfg(feature = "etcd")]
pub mod tools;
#[cfg(feature = "etcd")]
pub mod writer;

#[cfg(feature = "etcd")]
use std::{future::Future, time::Duration};

#[cfg(feature = "etcd")]
use anyhow::{Context, Result};

pub use prefix::PrefixMap;
#[cfg(feature = "etcd")]
pub use provisioned::ansible_python;
#[cfg(feature = "etcd")]
pub use {provisioned::Version, server::EtcdServer};

/// Runs one future on a runtime of its own, so that plain test functions can use clients.
///
/// # Panics
/// If the runtime can't be built.
#[cfg(feature = "etcd")]
pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime needs only file descriptors")
        .block_on(future)
}

/// Bounds one message of a stream: etcd-client bounds only the start of one.
#[cfg(feature = "etcd")]
pub async fn within<F: Future>(limit: Duration, what: &str, future: F) -> Result<F::Output> {
    tokio::time::timeout(limit, future)
        .await
        .with_context(|| format!("{what}: nothing came within {limit:?}"))
}
