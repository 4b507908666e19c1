//! Broken connections, dead members, compactions meanwhile.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use etcd_client::{Client, CompactionOptions};
use etcdprefix_etcd::{Error, QuietWatch};
use etcdprefix_testkit::{EtcdServer, Version, block_on, within};

use crate::forwarder::Forwarder;
use crate::quiet::{PATIENCE, dialer, leased, on_each, until};

async fn put(client: &mut Client, key: &str) -> Result<i64> {
    let put = client.put(key, "v", None).await?;
    Ok(put.header().context("no header")?.revision())
}

async fn compact(client: &mut Client, revision: i64) -> Result<()> {
    client.compact(revision, Some(CompactionOptions::new().with_physical())).await?;
    Ok(())
}

#[test]
fn a_cut_connection_is_resumed_without_loss_or_repetition() -> Result<()> {
    on_each(&[], |mut client, endpoint| async move {
        let way = Forwarder::to(&endpoint.to_string()).await?;
        let watch = QuietWatch::start(&dialer()?, &[way.endpoint()]).await?;
        for round in 0..3 {
            let seen = put(&mut client, "/seen").await?;
            // In one round it is cut before the revision is known to be whole, so that it comes
            // once more; on a slow machine perhaps after.
            match round {
                1 => drop(until(&watch, |report| report.end_revision == seen).await?),
                _ => drop(watch.caught_up(PATIENCE).await?),
            }
            way.cut();
            put(&mut client, "/unseen").await?;
            leased(&mut client, round + 1, 3_600, 2, 10).await?;
            client.lease_revoke(round + 1).await?;
            way.mend();
        }
        let report = watch.stop().await?;
        assert!(report.gap.is_none(), "{report:?}");
        assert_eq!((report.puts, report.deletes, report.expiries), (12, 0, 6), "{report:?}");
        assert_eq!(report.end_revision, report.start_revision + 15, "{report:?}");
        Ok(())
    })
}

#[test]
fn another_endpoint_goes_on_for_a_dead_one() -> Result<()> {
    on_each(&[], |mut client, endpoint| async move {
        let way = Forwarder::to(&endpoint.to_string()).await?;
        let endpoints = [way.endpoint(), endpoint];
        let watch = QuietWatch::start(&dialer()?, &endpoints).await?;
        drop(way);
        put(&mut client, "/after").await?;
        until(&watch, |seen| seen.puts == 1).await?;
        let report = watch.stop().await?;
        assert!(report.gap.is_none() && report.keys[0].key == "/after", "{report:?}");
        Ok(())
    })
}

/// A server started again, ended on drop.
struct Restarted(Child);

impl Restarted {
    fn on(folder: &Path, version: Version, url: &str) -> Result<Self> {
        let mut command = Command::new(version.etcd()?);
        command.arg("--data-dir").arg(folder.join("data"));
        command.args(["--listen-client-urls", url, "--advertise-client-urls", url]);
        command.args(["--listen-peer-urls", "http://127.0.0.1:0", "--logger", "zap"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(command.spawn()?))
    }
}

impl Drop for Restarted {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Puts as soon as the server serves.
async fn put_when_serving(url: &str, key: &str) -> Result<i64> {
    let tried = async {
        loop {
            let mut client = Client::connect([url], None).await?;
            match within(Duration::from_secs(5), "a put", put(&mut client, key)).await {
                Ok(Ok(revision)) => return anyhow::Ok(revision),
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    within(PATIENCE, "the restarted server", tried).await?
}

#[test]
fn a_killed_member_is_resumed_where_it_comes_back() -> Result<()> {
    for version in Version::ALL {
        let server = EtcdServer::start(version, &[])?;
        let back = format!("http://{}", TcpListener::bind("127.0.0.1:0")?.local_addr()?);
        block_on(async {
            let mut client = server.client().await?;
            let endpoints = [server.url().parse()?, back.parse()?];
            let watch = QuietWatch::start(&dialer()?, &endpoints).await?;
            let before = put(&mut client, "/before").await?;
            watch.caught_up(PATIENCE).await?;
            let folder = server.kill();
            let _restarted = Restarted::on(folder.path(), version, &back)?;
            assert_eq!(put_when_serving(&back, "/after").await?, before + 1);
            let report = watch.stop().await?;
            assert!(report.gap.is_none() && report.puts == 2, "{report:?}");
            assert_eq!(report.end_revision, before + 1);
            anyhow::Ok(())
        })
        .with_context(|| format!("etcd {version}"))?;
    }
    Ok(())
}

#[test]
fn a_dropped_watch_ends_its_connection() -> Result<()> {
    let server = EtcdServer::start(Version::V3_5_16, &[])?;
    block_on(async {
        let way = Forwarder::to(server.url()).await?;
        let watch = QuietWatch::start(&dialer()?, &[way.endpoint()]).await?;
        assert_eq!(way.connections(), 1);
        drop(watch);
        let ended = async {
            while way.connections() > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        within(PATIENCE, "the end of the connection", ended).await
    })
}

#[test]
fn a_watch_that_can_not_catch_up_says_why() -> Result<()> {
    let server = EtcdServer::start(Version::V3_5_16, &[])?;
    block_on(async {
        let way = Forwarder::to(server.url()).await?;
        let watch = QuietWatch::start(&dialer()?, &[way.endpoint()]).await?;
        let start = watch.report_so_far().start_revision;
        way.cut();
        let error = watch.caught_up(Duration::from_secs(3)).await.unwrap_err();
        let Error::WatchBehind { seen, failure: Some(_), .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(*seen, start);
        assert!(error.to_string().contains("the last trouble: "), "{error}");
        way.mend();
        assert!(watch.stop().await?.quiet);
        Ok(())
    })
}

#[test]
fn a_store_in_the_place_of_another_is_not_taken_for_it() -> Result<()> {
    let server = EtcdServer::start(Version::V3_5_16, &[])?;
    let other = EtcdServer::start(Version::V3_4_23, &[])?;
    block_on(async {
        let way = Forwarder::to(server.url()).await?;
        let endpoints = [way.endpoint(), other.url().parse()?];
        let watch = QuietWatch::start(&dialer()?, &endpoints).await?;
        way.cut();
        let error = watch.caught_up(Duration::from_secs(3)).await.unwrap_err();
        assert!(matches!(error, Error::WatchBehind { .. }), "{error:?}");
        way.mend();
        let report = watch.stop().await?;
        assert!(report.quiet, "{report:?}");
        Ok(())
    })
}

#[test]
fn a_compaction_past_the_resume_point_is_a_gap() -> Result<()> {
    on_each(&[], |mut client, endpoint| async move {
        let way = Forwarder::to(&endpoint.to_string()).await?;
        let watch = QuietWatch::start(&dialer()?, &[way.endpoint()]).await?;
        way.cut();
        for _ in 0..3 {
            put(&mut client, "/missed").await?;
        }
        let compacted = put(&mut client, "/missed").await?;
        compact(&mut client, compacted).await?;
        way.mend();
        until(&watch, |seen| seen.gap.is_some()).await?;
        put(&mut client, "/after").await?;
        let report = watch.stop().await?;
        let gap = report.gap.as_deref().unwrap_or_default();
        assert!(gap.contains(&format!("2 to {compacted}: compacted")), "{report:?}");
        assert!(!report.quiet && report.puts == 1, "{report:?}");
        assert_eq!(report.keys[0].key, "/after");
        assert!(report.may_have_writes_after(compacted - 1), "{report:?}");
        Ok(())
    })
}

/// etcd watches from there without a complaint and without the deletes of that revision.
#[test]
fn a_compaction_right_at_the_resume_point_proves_nothing() -> Result<()> {
    on_each(&[], |mut client, endpoint| async move {
        leased(&mut client, 7, 3_600, 1, 10).await?;
        let way = Forwarder::to(&endpoint.to_string()).await?;
        let watch = QuietWatch::start(&dialer()?, &[way.endpoint()]).await?;
        let start = watch.report_so_far().start_revision;
        way.cut();
        // Of what was seen before, a compaction is no loss.
        compact(&mut client, start).await?;
        way.mend();
        assert!(watch.caught_up(PATIENCE).await?.quiet);
        way.cut();
        client.lease_revoke(7).await?;
        compact(&mut client, start + 1).await?;
        way.mend();
        let report = watch.stop().await?;
        assert!(report.gap.is_some() && !report.quiet, "{report:?}");
        assert_eq!((report.start_revision, report.end_revision), (start, start + 1));
        assert!(report.may_have_writes_after(start), "{report:?}");
        Ok(())
    })
}
