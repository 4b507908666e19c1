//! Who writes and what only expires.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context, Result};
use etcd_client::{Client, DeleteOptions, LeaseGrantOptions, Permission, PutOptions, Txn, TxnOp};
use etcdprefix_etcd::client::ClientOptions;
use etcdprefix_etcd::{Dialer, Endpoint, Error, Failure, QuietReport, QuietWatch};
use etcdprefix_testkit::{EtcdServer, Version, block_on, within};

/// For something to happen that takes a second or two on an idle machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn dialer() -> Result<Dialer> {
    Ok(Dialer::new(ClientOptions::default())?)
}

/// Runs the scenario on each version.
pub fn on_each<F: Future<Output = Result<()>>>(
    arguments: &[&str],
    scenario: impl Fn(Client, Endpoint) -> F,
) -> Result<()> {
    for version in Version::ALL {
        let server = EtcdServer::start(version, arguments)?;
        let run = async { scenario(server.client().await?, server.url().parse()?).await };
        block_on(run).with_context(|| format!("etcd {version}\n{}", server.log()))?;
    }
    Ok(())
}

/// Waits until the watch has seen something.
pub async fn until(watch: &QuietWatch, seen: impl Fn(&QuietReport) -> bool) -> Result<QuietReport> {
    let polled = async {
        while !seen(&watch.report_so_far()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = within(PATIENCE, "the watch", polled).await;
    waited.with_context(|| format!("{:?}", watch.report_so_far()))?;
    Ok(watch.report_so_far())
}

/// Keys of that many bytes on a new lease.
pub async fn leased(
    client: &mut Client,
    id: i64,
    seconds: i64,
    keys: usize,
    bytes: usize,
) -> Result<()> {
    client.lease_grant(seconds, Some(LeaseGrantOptions::new().with_id(id))).await?;
    for key in 0..keys {
        let options = PutOptions::new().with_lease(id);
        client.put(format!("/leased/{id}/{key}"), vec![b'v'; bytes], Some(options)).await?;
    }
    Ok(())
}

fn counts(report: &QuietReport) -> [u64; 4] {
    [report.puts, report.deletes, report.undetermined, report.expiries]
}

#[test]
fn nothing_happens() -> Result<()> {
    on_each(&[], |mut client, endpoint| async move {
        let put = client.put("/before", "v", None).await?;
        let before = put.header().context("no header")?.revision();
        let watch = QuietWatch::start(&dialer()?, &[endpoint]).await?;
        assert!(watch.caught_up(PATIENCE).await?.quiet);
        let report = watch.stop().await?;
        assert!(report.quiet && report.keys.is_empty() && report.gap.is_none(), "{report:?}");
        assert_eq!((report.start_revision, report.end_revision), (before, before));
        assert!(!report.may_have_writes_after(0), "{report:?}");
        let json = serde_json::to_value(&report)?;
        assert_eq!(json["quiet"], true);
        assert_eq!(json["other_keys"]["puts"], 0);
        assert!(json.get("missed_revision").is_none(), "{json}");
        Ok(())
    })
}

#[test]
fn expiries_are_quiet() -> Result<()> {
    on_each(&[], |mut client, endpoint| async move {
        for lease in 1..=3 {
            leased(&mut client, lease, 2, 4, 10).await?;
        }
        leased(&mut client, 9, 3_600, 2, 10).await?;
        let watch = QuietWatch::start(&dialer()?, &[endpoint]).await?;
        let started = watch.report_so_far();
        // A loaded machine may have been so slow that some had expired before.
        let alive =
            client.get("/leased/", Some(etcd_client::GetOptions::new().with_prefix())).await?;
        let most = 12.min(u64::try_from(alive.count())? - 2);
        until(&watch, |seen| seen.expiries >= most).await?;
        // Revoked by a client: looks no different.
        client.lease_revoke(9).await?;
        let report = watch.stop().await?;
        assert!(report.quiet && report.keys.is_empty(), "{report:?}");
        assert!(report.expiries >= most + 2 && report.expiries <= 14, "{report:?}");
        assert!(report.end_revision > started.start_revision, "{report:?}");
        assert!(!report.may_have_writes_after(started.start_revision), "{report:?}");
        Ok(())
    })
}

#[test]
fn writers_are_named() -> Result<()> {
    on_each(&[], |mut client, endpoint| async move {
        leased(&mut client, 7, 3_600, 5, 10).await?;
        leased(&mut client, 8, 3_600, 3, 10).await?;
        let watch = QuietWatch::start(&dialer()?, &[endpoint]).await?;
        for _ in 0..5 {
            client.put("/busy", "v", None).await?;
        }
        client.delete("/busy", None).await?;
        // The lease lives: a client did it, be it one key or all of them.
        client.delete("/leased/7/0", None).await?;
        let all = DeleteOptions::new().with_prefix();
        client.delete("/leased/7/", Some(all.clone())).await?;
        client.delete("/leased/", Some(all)).await?;
        // Deletes nothing, so makes no revision.
        client.delete("/not-there", None).await?;
        let report = watch.stop().await?;
        assert_eq!(counts(&report), [5, 9, 0, 0], "{report:?}");
        assert!(!report.quiet && report.gap.is_none(), "{report:?}");
        let busy = &report.keys[0];
        assert_eq!((busy.key.as_str(), busy.puts, busy.deletes), ("/busy", 5, 1));
        assert_eq!(busy.first_revision, report.start_revision + 1);
        assert_eq!(report.first_write_revision, Some(report.start_revision + 1));
        assert_eq!(report.last_write_revision, Some(report.end_revision));
        assert_eq!(report.end_revision, report.start_revision + 9);
        assert!(report.may_have_writes_after(report.end_revision - 1), "{report:?}");
        assert!(!report.may_have_writes_after(report.end_revision), "{report:?}");
        Ok(())
    })
}

#[test]
fn a_watch_from_the_past_sees_who_wrote_since() -> Result<()> {
    on_each(&[], |mut client, endpoint| async move {
        let put = client.put("/snapshot", "v", None).await?;
        let before = put.header().context("no header")?.revision();
        let after = |revision| {
            let endpoint = endpoint.clone();
            async move {
                let dialer = Dialer::new(ClientOptions::default())?;
                QuietWatch::start_after(&dialer, &[endpoint], revision).await
            }
        };
        assert!(after(before).await?.stop().await?.quiet);
        leased(&mut client, 7, 1, 1, 10).await?;
        let mut expired = 0;
        while expired == 0 {
            let watch = after(before + 1).await?;
            let seen = watch.stop().await?;
            assert!(seen.quiet, "{seen:?}");
            expired = seen.expiries;
        }
        client.put("/late", "v", None).await?;
        let seen = after(before + 1).await?.stop().await?;
        assert_eq!(counts(&seen), [1, 0, 0, 1], "{seen:?}");
        assert_eq!((seen.start_revision, seen.keys[0].key.as_str()), (before + 1, "/late"));
        assert!(seen.may_have_writes_after(before + 2), "{seen:?}");
        let of_another_store = after(before + 9).await.map(|_| ()).unwrap_err();
        assert!(of_another_store.to_string().contains("another store"), "{of_another_store}");
        client.compact(before + 2, None).await?;
        for lost in [before, before + 1] {
            let why = match after(lost).await {
                Ok(watch) => watch.stop().await?.gap.unwrap_or_default(),
                Err(error) => error.to_string(),
            };
            assert!(why.contains("compacted"), "{why}");
        }
        Ok(())
    })
}

#[test]
fn a_transaction_of_many_keys_is_counted_by_key() -> Result<()> {
    on_each(&[], |mut client, endpoint| async move {
        leased(&mut client, 7, 3_600, 1, 10).await?;
        let watch = QuietWatch::start(&dialer()?, &[endpoint]).await?;
        let puts = (0..120).map(|key| TxnOp::put(format!("/txn/{key:03}"), "v", None));
        let operations: Vec<_> = puts.chain([TxnOp::delete("/leased/7/0", None)]).collect();
        client.txn(Txn::new().and_then(operations)).await?;
        // Gone when it is asked for, but an expiry does not put.
        client.lease_revoke(7).await?;
        let report = watch.stop().await?;
        assert_eq!(counts(&report), [120, 1, 0, 0], "{report:?}");
        assert_eq!(report.end_revision, report.start_revision + 1);
        assert_eq!((report.keys.len(), report.other_keys.puts), (100, 21));
        Ok(())
    })
}

#[test]
fn revisions_of_many_megabytes_are_seen_whole() -> Result<()> {
    on_each(&[], |mut client, endpoint| async move {
        leased(&mut client, 7, 3_600, 9, 1_000_000).await?;
        leased(&mut client, 8, 3_600, 9, 1_000_000).await?;
        let watch = QuietWatch::start(&dialer()?, &[endpoint]).await?;
        // 9 MB of previous values in one revision: several fragments.
        client.lease_revoke(7).await?;
        let report = watch.caught_up(PATIENCE).await?;
        assert!(report.quiet && report.expiries == 9, "{report:?}");
        let all = DeleteOptions::new().with_prefix();
        client.delete("/leased/8/", Some(all)).await?;
        client.put("/large", vec![b'v'; 1_500_000], None).await?;
        client.put("/large", vec![b'w'; 1_500_000], None).await?;
        let report = watch.stop().await?;
        assert_eq!(counts(&report), [2, 9, 0, 9], "{report:?}");
        Ok(())
    })
}

#[test]
fn transactions_of_many_megabytes_are_seen_whole() -> Result<()> {
    on_each(&["--max-request-bytes", "16777216"], |mut client, endpoint| async move {
        let watch = QuietWatch::start(&dialer()?, &[endpoint]).await?;
        for round in [b'a', b'b'] {
            let value = vec![round; 1_000_000];
            let puts = (0..10).map(|key| TxnOp::put(format!("/{key}"), value.clone(), None));
            client.txn(Txn::new().and_then(puts.collect::<Vec<_>>())).await?;
        }
        let report = watch.stop().await?;
        assert_eq!(counts(&report), [20, 0, 0, 0], "{report:?}");
        Ok(())
    })
}

/// What comes of watching as `user`.
async fn watched_as(user: Option<&str>, endpoint: &Endpoint) -> Result<QuietReport, Error> {
    let user = user.map(|name| (name.to_owned(), "secret".to_owned()));
    let dialer = Dialer::new(ClientOptions { user, ..ClientOptions::default() })?;
    let watch = QuietWatch::start(&dialer, std::slice::from_ref(endpoint)).await?;
    watch.stop().await
}

fn failure(outcome: Result<QuietReport, Error>) -> Failure {
    match outcome {
        Err(Error::Member { failure, .. }) => failure,
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_rights_the_role_is_named() -> Result<()> {
    on_each(&[], |mut client, endpoint| async move {
        for user in ["root", "reader", "partial", "nobody"] {
            client.user_add(user, "secret", None).await?;
        }
        client.role_add("root").await?;
        client.user_grant_role("root", "root").await?;
        for (role, permission) in [
            ("reader", Permission::read("").with_all_keys()),
            ("partial", Permission::read("/registry/").with_prefix()),
        ] {
            client.role_add(role).await?;
            client.role_grant_permission(role, permission).await?;
            client.user_grant_role(role, role).await?;
        }
        client.auth_enable().await?;
        for user in ["root", "reader"] {
            assert!(watched_as(Some(user), &endpoint).await?.quiet);
        }
        for user in ["partial", "nobody"] {
            let why = failure(watched_as(Some(user), &endpoint).await);
            assert!(matches!(why, Failure::Denied(_)), "{why:?}");
            assert!(why.to_string().contains("the role root"), "{why}");
        }
        let why = failure(watched_as(None, &endpoint).await);
        assert!(matches!(why, Failure::Unauthenticated(_)), "{why:?}");
        assert!(why.to_string().contains("the role root"), "{why}");
        Ok(())
    })
}
