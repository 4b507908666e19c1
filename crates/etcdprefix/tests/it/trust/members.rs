use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use etcd_client::{CompactionOptions, LeaseGrantOptions, PutOptions};
use etcdprefix_testkit::cluster::EtcdCluster;
use etcdprefix_testkit::proxy::Proxy;
use etcdprefix_testkit::{Version, block_on};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Run, hashkv, put, save, three};

#[test]
fn hold_the_same_on_3_4_23() -> Result<()> {
    hold_the_same(Version::V3_4_23)
}

#[test]
fn hold_the_same_on_3_5_1() -> Result<()> {
    hold_the_same(Version::V3_5_1)
}

#[test]
fn hold_the_same_on_3_5_16() -> Result<()> {
    hold_the_same(Version::V3_5_16)
}

fn hold_the_same(version: Version) -> Result<()> {
    let cluster = three(version, &[])?;
    let folder = TempDir::new()?;
    let story = Story { endpoints: cluster.endpoints().join(","), cluster, folder };
    story.agree()?;
    story.history()?;
    story.agree()?;
    story.saved("history.db", &[])?;
    story.revisions()?;
    story.while_somebody_writes()?;
    story.compacted_up_to_the_last()?;
    story.compacted_meanwhile()
}

struct Story {
    cluster: EtcdCluster,
    endpoints: String,
    folder: TempDir,
}

impl Story {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Three members, one hash; its revision.
    fn agree(&self) -> Result<i64> {
        let hashes = hashkv(&self.endpoints, &[])?.succeeds().json()?;
        assert_eq!((&hashes["agree"], &hashes["missing"]), (&json!(true), &json!([])));
        let members = hashes["members"].as_array().context("members")?;
        assert!(members.len() == 3 && same(members, "hash") && same(members, "compact_revision"));
        hashes["revision"].as_i64().context("a revision")
    }

    fn saved(&self, name: &str, flags: &[&str]) -> Result<Value> {
        let flags = [&["--verify-members"], flags].concat();
        let saved = save(&self.endpoints, &self.path(name), &flags)?.succeeds().json()?;
        proved(&saved);
        assert_eq!(saved["members_hashkv"]["members"].as_array().map(Vec::len), Some(3));
        Ok(saved)
    }

    /// Updates, tombstones, keys made anew, leases, a compaction in the middle.
    fn history(&self) -> Result<()> {
        block_on(async {
            let mut client = self.cluster.client(0).await?;
            client.lease_grant(3_600, Some(LeaseGrantOptions::new().with_id(7))).await?;
            for round in 0..3 {
                for number in 0..40 {
                    let key = format!("/registry/pods/{number}");
                    let leased = (number % 4 == 0).then(|| PutOptions::new().with_lease(7));
                    client.put(key.as_str(), vec![round; 4_000], leased).await?;
                    if number % 5 == 0 {
                        client.delete(key, None).await?;
                    }
                }
            }
            anyhow::Ok(())
        })?;
        self.compact(60, true)
    }

    fn compact(&self, revision: i64, physical: bool) -> Result<()> {
        block_on(async {
            let options = CompactionOptions::new();
            let options = if physical { options.with_physical() } else { options };
            self.cluster.client(1).await?.compact(revision, Some(options)).await?;
            anyhow::Ok(())
        })
    }

    fn revisions(&self) -> Result<()> {
        let latest = self.agree()?;
        let at = |revision: i64| hashkv(&self.endpoints, &["--rev", &revision.to_string()]);
        for revision in [61, latest - 1, latest] {
            assert_eq!(at(revision)?.succeeds().json()?["revision"], revision);
        }
        let advice = "; try: a --rev";
        at(59)?.fails(2, &["revision 59", "compacted", advice]);
        at(latest + 1_000)?.fails(2, &[&(latest + 1_000).to_string(), "future", advice]);
        hashkv(&self.endpoints, &["--rev=-1"])?.fails(2, &["--rev"]);
        Ok(())
    }

    /// Members are at different revisions, and compact at different moments.
    fn while_somebody_writes(&self) -> Result<()> {
        let writer = self.cluster.writer(0, Duration::from_millis(2));
        for round in 0..3 {
            writer.wait_for(30)?;
            self.compact(writer.so_far().revision - 10, false)?;
            self.agree()?;
            self.saved(&format!("writer-{round}.db"), &[])?;
        }
        writer.stop()?;
        Ok(())
    }

    /// Servers up to 3.5.5 refuse HashKV at the very revision that is compacted; later ones answer with
    /// what they hashed before.
    fn compacted_up_to_the_last(&self) -> Result<()> {
        let latest = put(&self.cluster, 0, "last", "word")?;
        self.compact(latest, true)?;
        assert_eq!(self.agree()?, latest);
        self.saved("compacted.db", &[])?;
        assert_eq!(hashkv(&self.endpoints, &["--rev", &latest.to_string()])?.code, Some(0));
        Ok(())
    }

    /// The stream is under way, then its member compacts more than the snapshot says.
    fn compacted_meanwhile(&self) -> Result<()> {
        let revision = self.fill()?;
        for (name, compacted) in [("half.db", revision - 40), ("all.db", revision)] {
            let run = self.slowly(name, || self.compact(compacted, true))?;
            let saved = run.succeeds().json()?;
            proved(&saved);
            assert_eq!(saved["hashkv"]["revision"], revision, "{saved}");
            assert_eq!(saved["hashkv"]["compact_revision"], compacted, "{saved}");
        }
        Ok(())
    }

    /// More than what a connection holds on its way; the revision afterwards.
    fn fill(&self) -> Result<i64> {
        for number in 0..80 {
            put(&self.cluster, 0, &format!("fill-{}", number % 60), vec![number; 4_000])?;
        }
        self.agree()
    }

    /// Saves through a slow connection, doing something between the stream and the question after it.
    fn slowly(&self, name: &str, meanwhile: impl FnOnce() -> Result<()>) -> Result<Run> {
        let proxy = Proxy::start(self.cluster.endpoint(self.cluster.leader()?))?;
        slowly(&self.cluster, &proxy, &self.path(name), meanwhile)
    }
}

/// Saves through a proxy that holds the stream back until something has been done.
pub fn slowly(
    cluster: &EtcdCluster,
    proxy: &Proxy,
    target: &Path,
    meanwhile: impl FnOnce() -> Result<()>,
) -> Result<Run> {
    let leader = cluster.leader()?;
    let sent = || cluster.log(leader).matches("successfully sent database snapshot").count();
    let before = sent();
    proxy.throttle(20_000);
    thread::scope(|scope| {
        let saving = scope.spawn(|| save(&proxy.endpoint(), target, &["--verify-members"]));
        let start = Instant::now();
        while sent() == before && !saving.is_finished() {
            ensure!(
                start.elapsed() < Duration::from_secs(60),
                "no stream: {}",
                cluster.log(leader)
            );
            thread::sleep(Duration::from_millis(5));
        }
        let done = if saving.is_finished() { Ok(()) } else { meanwhile() };
        proxy.heal();
        done?;
        saving.join().expect("it panicked")
    })
}

fn same(members: &[Value], field: &str) -> bool {
    members.windows(2).all(|pair| pair[0][field] == pair[1][field])
}

/// File and member have the same HashKV at the file's revision.
pub fn proved(saved: &Value) {
    assert!(saved["hashkv"]["hash"].is_u64(), "{saved}");
    assert_eq!(saved["hashkv"]["revision"], saved["revision"], "{saved}");
    assert_eq!(saved["members_hashkv"]["agree"], true, "{saved}");
}
