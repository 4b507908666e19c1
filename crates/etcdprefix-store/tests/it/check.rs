use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use StepOutcome::{Allowed, Denied, Failed, NotTried};
use etcdprefix_store::{
    Cause, CheckOptions, Checked, Environment, Error, Kind, Step, StepOutcome, Store, StoreOptions,
    check, head,
};
use etcdprefix_testkit::stores::{Act, Front, Key, OssServer, Rule, S3Server};

use crate::support::{
    Counted, SECRET_MARK, Server, both, clean, location, run, silent, write_only,
};

/// For tests with a server of their own.
const PREFIX: &str = "check/";
const PROBE: &str = "check/etcdprefix-probe";

async fn checked(store: &Store) -> Checked {
    checked_under(store, PREFIX).await
}

async fn checked_under(store: &Store, prefix: &str) -> Checked {
    let checked = check(store, prefix, &CheckOptions::default(), silent()).await.unwrap();
    let names: Vec<_> = checked.steps.iter().map(|step| step.name).collect();
    assert_eq!(names, ["put", "head", "get", "presign", "parts", "list", "delete"]);
    assert_eq!(checked.probe, store.location(&format!("{prefix}etcdprefix-probe")));
    let shown = format!("{checked:?}{}", serde_json::to_string(&checked).unwrap());
    assert!(!shown.contains(SECRET_MARK) && !shown.contains("ignature="), "{shown}");
    let explained = |step: &Step| step.why.is_some() == (step.outcome != Allowed);
    assert!(checked.steps.iter().all(explained), "{checked:?}");
    checked
}

fn outcomes(checked: &Checked) -> Vec<StepOutcome> {
    checked.steps.iter().map(|step| step.outcome).collect()
}

fn cause(checked: &Checked) -> Cause {
    let error = checked.failure.as_ref().unwrap();
    clean(error);
    let refusal = match error {
        Error::Unproved { why, .. } => why.refusal(),
        error => error.refusal(),
    };
    refusal.unwrap_or_else(|| panic!("{error:?}")).cause.clone()
}

/// A server for OSS whose key may not do these.
fn oss_without(denied: &[&str]) -> Server {
    let server = OssServer::start().unwrap();
    server.allow(server.key(), denied).unwrap();
    Server::Oss(server)
}

#[test]
fn with_all_rights_everything_goes_and_nothing_is_left() {
    both(async |server| {
        let store = server.store();
        for _ in 0..2 {
            let checked = checked_under(&store, "check/all/").await;
            assert_eq!(outcomes(&checked), [Allowed; 7], "{checked:?}");
            assert!(checked.missing().is_empty() && checked.warnings.is_empty());
            assert!(checked.failure.is_none() && !checked.probe_left);
            assert!(head(&store, "check/all/etcdprefix-probe").await.is_err());
        }
    });
}

#[test]
fn rights_to_put_and_get_are_enough() {
    let server = oss_without(&["DeleteObject", "ListObjectsV2", "AbortMultipartUpload"]);
    run(async {
        let store = server.store();
        // The second time the probe of the first is there.
        for _ in 0..2 {
            let checked = checked(&store).await;
            let expected = [Allowed, Allowed, Allowed, Allowed, Denied, Denied, Denied];
            assert_eq!(outcomes(&checked), expected, "{checked:?}");
            let missing = ["oss:AbortMultipartUpload", "oss:ListObjects", "oss:DeleteObject"];
            assert_eq!(checked.missing(), missing);
            assert!(checked.failure.is_none() && checked.probe_left);
            let [parts, probe] = &checked.warnings[..] else { panic!("{checked:?}") };
            assert!(parts.contains("lifecycle") && parts.contains("left upload "), "{parts}");
            assert!(probe.contains("oss://bucket/check/etcdprefix-probe"), "{probe}");
            head(&store, PROBE).await.unwrap();
        }
    });
}

#[test]
fn without_the_right_to_put_only_listing_can_be_tried() {
    let server = oss_without(&["PutObject", "InitiateMultipartUpload"]);
    run(async {
        let checked = checked(&server.store()).await;
        let expected = [Denied, NotTried, NotTried, NotTried, NotTried, Allowed, NotTried];
        assert_eq!(outcomes(&checked), expected, "{checked:?}");
        assert_eq!((checked.missing(), cause(&checked)), (vec!["oss:PutObject"], Cause::Denied));
        assert!(!checked.probe_left);
    });
}

#[test]
fn without_the_right_to_get_each_use_of_it_is_told() {
    let denied = ["HeadObject", "GetObject", "DeleteObject"];
    let server = oss_without(&denied);
    run(async {
        let first = checked(&server.store()).await;
        let expected = [Allowed, Denied, Denied, Denied, Allowed, Allowed, Denied];
        assert_eq!(outcomes(&first), expected, "{first:?}");
        assert_eq!(first.missing(), ["oss:GetObject", "oss:DeleteObject"]);
        assert_eq!(cause(&first), Cause::Denied);
        // Now the probe is there, and can't be told from somebody else's object.
        let second = checked(&server.store()).await;
        let expected = [Failed, NotTried, Denied, NotTried, NotTried, Allowed, NotTried];
        assert_eq!(outcomes(&second), expected, "{second:?}");
        assert_eq!(second.missing(), ["oss:GetObject"]);
    });
}

#[test]
fn rights_of_s3_have_the_names_of_s3() {
    let reader = Key::new("AKIAREAD", "read-s3cr3t-read");
    let server = S3Server::start(&[
        (write_only(), &["Write:bucket"]),
        (reader.clone(), &["Read:bucket", "List:bucket"]),
    ]);
    let server = Server::S3(server.unwrap());
    run(async {
        let options = server.options(server.address());
        let writing = checked(&server.store_with(&write_only(), &options)).await;
        assert_eq!(outcomes(&writing)[..5], [Allowed, Denied, Denied, Denied, Allowed]);
        assert_eq!(writing.missing()[0], "s3:GetObject", "{writing:?}");
        let reading = checked(&server.store_with(&reader, &options)).await;
        assert_eq!(outcomes(&reading)[..2], [Denied, NotTried]);
        assert_eq!((reading.missing()[0], cause(&reading)), ("s3:PutObject", Cause::Denied));
    });
}

#[test]
fn where_nothing_can_work_nothing_more_is_tried() {
    both(async |server| {
        let wrong = Key::new(&server.key().id, "wrong-s3cr3t");
        let options = server.options(server.address());
        let refused = checked_under(&server.store_with(&wrong, &options), "").await;
        assert_eq!(cause(&refused), Cause::WrongSecret);
        let absent = checked(&server.store_at("127.0.0.1:9")).await;
        assert!(matches!(absent.failure, Some(Error::Unreachable { .. })), "{absent:?}");
        for checked in [refused, absent] {
            assert_eq!(outcomes(&checked)[0], Failed);
            assert_eq!(outcomes(&checked)[1..], [NotTried; 6]);
            assert!(checked.missing().is_empty());
        }
    });
}

#[test]
fn referer_protection_is_no_missing_right() {
    let server = OssServer::start().unwrap();
    server.protect_by_referer().unwrap();
    let server = Server::Oss(server);
    run(async {
        let checked = checked(&server.store()).await;
        let expected = [Allowed, Allowed, Allowed, Failed, Allowed, Allowed, Allowed];
        assert_eq!(outcomes(&checked), expected, "{checked:?}");
        assert_eq!((checked.missing().len(), cause(&checked)), (0, Cause::Referer));
    });
}

#[test]
fn somebody_elses_object_stays_as_it_is() {
    both(async |server| {
        let (store, probe) = (server.store(), "check/else/etcdprefix-probe");
        for foreign in [&b"mine"[..], b"", &[b'e'; 100_000]] {
            server.sdk().put(probe, foreign).unwrap();
            let checked = checked_under(&store, "check/else/").await;
            assert_eq!(outcomes(&checked)[0], Failed, "{checked:?}");
            let Some(Error::Exists(location)) = &checked.failure else { panic!("{checked:?}") };
            assert_eq!(location, &store.location(probe));
            let rest = [NotTried, NotTried, NotTried, NotTried, Allowed, NotTried];
            assert_eq!(outcomes(&checked)[1..], rest, "{checked:?}");
            assert!(server.sdk().get(probe).unwrap() == foreign && !checked.probe_left);
        }
        etcdprefix_store::delete(&store, probe).await.unwrap();
    });
}

#[test]
fn a_url_for_elsewhere_is_a_warning() {
    both(async |server| {
        let options = StoreOptions {
            presign_endpoint: Some("http://127.0.0.1:9".into()),
            ..server.options(server.address())
        };
        let checked = checked_under(&server.store_with(server.key(), &options), "check/url-").await;
        assert_eq!(outcomes(&checked), [Allowed; 7], "{checked:?}");
        let [warning] = &checked.warnings[..] else { panic!("{checked:?}") };
        assert!(warning.contains("could not be tried from here"), "{warning}");
    });
}

#[test]
fn a_role_that_ends_is_told_or_taken() {
    let server = OssServer::start().unwrap();
    let key = Key::new("STS.role", "role-s3cr3t-role").with_token("t0ken-s3cr3t");
    server.allow(&key, &[]).unwrap();
    let server = Server::Oss(server);
    let ends = std::time::SystemTime::now() + Duration::from_secs(1200);
    let metadata = crate::credentials::Metadata::start(&key, ends);
    run(async {
        let store = crate::credentials::store_of(&server, metadata.environment());
        let short = checked(&store).await;
        assert!(matches!(short.failure, Some(Error::CredentialsEnd { .. })), "{short:?}");
        assert_eq!(outcomes(&short)[3], Failed);
        let options = CheckOptions { shorter_ok: true, ..CheckOptions::default() };
        let taken = check(&store, PREFIX, &options, silent()).await.unwrap();
        assert!(taken.failure.is_none() && taken.warnings[0].contains("ends with"), "{taken:?}");
    });
}

#[test]
fn an_answer_that_was_lost_does_not_make_the_probe_somebody_elses() {
    both(async |server| {
        let front = Front::start(server.address()).unwrap();
        let act = Act::LoseAnswer;
        front.rule(Rule { method: "PUT", holds: "", skip: 0, times: 1, act });
        let checked = checked_under(&server.store_at(&front.address()), "check/lost/").await;
        assert_eq!((outcomes(&checked), front.done()), (vec![Allowed; 7], 1), "{checked:?}");
    });
}

#[test]
fn what_makes_no_sense_is_told_before_anything_is_tried() {
    let server = OssServer::start().unwrap();
    let wrapped = Server::Oss(server);
    let Server::Oss(server) = &wrapped else { unreachable!() };
    run(async {
        let store = wrapped.store();
        let lifetime = Some(Duration::from_secs(8 * 24 * 3600));
        let long = CheckOptions { lifetime, ..CheckOptions::default() };
        for (prefix, options) in [("/", CheckOptions::default()), (PREFIX, long)] {
            let refused = check(&store, prefix, &options, silent()).await;
            assert!(matches!(refused, Err(Error::Usage(_))), "{refused:?}");
        }
        let disabled = ("ALIBABA_CLOUD_ECS_METADATA_DISABLED".to_owned(), "true".to_owned());
        let nothing = Environment { variables: [disabled].into(), home: None };
        let options = wrapped.options(wrapped.address());
        let store = Store::open(&location(Kind::Oss), &options, &nothing).unwrap();
        let refused = check(&store, PREFIX, &CheckOptions::default(), silent()).await;
        assert!(matches!(refused, Err(Error::NoCredentials { .. })), "{refused:?}");
    });
    assert!(server.log().keys().all(|(operation, _)| operation == "port"), "{:?}", server.log());
}

#[test]
fn an_interrupted_check_takes_its_probe_along() {
    both(async |server| {
        let front = Front::start(server.address()).unwrap();
        let holds = "list-type";
        front.rule(Rule { method: "GET", holds, skip: 0, times: 1, act: Act::Stall });
        let store = server.store_at(&front.address());
        let stopped = AtomicBool::new(false);
        let progress = Arc::new(Counted { stopped, ..Counted::default() });
        let its = progress.clone();
        let stop = tokio::spawn(async move {
            while front.done() == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            its.stopped.store(true, std::sync::atomic::Ordering::SeqCst);
            front
        });
        let interrupted = check(&store, "check/stop/", &CheckOptions::default(), progress).await;
        assert!(matches!(interrupted, Err(Error::Interrupted)), "{interrupted:?}");
        drop(stop.await.unwrap());
        assert!(head(&server.store(), "check/stop/etcdprefix-probe").await.is_err());
    });
}
