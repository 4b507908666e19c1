//! With authentication on, only users of the root role get a snapshot.

use anyhow::Result;
use etcdprefix_testkit::cluster::{ClusterOptions, EtcdCluster, READER, ROOT, Security};
use etcdprefix_testkit::{Version, block_on};
use tempfile::TempDir;

use super::{fails, succeeds};

#[test]
fn a_snapshot_is_for_root_alone() -> Result<()> {
    let folder = TempDir::new()?;
    for version in Version::ALL {
        let options = ClusterOptions { security: Security::Tls, ..ClusterOptions::default() };
        let mut cluster = EtcdCluster::start(version, options)?;
        cluster.enable_auth()?;
        let as_user = |(name, password): (&str, &str)| format!("--user={name}:{password}");
        let to = folder.path().join(version.number());
        let save = ["snapshot", "save", to.to_str().expect("a plain path")];
        fails(&mut cluster.etcdctl(0)?, &save)?;
        fails(cluster.etcdctl(0)?.arg(as_user(READER)), &save)?;
        succeeds(cluster.etcdctl(0)?.arg(as_user(ROOT)), &save)?;
        block_on(async {
            cluster.client(0).await?.put("key", "by root", None).await?;
            let mut reader = cluster.client_as(0, READER).await?;
            assert_eq!(reader.get("key", None).await?.kvs()[0].value(), b"by root");
            assert!(reader.put("key", "by the reader", None).await.is_err());
            anyhow::Ok(())
        })?;
    }
    Ok(())
}
