//! What an apiserver has put into etcd.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::compare::read_all;
use crate::{EtcdServer, block_on};

/// One key's state.
#[derive(Clone, Debug)]
pub struct Stored {
    /// As in etcd, sealed or not.
    pub value: Vec<u8>,
    /// 0 for none.
    pub lease: i64,
    /// How often the key was written.
    pub version: i64,
}

/// All that lives in etcd, by key.
pub fn stored(etcd: &EtcdServer) -> Result<BTreeMap<String, Stored>> {
    let all = block_on(async { read_all(&mut etcd.client().await?, 0).await })?;
    let one = |seen: crate::compare::Seen| {
        let key = String::from_utf8(seen.key)?;
        Ok((key, Stored { value: seen.value, lease: seen.lease, version: seen.version }))
    };
    all.into_iter().map(one).collect()
}
