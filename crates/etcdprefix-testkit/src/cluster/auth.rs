//! Users, and authentication switched on.

use anyhow::Result;
use etcd_client::{Permission, PermissionType};

use super::EtcdCluster;
use crate::block_on;

/// May do everything.
pub const ROOT: (&str, &str) = ("root", "root's password");

/// Reads every key, without the root role: asks for no snapshot and no hash.
pub const READER: (&str, &str) = ("reader", "reader's password");

impl EtcdCluster {
    /// Adds [`ROOT`] and [`READER`] and switches authentication on.
    pub fn enable_auth(&mut self) -> Result<()> {
        block_on(async {
            let mut client = self.any_client().await?;
            let all = Permission::new(PermissionType::Read, "").with_all_keys();
            client.role_add("reads").await?;
            client.role_grant_permission("reads", all).await?;
            for ((user, password), role) in [(ROOT, "root"), (READER, "reads")] {
                client.user_add(user, password, None).await?;
                client.user_grant_role(user, role).await?;
            }
            client.auth_enable().await?;
            anyhow::Ok(())
        })?;
        self.authenticated = true;
        Ok(())
    }
}
