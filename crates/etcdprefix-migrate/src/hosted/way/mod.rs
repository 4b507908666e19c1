//! The way to a hosted cluster's etcd.

mod direct;

use std::path::Path;

use etcdprefix_core::ChangePrefix;
use etcdprefix_etcd::save::{Saved, SharedProgress};
use futures_util::future::BoxFuture;

use super::Setup;
use super::objects::Objects;
use crate::error::Result;
use crate::protocol::EtcdAccess;

pub(super) use direct::{is_left, remove_left};

/// How members are asked.
pub trait Way: Send + Sync {
    /// For people.
    fn title(&self) -> String;

    /// Whether it leads to etcd.
    fn look(&self) -> BoxFuture<'_, Result<Reached>>;

    /// From now on writes are seen.
    fn watch(&self) -> BoxFuture<'_, Result<Box<dyn Watch>>>;

    /// Saves a snapshot, proved, and rewritten if that is asked for.
    fn save<'a>(&'a self, wanted: Wanted<'a>) -> BoxFuture<'a, Result<Saved>>;
}

/// Sees who writes.
pub trait Watch: Send + Sync {
    /// That nobody has written after this revision until now; what is odd is told.
    fn unwritten_since(&self, revision: i64) -> BoxFuture<'_, Result<Vec<String>>>;
}

/// What is saved.
pub struct Wanted<'a> {
    /// The file, which is not there yet.
    pub target: &'a Path,
    /// A change of prefix.
    pub change: Option<ChangePrefix>,
    /// To stop it.
    pub progress: SharedProgress,
}

/// What a look at etcd tells.
#[derive(Clone, Debug)]
pub struct Reached {
    /// The leader if it answers, else who does.
    pub member: String,
    /// The size of its database.
    pub db_bytes: u64,
    /// What is odd.
    pub warnings: Vec<String>,
}

/// The way that there is.
pub(super) async fn open(
    setup: &Setup,
    objects: &Objects<'_>,
    access: &EtcdAccess,
) -> Result<Box<dyn Way>> {
    let direct = direct::Direct::open(setup, objects, access).await?;
    Ok(Box::new(direct))
}
